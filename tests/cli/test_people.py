"""Two operators and what they do together, from the command line: tokens, approvals, the read-only switch, `run`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from migrator.cli import app
from migrator.errors import MigratorError, NotFound, NotPermitted, WrongInput
from migrator.store import journal
from migrator.store.control import Control
from tests.flows.bakery import Bakery

PLAN = """
[plan]
strategy = "whole"
soak = "0s"
cutover = "immediate"
"""
COMMAND = [sys.executable, "-m", "migrator"]


class People:
    """A bakery whose operators type commands, each with a token of his own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokens: dict[str, str] = {}

    def call(self, who: str, *words: str) -> str:
        """What one of them is told; a refusal is raised."""
        done = CliRunner(env={"MIGRATOR_TOKEN": self.tokens.get(who)}).invoke(app, list(words))
        if done.exception:
            raise done.exception
        return done.output

    def told(self, who: str, *words: str) -> Any:
        return json.loads(self.call(who, *words, "--json"))

    def run(self, who: str) -> tuple[int, dict[str, Any], str, list[str]]:
        """`migrator run --yes --json` in a process of its own: exit code, both outputs, what its children could read."""
        environment = os.environ | {"MIGRATOR_TOKEN": self.tokens[who]}
        command = [*COMMAND, "run", "--yes", "--json"]
        with (self.folder / "out").open("wb") as out, (self.folder / "errors").open("wb") as errors:
            run = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=out, stderr=errors)
            readable = _of_children(run)
        said = (self.folder / "out").read_text(), (self.folder / "errors").read_text()
        return run.returncode, json.loads(said[0]), said[1], readable

    def journal(self) -> set[tuple[str, str]]:
        control = Control(f"sqlite:///{self.folder}/control.db")
        with control.read() as db:
            found = {(one["actor"], one["event"]) for one in journal.latest(db, 200)}
        control.close()
        return found


def _of_children(run: subprocess.Popen[bytes]) -> list[str]:
    """All that was in the environments and command lines of the children of a process, while it ran."""
    seen, parent = set(), psutil.Process(run.pid)
    ours = parent.cmdline()
    while run.poll() is None:
        time.sleep(0.02)
        for child in parent.children(recursive=True):
            try:
                line, environment = child.cmdline(), child.environ()
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if line != ours:  # else it is the fork of the parent that is about to become the child
                seen |= {*line, *environment.values()}
    return sorted(seen)


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[People]:
    """ann (engineer, ops) and bob (approver); the first operator was made by whoever has the project's key."""
    bakery = Bakery(tmp_path / "bakery", customers=6)
    bakery.close()
    bakery.write_settings(PLAN)
    monkeypatch.chdir(tmp_path / "bakery")
    found = People(tmp_path / "bakery")
    found.told("nobody", "operator", "add", "bob", "--role", "approver")
    found.tokens["bob"] = found.told("nobody", "operator", "token", "bob")["new_token"]
    found.told("bob", "operator", "add", "ann", "--role", "engineer", "--role", "ops")
    found.tokens["ann"] = found.told("bob", "operator", "token", "ann")["new_token"]
    yield found


def test_two_people_carry_out_a_plan_and_roll_it_back(people: People) -> None:
    people.told("ann", "plan", "create")
    assert people.told("bob", "plan", "approve", "--yes")["approved_by"] == "bob"

    code, status, said, _ = people.run("ann")
    assert (code, status["users"]["planned"], status["approvals"]) == (3, 6, {"open": 1})
    assert "full wave (wave whole) needs a second person: bob allows it with `migrator approval give 1`" in said
    assert said.rstrip().endswith("then do it again: migrator run")

    with pytest.raises(NotPermitted, match="ann"):
        people.call("ann", "approval", "give", "1", "--yes")
    assert people.told("bob", "approval", "give", "1", "--yes")["status"] == "given"
    code, status, said, readable = people.run("ann")
    assert (code, status["users"]["live"]) == (0, 6), said
    assert "tasks.app" in readable
    assert [
        word for word in readable if people.tokens["ann"] in word
    ] == []  # a worker is a service, and proves nothing

    people.told("ann", "rollback", "all", "--yes")
    assert {("ann", "plan"), ("bob", "approve"), ("ann", "ask"), ("bob", "give"), ("ann", "start")} <= people.journal()
    assert {who for who, event in people.journal() if event == "restore"} == {"ann"}


def test_while_the_project_is_read_only_only_people_are_seen_to(people: People) -> None:
    people.told("ann", "store", "read-only", "on", "--reason", "an audit")

    with pytest.raises(NotPermitted, match=r"read-only since .* \(ann: an audit\)"):
        people.call("ann", "plan", "create")
    people.told("ann", "plan", "create", "--dry-run")
    assert "read-only since" in people.call("ann", "status")
    assert people.told("bob", "operator", "token", "ann", "--revoke")["token"] == "none"
    with pytest.raises(NotPermitted, match="the token is no operator's"):
        people.call("ann", "store", "read-only", "off")
    people.tokens["ann"] = people.told("bob", "operator", "token", "ann")["new_token"]
    assert people.told("ann", "store", "read-only", "off") == {"read_only": False}
    people.told("ann", "plan", "create")


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        ("operator add eve --role boss --role king", WrongInput, "no role is called boss, king"),
        ("operator add eve", WrongInput, "say what eve is here for"),
        ("operator token eve --lasts soon", WrongInput, '--lasts: "soon" is not a duration'),
        ("operator token --revoke", WrongInput, "--revoke takes the name of an operator"),
        ("operator remove eve --yes", NotFound, "no operator is called eve"),
        ("approval show 7", NotFound, "there is no approval 7"),
    ],
)
def test_what_is_typed_wrong_is_told(people: People, words: str, kind: type[MigratorError], said: str) -> None:
    with pytest.raises(kind, match=said):
        people.call("bob", *words.split())


def test_lists_are_tables_for_people(people: People) -> None:
    operators = people.call("bob", "operator", "list")
    assert [line.split()[:2] for line in operators.splitlines()[2:]] == [["ann", "engineer,"], ["bob", "approver"]]
    assert people.call("bob", "approval", "list") == "nothing waits for a second person\n"
