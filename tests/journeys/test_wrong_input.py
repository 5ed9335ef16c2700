"""
Wrong input through the real command line: the error says what, where and what now, and nothing was touched. Each exit
code is once that of a process; what is said is asked for in this one.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.journeys.project import Project, fingerprints

SETTINGS = """
[legacy]
url = "sqlite:///legacy.sqlite"
[target]
url = "sqlite:///target.sqlite"
[mappings]
path = "mappings"
"""

SET = """\
set: club
users: {table: member, key: id, email: mail}
activity:
  - {table: member, user: id, at: joined}
at: [{datetime: {timezone: UTC}}]
"""

ACCOUNTS = """\
mapping: accounts
about: Every member becomes one account.
source:
  table: member
  key: id
  user: id
target:
  table: accounts
  id: {uuid5: id}
fields:
  email:  {from: mail, transform: [trim, lower], required: true, sensitive: true}
  status: {from: state, transform: [{map: {1: active, 2: closed}}], required: true}
ignore:
  nick: the new system has no nicknames
"""

LEGACY = """
create table member (id integer primary key, mail varchar(100), state integer not null, joined datetime, nick text);
insert into member values (1, 'Ann@club.example', 1, '2024-01-01 10:00:00', 'a'),
                          (2, 'bob@club.example', 2, '2024-02-01 10:00:00', null);
"""

TARGET = """
create table accounts (id text primary key, email text not null unique, status text not null);
insert into accounts values ('00000000-0000-4000-8000-000000000001', 'native@club.example', 'active');
"""


@pytest.fixture(scope="module")
def club(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that is ready for `plan create`; tests work on copies."""
    folder = tmp_path_factory.mktemp("club") / "ready"
    project = Project.create(folder, SETTINGS)
    (folder / "mappings").mkdir()
    (folder / "mappings" / "set.yaml").write_text(SET)
    (folder / "mappings" / "accounts.yaml").write_text(ACCOUNTS)
    for name, script in (("legacy", LEGACY), ("target", TARGET)):
        with closing(sqlite3.connect(folder / f"{name}.sqlite")) as db:
            db.executescript(script)
    project.do("store", "upgrade")
    project.do("tier", "assign")
    return folder


@pytest.fixture
def project(club: Path, tmp_path: Path) -> Project:
    """A copy of the ready project, for one mistake."""
    return Project(Path(shutil.copytree(club, tmp_path / "club")))


def replace(project: Project, name: str, old: str, new: str) -> None:
    """Make a mistake in a file of the project."""
    path = project.folder / name
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} must stand in {name} once"
    path.write_text(text.replace(old, new), encoding="utf-8")


def all_that_must_stay(project: Project) -> dict[str, object]:
    """The files of both databases by hash, and what the control database says."""
    with closing(sqlite3.connect(project.folder / ".migrator" / "control.db")) as db:
        said: Iterator[str] = db.iterdump()
        control = list(said)
    files = [project.folder / name for name in ("legacy.sqlite", "target.sqlite", "mappings", "migrator.toml")]
    return {**fingerprints(*files), "control": control}


@dataclass(frozen=True)
class Mistake:
    """One wrong thing in accounts.yaml, and what the error must hold."""

    old: str
    new: str
    says: tuple[str, ...]


MISTAKES = {
    "an unknown source column": Mistake(
        "from: mail", "from: mial", ("accounts.yaml:11:18", "E201", 'no column "mial"', 'did you mean "mail"?', "^^^^")
    ),
    "an unknown transform": Mistake("[trim,", "[trimm,", ("accounts.yaml:11:36", "E110", '"trimm"', '"trim"', "^^^^^")),
    "an unknown key": Mistake(
        "required: true, sens", "requird: true, sens", ("accounts.yaml:11:", "E103", '"requird"', '"required"')
    ),
    "a key set twice": Mistake(
        "  status: {", "  email: {from: mail}\n  status: {",
        ("accounts.yaml:12:3", "E104", '"email" was already set on line 11'),
    ),
    "a map without an entry": Mistake("{1: active, 2: closed}", "{}", ("accounts.yaml:12:", "E111", "map")),
    "a target table that lacks a column": Mistake(
        "  status: {", "  nickname: {from: mail}\n  status: {", ("accounts.yaml:12:3", "E301", '"nickname"', "accounts")
    ),
    "a column that nobody maps or ignores": Mistake(
        "  nick: the new", "  state: the new", ("E202", "nick", "paste and give a reason")
    ),
    "a target column that must be set": Mistake(
        "  status: {from: state, transform: [{map: {1: active, 2: closed}}], required: true}\n", "",
        ("E302", "status"),
    ),
    "text that is no YAML": Mistake("about: Every", "about: [Every", ("accounts.yaml:", "E101")),
}  # fmt: skip


def test_the_set_is_right_before_a_mistake_is_made(project: Project) -> None:
    project.do_here("mapping", "lint")
    project.do_here("plan", "create")


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_mapping_is_shown_where_it_stands(project: Project, name: str) -> None:
    mistake = MISTAKES[name]
    replace(project, "mappings/accounts.yaml", mistake.old, mistake.new)
    before = all_that_must_stay(project)

    linted = project.do_here("mapping", "lint", code=2)
    refused = project.do_here("plan", "create", code=2)

    missing = [words for words in mistake.says if words not in linted.text]
    assert missing == [], f"{missing} not in:\n{linted.text}"
    assert mistake.says[0] in refused.text, f"`plan create` does not say where:\n{refused.text}"
    assert all_that_must_stay(project) == before


def test_all_mistakes_of_all_files_are_told_at_once(project: Project) -> None:
    replace(project, "mappings/accounts.yaml", "{map: {1", "{mapp: {1")
    replace(project, "mappings/accounts.yaml", "  nick: the", "  nick: as before\n  nick: the")
    replace(project, "mappings/set.yaml", "email: mail}", "e_mail: mail}")
    before = all_that_must_stay(project)

    refused = project.do("plan", "create", code=2)

    assert [code for code in ("E110", "E104", "E103") if code not in refused.text] == [], refused.text
    assert "3 errors" in refused.text and "nothing was touched" in refused.text
    assert all_that_must_stay(project) == before


def test_all_that_does_not_fit_the_databases_is_told_at_once(project: Project) -> None:
    replace(project, "mappings/accounts.yaml", "from: mail", "from: mial")
    replace(project, "mappings/accounts.yaml", "  status: {", "  state: {")
    replace(project, "mappings/accounts.yaml", "  nick: the", "  nickname: the")
    before = all_that_must_stay(project)

    refused = project.do_here("plan", "create", code=2)

    codes = ("E201", "E301", "E302", "E202", "E203")
    assert [code for code in codes if code not in refused.text] == [], refused.text
    assert all_that_must_stay(project) == before


@pytest.mark.parametrize(
    ("side", "command"),
    [
        ("legacy", "mapping lint"),
        ("legacy", "tier assign"),
        ("legacy", "plan create"),
        ("target", "mapping lint"),
        ("target", "plan create"),
    ],
)
def test_a_database_that_does_not_answer_is_one_line_without_the_password(
    project: Project, side: str, command: str
) -> None:
    replace(project, "migrator.toml", f"sqlite:///{side}.sqlite", "postgresql://clerk:hush-hush@127.0.0.1:9/none")
    before = all_that_must_stay(project)

    refused = project.do_here(*command.split(), code=1)

    assert "127.0.0.1" in refused.text and side in refused.text, refused.text
    assert "hush-hush" not in refused.text
    assert len(refused.text.strip().splitlines()) <= 2, refused.text
    assert all_that_must_stay(project) == before


def test_a_legacy_file_that_is_not_there_is_not_made(project: Project) -> None:
    replace(project, "migrator.toml", "sqlite:///legacy.sqlite", "sqlite:///legasy.sqlite")
    before = all_that_must_stay(project)

    refused = project.do("plan", "create", code=1)

    assert "legasy.sqlite" in refused.text
    assert not (project.folder / "legasy.sqlite").exists()
    assert all_that_must_stay(project) == before


def test_a_target_without_the_table_is_told_before_anything_is_planned(project: Project) -> None:
    with closing(sqlite3.connect(project.folder / "target.sqlite")) as db:
        db.execute("alter table accounts rename to members")
    before = all_that_must_stay(project)

    refused = project.do_here("plan", "create", code=2)

    assert "E301" in refused.text and "accounts" in refused.text, refused.text
    assert all_that_must_stay(project) == before


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[mappings]", "[mapings]", 'did you mean "mappings"?'),
        ('path = "mappings"', 'path = "mappings"\n[plan]\nsoak = "soon"', "soak"),
        ('path = "mappings"', 'path = "nowhere"', "nowhere"),
        ("[legacy]", "[legacy", "not TOML"),
    ],
    ids=["a section", "a duration", "a folder", "no TOML"],
)
def test_a_wrong_setting_is_named_with_its_file(project: Project, old: str, new: str, says: str) -> None:
    replace(project, "migrator.toml", old, new)

    refused = project.do_here("plan", "create", code=2)

    assert says in refused.text, refused.text


def test_without_a_settings_file_the_next_step_is_told(tmp_path: Path) -> None:
    refused = Project(tmp_path).do_here("status", code=2)

    assert "migrator init" in refused.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [["wave", "strat"], ["status", "--jsn"], ["user", "show"], ["plan", "create", "x"]]
)
def test_wrong_usage_ends_with_two(project: Project, arguments: list[str]) -> None:
    project.do(*arguments, code=2)


@pytest.mark.parametrize(
    "arguments", [["plan", "show"], ["run", "--yes"], ["rollback", "all", "--yes"], ["verify"]], ids=" ".join
)
def test_what_cannot_be_done_yet_says_what_comes_first(project: Project, arguments: list[str]) -> None:
    before = all_that_must_stay(project)

    refused = project.do_here(*arguments, code=1)

    assert "migrator plan create" in refused.text, refused.text
    assert all_that_must_stay(project) == before
