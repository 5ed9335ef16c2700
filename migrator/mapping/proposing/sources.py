"""`source:` and `target.id` of a proposed mapping: whose rows, by which key, folded or joined how."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from migrator.mapping.proposing import words, writing
from migrator.mapping.proposing.bench import Bench, listed, refs
from migrator.mapping.proposing.facts import has_blanks
from migrator.mapping.proposing.ground import ATTRIBUTES
from migrator.mapping.proposing.rules import Proposed
from migrator.mapping.schema import Kind


def begin(bench: Bench) -> None:
    """Say which rows are read, whose they are, and how many of them make one."""
    table = bench.ground.legacy.tables[bench.theirs]
    bench.user = _user(bench)
    key: Any = list(table.key) if len(table.key) > 1 else table.key[0] if table.key else bench.user
    bench.source |= {"table": bench.theirs, "key": key, "user": bench.user}
    if bench.pivot is not None:
        bench.source["key"] = bench.user
        duplicates = {"duplicates": {"most_recent": bench.pivot.order}} if bench.pivot.order else {}
        names = {"by": bench.user, "names": bench.pivot.column, "values": bench.pivot.value}
        bench.source["pivot"] = {**names, **duplicates}
    elif _folds(bench):
        _group(bench, table.key)
    if bench.way.loose:
        values = {"values": [0]} if bench.way.zero else {}
        bench.source["without_user"] = {**values, "leave": writing.GAP}


def finish(bench: Bench, fields: Iterable[Proposed]) -> None:
    """Add the joins that fields came to need, and how nothing is written."""
    made = [proposed.rule for proposed in fields]
    _join_attributes(bench, made)
    _join_moments(bench, made)
    if bench.joins:
        bench.source["join"] = bench.joins
    tables = [bench.theirs, *(table for join in bench.joins.values() for table in listed(join["table"]))]
    frames = [bench.ground.peek.rows(table) for table in tables]
    blanks = list(dict.fromkeys(blank for frame in frames for series in frame for blank in has_blanks(series)))
    if blanks:
        bench.source["null_if"] = blanks


def identity(bench: Bench) -> dict[str, Any]:
    """`target.id`."""
    if len(bench.ours.key) != 1:
        return {"fields": list(bench.ours.key)}
    name = bench.ours.key[0]
    if bench.ground.is_single(bench.ours):
        return {"lookup": bench.names[bench.ground.root], "by": bench.user, "as": name}
    key = bench.source["key"]
    if bench.ours.columns[name].kind is Kind.INTEGER and isinstance(key, str):
        return {"keep": key}
    return {"uuid5": key}


def _user(bench: Bench) -> str:
    way = bench.way
    if way.column is not None:
        return way.column
    assert way.parent and way.key and way.on  # a way without a column goes over a parent
    name = words.words(way.parent)[-1]
    name = name if name not in bench.ground.seen[bench.theirs] else f"of_{name}"
    bench.joins[name] = {"table": way.parent, "match": {way.key: way.on}}
    return f"{name}.{way.take}"


def _folds(bench: Bench) -> bool:
    """The target has one row per user, and legacy has several."""
    to_user = [key.columns for key in bench.ours.foreign_keys if key.table == bench.ground.root]
    single = any(len(key) == 1 and key in to_user for key in (*bench.ours.uniques, bench.ours.key))
    if not single or bench.way.column is None or bench.theirs == bench.ground.users:
        return False
    texts = bench.ground.seen[bench.theirs][bench.way.column].texts
    return bool(len(texts) > texts.n_unique())


def _group(bench: Bench, key: tuple[str, ...]) -> None:
    bench.grouped = True
    moments = bench.moments()
    order = {"order": moments[0].ref} if moments else {}
    item_key = {"item_key": key[0]} if len(key) == 1 else {}
    bench.source["key"] = bench.user
    bench.source["group"] = {"by": bench.user, **order, **item_key}


def _join_attributes(bench: Bench, made: list[dict[str, Any]]) -> None:
    used = {ref.partition(".")[2] for rule in made for ref in refs(rule, ATTRIBUTES)}
    for names in bench.ground.pivots:
        mine = [table for table in names.tables if any(names.table_of.get(name) == table for name in used)]
        if names.owner == bench.theirs and names.codes is not None and mine:
            named = {"from": names.column, "table": names.codes, "match": names.codes_key, "take": names.codes_take}
            pivot = {"names": named, "values": names.value}
            bench.joins[ATTRIBUTES] = {"table": mine, "match": {names.match: names.key}, "pivot": pivot}


def _join_moments(bench: Bench, made: list[dict[str, Any]]) -> None:
    for one in bench.candidates:
        if one.table and one.join and any(one.ref in refs(rule, one.join) for rule in made):
            key = bench.ground.legacy.tables[one.table].key
            many = {"item_key": key[0]} if len(key) == 1 else {}
            match = {bench.ground.ways[one.table].column: bench.ground.users_key}
            bench.joins[one.join] = {"table": one.table, "match": match, "many": many}
