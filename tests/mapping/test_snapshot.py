"""A snapshot says to lint what the databases said, and nothing of a person."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from migrator.edges.databases import connect
from migrator.errors import WrongInput
from migrator.flows.drafting import linting
from migrator.mapping import document, examples, snapshot
from migrator.mapping.document import Draft

LEGACY = """
create table t_user (
    id integer primary key, real_name varchar(60) not null, mail varchar(60), level integer, tag varchar(10), bak varchar(9));
create table t_order (id integer primary key, user_id integer not null, price numeric(10, 4), city varchar(20));
create index t_order_user on t_order (user_id);
"""
TARGET = """
create table accounts (id integer primary key, name varchar(20) not null, email text unique, tier text check (tier in ('basic', 'gold')));
create table orders (id integer primary key, price numeric(10, 2), city text, kind text);
create table kinds (code text, label text);
"""
SET = """
set: shop
users: {table: t_user, key: id, email: mail, name: real_name}
"""
ACCOUNTS = """
mapping: accounts
source: {table: t_user, key: id, user: id, null_if: ['']}
target: {table: accounts, id: {keep: id}}
fields:
  name: {from: real_name, required: true}
  email: {from: mail, transform: [lower], sensitive: true}
  tier: {from: level, transform: [{map: {1: basic, 2: gold}}]}
ignore:
  tag: {reason: one for all, expect: constant}
  bak: {reason: never filled, expect: empty}
examples:
  - {name: a, given: {id: 1, real_name: Ann, level: 1, mail: a@x.example}, expect: {tier: basic}}
  - {name: b, given: {id: 2, real_name: Bob, level: 2, mail: b@x.example}, expect: {tier: gold}}
"""
ORDERS = """
mapping: orders
source: {table: t_order, key: id, user: user_id}
target: {table: orders, id: {keep: id}}
fields:
  price: {from: price}
  city: {from: city}
  kind: {lookup: {table: kinds, match: {label: city}, take: code}, on_missing: null}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two databases and a set for them."""
    for name, script in {"legacy": LEGACY, "target": TARGET}.items():
        with sqlite3.connect(tmp_path / name) as connection:
            connection.executescript(script)
        connection.close()
    (tmp_path / "set").mkdir()
    for name, text in {"set": SET, "accounts": ACCOUNTS, "orders": ORDERS}.items():
        (tmp_path / "set" / f"{name}.yaml").write_text(text)
    with sqlite3.connect(tmp_path / "legacy") as connection:
        people = [(n, f"Person {n}", f"p{n}@x.example", n % 3 + 1, "x", "" if n % 2 else None) for n in range(1, 9)]
        connection.executemany("insert into t_user values (?, ?, ?, ?, ?, ?)", people)
        connection.executemany("insert into t_order values (?, ?, ?, ?)", [(n, n, 1.25, "Ulm") for n in range(1, 9)])
    connection.close()
    with sqlite3.connect(tmp_path / "target") as connection:
        connection.executemany("insert into kinds values (?, ?)", [("a", "Ulm"), ("b", "Ulm")])
    connection.close()
    return tmp_path


def taken(folder: Path) -> str:
    legacy, target = (connect(f"sqlite:///{folder / name}", None, "legacy") for name in ("legacy", "target"))
    try:
        return linting.record(document.load(folder / "set"), legacy, target)
    finally:
        legacy.close()
        target.close()


def told(draft: Draft, known: linting.Known) -> list[tuple[str, str]]:
    return [(problem.code, problem.text) for problem in linting.check(draft, known)]


def test_lint_says_the_same_with_a_snapshot_as_with_the_databases(folder: Path) -> None:
    (folder / "snapshot.json").write_text(taken(folder))
    draft = document.read(folder / "set")
    legacy, target = (connect(f"sqlite:///{folder / name}", None, "legacy") for name in ("legacy", "target"))
    with linting.live(legacy, target, data=True) as known:
        live = told(draft, known)
    legacy.close()
    target.close()

    recorded = told(draft, linting.recorded(folder / "snapshot.json", data=True))

    assert recorded == live
    assert {code for code, _ in live} >= {"W404", "W504"}
    assert "W401" not in {code for code, _ in live}  # 60 characters into 20, but nobody has so many


def test_without_data_only_the_schemas_speak(folder: Path) -> None:
    (folder / "snapshot.json").write_text(taken(folder))
    draft = document.read(folder / "set")

    codes = {code for code, _ in told(draft, linting.recorded(folder / "snapshot.json", data=False))}

    assert "W401" in codes
    assert "W404" not in codes


def test_examples_run_from_a_snapshot(folder: Path) -> None:
    (folder / "snapshot.json").write_text(taken(folder))
    known = linting.recorded(folder / "snapshot.json", data=False)

    results = examples.run(document.load(folder / "set"), known.legacy, known.target)

    assert [result.passed for result in results] == [True, True]


def test_no_value_of_a_person_is_kept(folder: Path) -> None:
    text = taken(folder)

    assert "@x.example" not in text
    assert "Person" not in text
    assert "Ulm" not in text  # nobody lists values for it
    columns = json.loads(text)["legacy"]["tables"]["t_user"]["columns"]
    assert columns["level"]["holds"] == {"1": 2, "2": 3, "3": 3}
    assert columns["tag"]["data"]["same"] == "x"
    assert "holds" not in columns["mail"] and "same" not in columns["mail"]["data"]


def test_it_is_read_by_people_a_column_a_line(folder: Path) -> None:
    lines = taken(folder).splitlines()

    (line,) = [line for line in lines if line.lstrip().startswith('"level"')]
    assert '"kind": "integer"' in line and '"holds": {"1": 2, "2": 3, "3": 3}' in line


def test_it_comes_back_as_it_was_written(folder: Path) -> None:
    text = taken(folder)

    assert snapshot.write(snapshot.read(text, "s.json")) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "no schema snapshot"), ("[]", "no schema snapshot"), ('{"format": "7"}', "another version"), ('{"format": "migrator schema snapshot 1"}', "no schema snapshot")],
)  # fmt: skip
def test_another_file_is_refused_with_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.json").write_text(text)

    with pytest.raises(WrongInput, match=f"{said}.*migrator mapping snapshot"):
        linting.recorded(tmp_path / "x.json", data=True)
    with pytest.raises(WrongInput, match="cannot be read"):
        linting.recorded(tmp_path / "y.json", data=True)
