"""A run waits while a flag is there, says why to whoever asks, takes what is set meanwhile, and goes on by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.bakery import Bakery, settings_text
from tests.journeys.project import Project, with_patience


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A bakery of 120 customers with an approved plan of one wave."""
    bakery = Bakery(tmp_path / "bakery", customers=120)
    bakery.plan()
    bakery.close()
    return Project.create(tmp_path / "project", settings_text('[throttle]\nflag = "stop"\n', bakery=bakery.folder))


def test_a_run_waits_for_a_flag_and_goes_on_by_itself(project: Project) -> None:
    flag = project.folder / "stop"
    flag.touch()
    why = f"the flag {flag} is there"

    def waits() -> bool:
        shown = project.status()["waves"][0]["waiting"]
        return bool(shown and shown["sentence"].startswith(f"waiting: {why} (since "))

    with project.running("run", "--workers", "2", "--yes") as run:
        with_patience(waits, 60, "the reason in `status --json`", ask_again=0.5)
        assert f"wave whole is waiting: {why}" in project.do("status").out
        assert f"waiting: {why}" in project.do("wave", "show", "whole").out
        assert f"wave whole waits: {why}" in project.log()
        assert project.users() == {"planned": 120}

        said = project.do("wave", "set", "whole", "batch-size", "15").out
        assert said == "wave whole: batch-size is 15 from now on\n"
        assert project.do("wave", "set", "whole", "workers", "1", "--json").json["orders"] == {
            "batch_size": 15, "workers": 1
        }  # fmt: skip
        assert project.users() == {"planned": 120}, "nothing of it began while the flag was there"

        flag.unlink()
        with_patience(lambda: run.poll() is not None, 120, "the end of the run")

    assert run.returncode == 0, project.log()
    assert "wave whole goes on" in project.log()
    assert project.users() == {"live": 120}
    sizes = [one["users"] for one in project.do("wave", "show", "whole", "--json").json["batch_list"]]
    assert sizes == [20, 20, 15, 15, 15, 15, 15, 5]
