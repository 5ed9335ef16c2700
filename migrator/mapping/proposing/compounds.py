"""Fields made of several columns: names, addresses, items, settings, and what is left over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from migrator.mapping.proposing import rules, words
from migrator.mapping.proposing.bench import Bench, listed
from migrator.mapping.proposing.columns import Candidate
from migrator.mapping.proposing.rules import Proposed
from migrator.mapping.schema import Column, Kind

Taken = Mapping[str, Candidate]
_ITEMS = {
    "product_id": "product_id",
    "sku": "sku",
    "title": "title",
    "quantity": "quantity",
    "unit_price": "price",
    "selected": "selected",
}
_RECEIVER = ("recipient", "street", "postal", "city", "region", "country", "phone")
_PARTS = {"address": _RECEIVER[1:-1], "shipping": _RECEIVER, "billing": _RECEIVER}
_LEFTOVERS = ("property", "properties", "metadata", "extra", "data", "attribute")
_PART, _ITEM = 0.8, 0.75  # how alike a part of an address, and of an item, must be


def compound(bench: Bench, column: Column, taken: Taken) -> Proposed | None:
    """Propose a field that no single column is."""
    required = {} if column.nullable else {"required": True}
    if bench.grouped and column.kind is Kind.TIMESTAMP:
        return _latest(bench, column)
    if bench.unnested is not None and column.kind is Kind.INTEGER and words.means(column.name, "position"):
        return Proposed({"from": "n", **required})
    if column.kind is Kind.JSON:
        return _document(bench, column, taken)
    return _name(bench, column, required) if column.kind is Kind.TEXT else None


def of_group(proposed: Proposed, candidate: Candidate) -> Proposed:
    """One value of the many that a group has."""
    how = "max" if candidate.seen.unit or words.means(candidate.ref, "at") else "first"
    rule = {"from": proposed.rule["from"], "aggregate": how, **proposed.rule}
    return Proposed(rule, proposed.question)


def settings(bench: Bench, column: Column) -> Proposed | None:
    """Names that stand in rows, as one document."""
    if column.kind is not Kind.JSON or bench.pivot is None:
        return None
    names = {name: {"from": name} for name in sorted(bench.pivot.names)}
    return Proposed({"object": names, "omit_nulls": True}, "? which of these are wanted, and their types")


def _latest(bench: Bench, column: Column) -> Proposed | None:
    moments = bench.moments()
    if len(moments) != 1:
        return None
    proposed = of_group(rules.rule(column, moments[0], bench.candidates), moments[0])
    return replace(proposed, question="? the latest of these")


def _name(bench: Bench, column: Column, required: dict[str, Any]) -> Proposed | None:
    """A whole name out of its parts, or a part out of the whole."""
    first, last = (bench.nearest(name) for name in ("first_name", "last_name"))
    parts = [one.ref for one in (first, last) if one is not None]
    if len(set(parts)) == 2 and any(words.means(column.name, word) for word in ("recipient", "full", "name")):
        steps = [{"concat": {"separator": " "}}, "collapse_spaces", "trim"]
        return Proposed({"from": parts, "transform": steps, **required, "sensitive": True})
    whole = bench.nearest("real_name") or bench.nearest("full_name")
    for meaning, take in (("family", "first"), ("first", "rest")) if whole else ():
        if whole and any(words.alike(word, meaning) >= words.MEANS for word in words.words(column.name)[:1]):
            steps = ["trim", {"split": {"separator": " ", "take": take}}]
            rule = {"from": whole.ref, "transform": steps, **required, "sensitive": True}
            return Proposed(rule, "? which part of the name comes first")
    return None


def _document(bench: Bench, column: Column, taken: Taken) -> Proposed | None:
    if any(words.alike(word, "items") >= words.MEANS for word in words.words(column.name)):
        return _items(bench)
    for meaning, names in _PARTS.items():
        if words.words(column.name)[-1:] == (meaning,):
            return _object(bench, names, taken)
    if any(word in _LEFTOVERS for word in words.words(column.name)):
        return _leftovers(bench, taken)
    lines = bench.nearest(column.name)
    if lines is None or lines.seen.column.kind is not Kind.TEXT or bench.ground.is_single(bench.ours):
        return None
    default: dict[str, Any] = {} if column.nullable else {"default": []}
    sensitive = {"sensitive": True} if rules.is_personal(lines.ref) else {}
    split = [{"split": {"separator": "\n", "take": "all"}}]
    return Proposed({"from": lines.ref, "transform": split, **default, **sensitive})


def _items(bench: Bench) -> Proposed | None:
    """Items: the rows of a group, or of a legacy table that leads here."""
    if bench.grouped:
        found = _item(bench.candidates)
        return Proposed({"collect": found, "default": []}) if found else None
    for name, way in bench.ground.ways.items():
        if way.parent == bench.theirs and name not in bench.pairs.values() and bench.ground.rows(name):
            key = bench.ground.legacy.tables[name].key
            many = {"order": key[0], "item_key": key[0]} if len(key) == 1 else {}
            found = _item(bench.ground.candidates(name))
            if found:
                bench.joins["lines"] = {"table": name, "match": {way.on: way.key}, "many": many}
                return Proposed({"of": "lines", "collect": found, "default": []})
    return None


def _item(candidates: Iterable[Candidate]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    free = [one for one in candidates if one.join is None and not one.seen.empty]
    for name, said in _ITEMS.items():
        best = _best(said, free)
        if best is not None and words.likeness(words.words(said), best.words) >= _ITEM:
            free.remove(best)
            flag = {"transform": ["boolean"]} if name == "selected" and "flag" in best.seen.looks else {}
            found[name] = {"from": best.ref, **flag}
    return found


def _object(bench: Bench, names: Iterable[str], taken: Taken) -> Proposed | None:
    """An address and the like: the parts that are there."""
    used = {one.ref for one in taken.values()}
    free = [one for one in bench.candidates if one.ref not in used and not one.seen.empty and one.aggregate is None]
    found: dict[str, Any] = {}
    for name in names:
        best = _best(name, free)
        if best is not None and words.likeness((name,), best.words) >= _PART:
            free.remove(best)
            found[name] = {"from": best.ref, "transform": ["trim"]}
    return Proposed({"object": found, "omit_nulls": True, "sensitive": True}) if found else None


def _best(name: str, free: list[Candidate]) -> Candidate | None:
    wanted = words.words(name)
    return max(free, key=lambda one: words.likeness(wanted, one.words), default=None)


def _leftovers(bench: Bench, taken: Taken) -> Proposed | None:
    """Text that no other field reads, as one document."""
    used = {one.ref for one in taken.values()} | bench.leading() | set(listed(bench.source["key"]))
    found: dict[str, Any] = {}
    for one in bench.candidates:
        told = not (one.ref in used or one.join is not None or one.seen.empty or one.seen.constant)
        if told and one.seen.column.kind is Kind.TEXT:
            step = next((step for step in ("php", "json") if step in one.seen.looks), None)
            found[one.ref] = {"from": one.ref, **({"transform": [step]} if step else {})}
    return Proposed({"object": found, "omit_nulls": True}, "? which of these are wanted") if found else None
