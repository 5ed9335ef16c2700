"""Two hundred broken mapping files: each is refused, with the right code at the right line and column."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

import migrator.flows.demo
from migrator.edges.databases import connect
from migrator.flows.drafting import linting
from migrator.mapping import document
from migrator.mapping.facts import Listed, Seen
from migrator.mapping.problems import Problem
from migrator.mapping.schema import Column, Kind, Schema
from migrator.mapping.snapshot import Recorded
from tests.mapping.broken.cases import ALL, Case

SHOP = Path(__file__).parents[3] / "mappings" / "shop"
DDL = Path(migrator.flows.demo.__file__).parent
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(SHOP.glob("*.yaml"))}
_JSON = ("items", "properties", "attributes", "shipping", "metadata", "settings", "address")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> linting.Known:
    """Both schemas of the demo shop, the target's with the types of a strict database; and some facts."""
    folder = tmp_path_factory.mktemp("shop")
    legacy, target = (_schema(folder / name, DDL / f"{name}.sql") for name in ("legacy", "target.sqlite"))
    return linting.Known(legacy, _strict(target), _facts(), Recorded())


def _schema(file: Path, script: Path) -> Schema:
    with sqlite3.connect(file) as connection:
        connection.executescript(script.read_text(encoding="utf-8"))
    connection.close()
    database = connect(f"sqlite:///{file}", None, "legacy")
    try:
        return database.schema()
    finally:
        database.close()


def _strict(schema: Schema) -> Schema:
    return replace(
        schema,
        tables={
            name: replace(table, columns={column.name: _typed(column) for column in table.columns.values()})
            for name, table in schema.tables.items()
        },
    )


def _typed(column: Column) -> Column:
    if column.name == "id" or (column.name.endswith("_id") and column.name != "legacy_id"):
        return replace(column, kind=Kind.UUID)
    if column.name.endswith("_at"):
        return replace(column, kind=Kind.TIMESTAMP)
    if column.name in _JSON:
        return replace(column, kind=Kind.JSON)
    return replace(column, kind=Kind.ENUM, values=column.allowed) if column.allowed else column


def _facts() -> Recorded:
    facts = Recorded()
    facts.columns["t_user", "status"] = Seen(2000, whole=True, filled=2000)
    facts.lists["t_user", "status"] = Listed({"0": 100, "1": 1700, "2": 200})
    facts.columns["t_order", "pay_type"] = Seen(50_000, whole=True, filled=40_000)
    facts.lists["t_order", "pay_type"] = Listed({"1": 30_000, "2": 10_000})
    facts.columns["t_order", "total_fee"] = Seen(50_000, whole=True, filled=50_000)
    facts.columns["t_sms_log", "id"] = Seen(10, whole=True, filled=10)
    facts.columns["t_cart", "num"] = Seen(1500, whole=True, filled=1100)
    return facts


def _edited(case: Case) -> tuple[dict[str, str], tuple[str, int, int]]:
    """The texts with the edit, without marks; and file, line and column of what must be told."""
    _, file, old, new, *_ = case
    texts = dict(TEXTS)
    if old == "*":
        texts[file] = new
    else:
        assert TEXTS[file].count(old) == 1, f"{file} has {TEXTS[file].count(old)} times: {old}"
        texts[file] = TEXTS[file].replace(old, new)
    at, marked = (file, texts[file])
    if len(case) == 6:
        texts = {name: _plain(text) for name, text in texts.items()}
        at, shown = case[5]
        assert texts[at].count(_plain(shown)) == 1, f"{at} has {texts[at].count(_plain(shown))} times: {_plain(shown)}"
        marked = texts[at].replace(_plain(shown), shown)
    before = marked[: marked.index("«")]
    place = (at, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
    return {name: _plain(text) for name, text in texts.items()}, place


def _plain(text: str) -> str:
    return text.replace("«", "").replace("»", "")


def _told(folder: Path, texts: dict[str, str], known: linting.Known) -> list[Problem]:
    for name, text in texts.items():
        encoding = "latin-1" if "bäd" in text else "utf-8"
        (folder / name).write_bytes(text.encode(encoding))
    return linting.check(document.read(folder), known)


def test_the_set_that_is_broken_here_is_sound(tmp_path: Path, known: linting.Known) -> None:
    assert _told(tmp_path, TEXTS, known) == []


def test_there_are_two_hundred_different_cases() -> None:
    edits = {(file, old, new) for _, file, old, new, *_ in ALL}

    assert len(edits) == len(ALL) >= 200


@pytest.mark.parametrize("case", ALL, ids=[f"{case[1].removesuffix('.yaml')}: {case[0]}" for case in ALL])
def test_a_broken_file_is_refused_at_the_right_place(case: Case, tmp_path: Path, known: linting.Known) -> None:
    texts, (file, line, column) = _edited(case)

    told = _told(tmp_path, texts, known)

    found = [(one.code, Path(one.place.file).name, one.place.line, one.place.column) for one in told]
    assert (case[4], file, line, column) in found, found
    assert all(one.place.line <= texts[Path(one.place.file).name].count("\n") + 1 for one in told)
