"""The built wheel, in an empty environment and an empty folder, is the whole product."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.journeys.project import REPOSITORY, clean_environment


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the repository as it stands."""
    folder = tmp_path_factory.mktemp("wheel")
    said = run([sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(REPOSITORY)], folder)
    (built,) = folder.glob("*.whl")
    assert built.name in said
    return built


def run(command: list[str], folder: Path) -> str:
    """Run a command that must succeed; what it said."""
    done = subprocess.run(
        command, cwd=folder, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, encoding="utf-8", check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, f"`{' '.join(command)}` ended with {done.returncode}:\n{done.stdout[-4000:]}"
    return done.stdout


@pytest.mark.slow
def test_the_wheel_carries_mappings_templates_and_revisions_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert "migrator/bundled/mappings/shop/set.yaml" in names
    assert "migrator/bundled/mappings/magento1/countries.csv" in names
    assert any(name.startswith("migrator/bundled/templates/done/") for name in names)
    assert any(name.startswith("migrator/store/revisions/") and name.endswith(".py") for name in names)
    assert "tasks/app.py" in names
    assert [name for name in names if name.startswith(("tests/", ".ci/")) or name.endswith(".pyc")] == []


@pytest.mark.slow
def test_a_stranger_installs_the_wheel_and_watches_the_demo(wheel: Path, tmp_path: Path) -> None:
    run([sys.executable, "-m", "venv", str(tmp_path / "venv")], tmp_path)
    binaries = tmp_path / "venv" / "bin"
    run([str(binaries / "python"), "-m", "pip", "install", "--quiet", str(wheel)], tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()

    run([str(binaries / "migrator"), "init", "."], empty)
    made = {path.name for path in empty.iterdir()}
    story = run([str(binaries / "migrator"), "demo"], empty)

    assert made >= {"migrator.toml", "mappings", "templates"}
    assert story.strip(), "the demo tells a story"
    assert list(empty.rglob("*report*.html")), "the demo leaves a report"
