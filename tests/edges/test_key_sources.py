"""Where the project's key may come from, and what is said where it does not come."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import pytest

from migrator.edges import key_sources
from migrator.edges.key_sources import KeySource
from migrator.edges.keys import ProjectKey
from migrator.errors import Refused, SettingWrong, Unreachable

SECRET = base64.b64encode(bytes(range(32))).decode()
KEY = ProjectKey(bytes(range(32)))


def source(said: str, folder: Path, **environment: str) -> KeySource:
    return KeySource(said, folder, {"PATH": "/usr/bin:/bin", **environment}, folder / "sealed")


def a_command(folder: Path, text: str) -> str:
    (folder / "give key.py").write_text(text, encoding="utf-8")
    return f"command:{sys.executable} '{folder}/give key.py' an-argument"


def test_a_key_is_in_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    created = ProjectKey.create(tmp_path / "x.key")

    for said in ("file:x.key", f"file:{tmp_path}/x.key", "x.key"):
        assert source(said, tmp_path).load().id == created.id
    (tmp_path / "x.key").chmod(0o644)
    with pytest.raises(SettingWrong, match="chmod 600"):
        source("file:x.key", tmp_path).load()


def test_a_key_is_in_a_variable(tmp_path: Path) -> None:
    assert source("env:SHOP_KEY", tmp_path, SHOP_KEY=f" {SECRET}\n").load().id == KEY.id
    with pytest.raises(SettingWrong, match=r"SHOP_KEY is not set.*openssl rand -base64 32"):
        source("env:SHOP_KEY", tmp_path).load()
    with pytest.raises(SettingWrong, match="the variable SHOP_KEY does not hold a project key"):
        source("env:SHOP_KEY", tmp_path, SHOP_KEY="hello").load()


def test_a_command_gets_the_sealed_key_and_prints_the_plain_one(tmp_path: Path) -> None:
    (tmp_path / "sealed").write_bytes(SECRET.encode()[::-1])
    text = "import sys; assert sys.argv[1] == 'an-argument'; print(sys.stdin.read()[::-1])"

    assert source(a_command(tmp_path, text), tmp_path).load().id == KEY.id


def test_a_command_without_a_sealed_key_gets_nothing(tmp_path: Path) -> None:
    text = f"import sys; assert sys.stdin.read() == ''; print('{SECRET}')"

    assert source(a_command(tmp_path, text), tmp_path).load().id == KEY.id


def test_a_command_is_not_run_by_a_shell(tmp_path: Path) -> None:
    with pytest.raises(SettingWrong, match="does not hold a project key"):
        source(f"command:/bin/echo $(touch {tmp_path}/made) ; touch {tmp_path}/made", tmp_path).load()
    assert not (tmp_path / "made").exists()


def test_what_a_command_prints_is_in_no_message(tmp_path: Path) -> None:
    text = "import sys; print('half a secret'); print('no such key in the vault', file=sys.stderr); sys.exit(3)"

    with pytest.raises(Refused, match=r"exit code 3\): no such key in the vault; run it by hand") as failed:
        source(a_command(tmp_path, text), tmp_path).load()
    with pytest.raises(SettingWrong) as wrong:
        source(a_command(tmp_path, "print('half a secret')"), tmp_path).load()

    assert "half" not in str(failed.value) + str(wrong.value)


def test_a_command_that_does_not_answer_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_sources, "TIMEOUT_SECONDS", 0.2)

    with pytest.raises(Unreachable, match="did not give the project key within"):
        source(a_command(tmp_path, "import time; time.sleep(60)"), tmp_path).load()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("command:no-such-program --at-all", "cannot be run"),
        ("command:echo 'open", "cannot be read"),
        ("command:", "say file:PATH"),
        ("env:", "say file:PATH"),
    ],
)
def test_a_command_that_cannot_be_run_is_a_wrong_setting(tmp_path: Path, said: str, why: str) -> None:
    with pytest.raises(SettingWrong, match=why):
        source(said, tmp_path).load()


def test_a_key_source_says_where_it_is_and_not_what(tmp_path: Path) -> None:
    assert str(source("env:SHOP_KEY", tmp_path, SHOP_KEY=SECRET)) == "in the variable SHOP_KEY"
    assert str(source("command:vault read --token=hush", tmp_path)) == "that `vault` gives"
    assert str(source("file:x.key", tmp_path)) == f"at {tmp_path}/x.key"
