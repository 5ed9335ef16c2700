"""Who may call which command: as the table of rights says it, found out by calling every command as everybody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from migrator.cli import app
from migrator.cli.later import Later
from migrator.errors import MigratorError, NotPermitted
from migrator.rollout.rights import COMMANDS, Permission, Role
from migrator.store import journal
from migrator.store.control import Control
from tests.flows.bakery import Bakery, settings_text
from tests.flows.memory import a_control


@dataclass(frozen=True)
class Verb:
    """One command: the words one types, and something for each argument that it wants."""

    path: str
    arguments: tuple[str, ...]

    def typed(self) -> list[str]:
        return [*self.path.split(), *self.arguments]


def verbs() -> Iterator[Verb]:
    def below(words: tuple[str, ...], node: Any) -> Iterator[Verb]:
        node = node.real if isinstance(node, Later) else node
        children = getattr(node, "commands", None)
        if children is None:
            yield Verb(" ".join(words), tuple(wanted(node)))
            return
        for name, child in sorted(children.items()):
            yield from below((*words, name), child)

    return below((), typer.main.get_command(app))


def wanted(command: Any) -> Iterator[str]:
    """What a command does not start without."""
    for one in command.params:
        if one.required:
            yield from ["1"] if one.param_type_name == "argument" else [one.opts[0], "1"]


ALL = list(verbs())


def call(*words: str, token: str | None = None) -> Any:
    environment = {"MIGRATOR_TOKEN": token, "MIGRATOR_TOKEN_FILE": None}
    return CliRunner(env=environment).invoke(app, list(words))


def told(*words: str, token: str | None = None) -> Any:
    done = call(*words, "--json", token=token)
    if done.exception:
        raise done.exception
    return json.loads(done.output)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Role, str]]:
    """A project with an operator of each role and nothing else; legacy and target are nowhere. Each one's token."""
    folder = tmp_path_factory.mktemp("rights")
    bakery = Bakery(folder / "bakery", customers=2)
    bakery.close()
    for name in ("project.key", "mappings"):
        (folder / "bakery" / name).rename(folder / name)
    a_control(folder).close()
    (folder / "migrator.toml").write_text(settings_text(), encoding="utf-8")
    with pytest.MonkeyPatch.context() as there:
        there.chdir(folder)
        told("operator", "add", "approver", "--role", "approver")
        found = {Role.APPROVER: told("operator", "token", "approver")["new_token"]}
        for role in set(Role) - {Role.APPROVER}:
            told("operator", "add", role, "--role", role, token=found[Role.APPROVER])
            found[role] = told("operator", "token", role, token=found[Role.APPROVER])["new_token"]
        yield found


def test_every_command_stands_in_the_table_of_rights() -> None:
    assert [verb.path for verb in ALL if verb.path not in COMMANDS] == []


def needing_a_right() -> list[Verb]:
    return [verb for verb in ALL if COMMANDS[verb.path].permission is not Permission.FREE]


@pytest.mark.parametrize("role", Role)
def test_a_role_may_call_what_the_table_says_and_nothing_else(role: Role, tokens: dict[Role, str]) -> None:
    kept = ("operator add", "operator remove", "operator token")  # these would change who is who
    let_in = {}
    for verb in needing_a_right():
        if verb.path not in kept:
            done = call(*verb.typed(), token=tokens[role])
            assert done.exit_code != 2 or isinstance(done.exception, MigratorError), (verb, done.output)
            let_in[verb.path] = not isinstance(done.exception, NotPermitted)
            if verb.path == "store read-only on":
                call("store", "read-only", "off", token=tokens[Role.OPS])

    assert let_in == {path: role in COMMANDS[path].roles for path in let_in}


def test_nobody_may_anything_without_showing_who_he_is(tokens: dict[Role, str]) -> None:
    open_ = [verb.path for verb in needing_a_right() if not isinstance(call(*verb.typed()).exception, NotPermitted)]

    assert open_ == []


def test_a_refusal_says_who_wanted_what_and_who_may_and_stands_in_the_journal(tokens: dict[Role, str]) -> None:
    refused = call("rollback", "all", "--yes", token=tokens[Role.SUPPORT])

    assert isinstance(refused.exception, NotPermitted)
    assert refused.exception.exit_code == 1
    assert str(refused.exception) == "support (support) may not `migrator rollback all`: that takes role ops"
    assert last_entries(1) == [("support", "deny", "rollback all", {"wanted": "roll back"})]

    unknown = call("wave", "start", "pilot", token="mig_guessed")
    assert "the token is no operator's" in str(unknown.exception)
    assert "mig_guessed" not in str(unknown.exception)
    [(who, event, ref, _)] = last_entries(1)
    assert (who.endswith(" (not proven)"), event, ref) == (True, "deny", "wave start")


def test_the_token_comes_from_a_file_that_only_its_owner_reads(tokens: dict[Role, str], tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(tokens[Role.VIEWER] + "\n", encoding="utf-8")
    asking = CliRunner(env={"MIGRATOR_TOKEN": None, "MIGRATOR_TOKEN_FILE": str(file)})

    file.chmod(0o644)
    assert "chmod 600" in str(asking.invoke(app, ["status"]).exception)
    file.chmod(0o600)
    assert asking.invoke(app, ["status"]).exit_code == 0
    file.unlink()
    assert "there is no token file" in str(asking.invoke(app, ["status"]).exception)


def test_what_is_free_needs_no_token(tokens: dict[Role, str]) -> None:
    assert call("mapping", "schema").exit_code == 0
    assert call("doctor", "--json").exit_code == 1  # it looks, and finds neither legacy nor target


def last_entries(count: int) -> list[tuple[str, str, str, dict[str, Any]]]:
    control = Control("sqlite:///control.db")
    with control.read() as db:
        found = [(one["actor"], one["event"], one["ref"], one["detail"]) for one in journal.latest(db, count)]
    control.close()
    return found
