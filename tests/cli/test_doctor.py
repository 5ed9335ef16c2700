"""What `migrator doctor` warns of: doors that stand open."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from migrator.cli import app
from migrator.edges import hosts, redis, redis_concerns
from tests.flows.bakery import Bakery, settings_text


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A bakery nobody else can look into."""
    bakery = Bakery(tmp_path / "bakery", customers=12)
    bakery.folder.chmod(0o700)
    bakery.write_settings()
    monkeypatch.chdir(bakery.folder)
    yield bakery.folder
    bakery.close()


def told(name: str) -> list[tuple[str, str, str]]:
    checks: list[dict[str, Any]] = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).output)["checks"]
    return [(one["result"], one["said"], one["remedy"]) for one in checks if one["name"] == name]


def test_a_password_in_a_settings_file_that_others_can_read_is_told_without_the_password(folder: Path) -> None:
    file = folder / "migrator.toml"
    file.write_text(settings_text('[notices]\nsender = "file"\nsmtp_password = "hunter2"\n'), encoding="utf-8")
    file.chmod(0o644)
    ((result, said, remedy),) = told("files")
    assert (result, remedy) == ("warn", f"chmod 600 {file}, or say it in the environment")
    assert "holds a password" in said and "hunter2" not in said

    file.chmod(0o600)
    assert [result for result, _, _ in told("files")] == ["pass"]


def test_files_that_others_can_read_are_told_with_their_folder(folder: Path) -> None:
    logs = folder / ".migrator" / "logs"
    logs.mkdir(parents=True)
    (logs / "worker.log").write_text("a line", encoding="utf-8")
    for open_ in (logs, logs / "worker.log", folder / ".migrator"):
        open_.chmod(0o755)
    ((result, said, remedy),) = told("files")
    assert result == "warn" and "logs/worker.log" in said and remedy == f"chmod 700 {folder / '.migrator'}"

    (folder / ".migrator").chmod(0o700)
    assert [result for result, _, _ in told("files")] == ["pass"]


def test_a_key_that_others_can_read_fails(folder: Path) -> None:
    (folder / "project.key").chmod(0o640)

    assert [result for result, _, _ in told("key")] == ["fail"]


def test_a_lease_that_ends_before_statements_do_is_told(folder: Path) -> None:
    (folder / "migrator.toml").write_text(settings_text('[batches]\nlease = "20s"\n'), encoding="utf-8")

    ((result, said, _),) = told("sessions")
    assert result == "warn" and "lease is 20 s" in said


def test_with_strict_a_warning_fails(folder: Path) -> None:
    said = CliRunner().invoke(app, ["doctor", "--json"])
    results = {one["result"] for one in json.loads(said.output)["checks"]}

    assert "warn" in results
    assert CliRunner().invoke(app, ["doctor", "--strict", "--json"]).exit_code == 1


@contextmanager
def a_redis(tmp_path: Path, *settings: str) -> Iterator[str]:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [redis.executable(), "--port", str(port), "--dir", str(tmp_path), "--save", "", *settings]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as server:
        try:
            url = f"redis://127.0.0.1:{port}/0"
            until = time.monotonic() + 20
            while not redis.answers(url) and "--requirepass" not in settings:
                assert time.monotonic() < until, "no Redis came up"
                time.sleep(0.02)
            yield url
        finally:
            server.terminate()


def test_a_redis_that_everybody_may_enter_fails() -> None:
    said = {"bind": "127.0.0.1 10.0.0.7", "port": "6379", "requirepass": "", "appendonly": "yes"}
    everybody = redis_concerns._settings("redis://10.0.0.7", said | {"protected-mode": "no"})
    guarded = redis_concerns._settings("redis://10.0.0.7", said | {"protected-mode": "yes"})
    behind_a_password = redis_concerns._settings(
        "redis://10.0.0.7", said | {"protected-mode": "yes", "requirepass": "x"}
    )

    assert [(one.result, "everybody who reaches it may come in" in one.said) for one in everybody] == [("fail", True)]
    assert [(one.result, "only its protected mode" in one.said) for one in guarded] == [("warn", True)]
    assert list(behind_a_password) == []


def test_a_redis_that_throws_messages_away_is_told(tmp_path: Path) -> None:
    with a_redis(tmp_path, "--bind", "127.0.0.1", "--maxmemory-policy", "allkeys-lru", "--appendonly", "no") as url:
        found = [(one.result, one.said) for one in redis_concerns.look(url) if "CVE" not in one.said]

    assert [result for result, _ in found] == ["warn", "warn"]
    assert "throws messages away" in found[0][1] and "forgets its messages when it ends" in found[1][1]


def test_a_redis_for_this_machine_alone_that_keeps_its_messages_is_well(tmp_path: Path) -> None:
    with a_redis(tmp_path, "--bind", "127.0.0.1", "-::1", "--appendonly", "yes") as url:
        found = [one.said for one in redis_concerns.look(url)]

    assert [said for said in found if "CVE" not in said] == []


@pytest.mark.parametrize(
    ("version", "told"),
    [("6.2.7", True), ("6.2.20", False), ("7.0.15", True), ("7.2.11", False), ("8.2.1", True), ("8.4.0", False), ("5.0.14", True)],
)  # fmt: skip
def test_a_redis_with_the_hole_in_its_scripts_is_told(version: str, told: bool) -> None:
    assert bool(list(redis_concerns._version(version))) is told


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("-::1", True), ("localhost", True), ("10.0.0.7", False), ("redis", False)]
)
def test_only_this_machine_is_local(host: str, local: bool) -> None:
    assert hosts.is_local(host) is local
