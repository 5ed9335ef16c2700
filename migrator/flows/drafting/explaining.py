"""How one user's rows come about, field by field and step by step: the real rules, with somebody looking on."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from migrator.errors import NotFound, Refused
from migrator.flows.drafting import changes, sampling
from migrator.flows.drafting.sampling import Sample, Wanted
from migrator.flows.moving import outlook
from migrator.flows.parts import Parts
from migrator.flows.plans import planning
from migrator.mapping import backward, ids, trails, walk
from migrator.mapping.backward import telling
from migrator.mapping.model import Mapping, MappingSet, Rule
from migrator.mapping.outcome import Mapped
from migrator.mapping.sheet import Sheet
from migrator.mapping.suggest import suggest

ROWS_SHOWN = 3


def explain(
    parts: Parts, mapping: str, user: str, *, key: str | None = None, field: str | None = None, reveal: bool = False
) -> dict[str, Any]:
    """
    Read one user, carry all mappings out, and tell what one of them did.

    Args:
        key: which source row, where the user has several; parts of a key with `, ` between them.
        field: only this target column, var, or part (`settings.theme`).
        reveal: show values of sensitive fields, too.

    Returns:
        `rows`: per source row its `key`, `outcome`, `fields` (see `trails.told`), `findings` and `target` (each column
        with what is there now); `books` of the mapping; `user` with what becomes of him; `more` keys not shown.

    Raises:
        NotFound: there is no such mapping, user, row or field.
    """
    set_ = planning.checked_set(parts)
    document = mapping_named(set_, mapping)
    sample = sampling.choose(parts, set_, Wanted(keys=(user,)))
    if sample.excluded:
        raise Refused(f"user {user} is excluded by `users.where` in set.yaml; nothing of his is mapped")
    recorder = trails.Recorder(document.name)
    context = replace(sampling.context(parts, set_, sample, sample.keys), watch=recorder)
    seen = outlook.of(parts, set_, sample.keys, context)
    rows = seen.mapped if sample.status.get(user) in sampling.IN_TARGET else seen.decided
    sheet = recorder.sheet
    keys = sheet.keys.to_list() if sheet is not None else []
    mine = (sheet.users == user).to_list() if sheet is not None else []
    chosen = _chosen(document, user, keys, mine, key)
    wanted = _fields(document, recorder, field)
    made = changes.of(parts, set_, rows, seen.look)[document.name]
    cover = _cover(set_, document, reveal=reveal)
    return {
        "mapping": document.name,
        "file": document.place.file,
        "user": _user(sample, rows, user),
        "books": _book(rows, document.name),
        "rows": [
            _row(document, recorder, rows, made, number, keys[number], wanted, cover) for number in chosen[:ROWS_SHOWN]
        ],
        "more": [shown_key(keys[number]) for number in chosen[ROWS_SHOWN:]],
        "back": _back(parts, set_, document),
    }


def _back(parts: Parts, set_: MappingSet, document: Mapping) -> list[dict[str, Any]]:
    """What of each column could go back to legacy after the cutover, and whose changes count."""
    ways = backward.ways(set_, parts.legacy_schema, parts.target_schema)
    return [
        {"field": line.column, "how": line.how, "where": line.where, "why": line.why, "owner": line.owner}
        for line in telling.table({document.name: ways[document.name]})
        if line.column in document.fields
    ]


def mapping_named(set_: MappingSet, name: str) -> Mapping:
    """The mapping a person means, or NotFound with the nearest name."""
    if name not in set_.mappings:
        raise NotFound(f'there is no mapping "{name}"; {suggest(name, set_.mappings)}')
    return set_.mappings[name]


def shown_key(key: str) -> str:
    """A row's key for people."""
    return key.replace(ids.SEPARATOR, ", ")


def rows_named(keys: Sequence[str], key: str) -> list[int]:
    """The numbers of the rows whose key a person typed."""
    return [
        number
        for number, found in enumerate(keys)
        if key in (found, shown_key(found), shown_key(found).replace(" ", ""))
    ]


def _chosen(document: Mapping, user: str, keys: Sequence[str], mine: Sequence[bool], key: str | None) -> list[int]:
    """The numbers of the rows to be told; who merges with the user is read with him, and not told."""
    numbers = [number for number, his in enumerate(mine) if his]
    if not numbers or key is None:
        return numbers
    found = [number for number in rows_named(keys, key) if mine[number]]
    if not found:
        some = ", ".join(shown_key(keys[number]) for number in numbers[:5])
        raise NotFound(f"user {user} has no row {key} in {document.name}; there are {len(numbers)}, e.g. {some}")
    return found


def _fields(document: Mapping, recorder: trails.Recorder, field: str | None) -> list[str]:
    there = [*recorder.trails]
    order = [name for name in (*document.vars, *document.fields) if name in there]
    every = [name for name in there if name not in order] + order
    if field is None:
        return every
    top = field.removeprefix("$").partition(".")[0]
    if top not in (*document.vars, *document.fields, *there):
        raise NotFound(f'{document.name} has no field "{field}"; {suggest(top, document.fields)}')
    return [top] if top in there else []


def _user(sample: Sample, rows: Mapped, user: str) -> dict[str, Any]:
    status = sample.status.get(user)
    becomes = "held" if user in rows.held else "moves"
    if status in sampling.IN_TARGET:
        becomes = f"is {status} already"
    return {"key": user, "status": status, "becomes": becomes}


def _book(rows: Mapped, name: str) -> dict[str, int]:
    book = rows.books[name]
    return {part: getattr(book, part) for part in book.__slots__}


def _row(
    document: Mapping,
    recorder: trails.Recorder,
    rows: Mapped,
    made: changes.Changes,
    number: int,
    key: str,
    wanted: Sequence[str],
    cover: changes.Cover,
) -> dict[str, Any]:
    rules = document.vars | document.fields
    told = [_covered(trails.told(recorder.trails[name], number), rules, cover) for name in wanted]
    fields = changes.Cover.of(document, reveal=cover.reveal)
    mine = rows.findings.filter((pl.col("mapping") == document.name) & (pl.col("key") == key))
    findings = [
        {
            "field": one["field"], "rule": one["rule"], "outcome": one["outcome"], "waits_for": one["waits_for"],
            "value": changes.covered(
                one["value"], secret=one["field"] in fields.secret, sensitive=one["sensitive"], reveal=cover.reveal
            ),
            "note": one["note"], "file": one["file"], "line": one["line"],
        }
        for one in mine.iter_rows(named=True)
    ]  # fmt: skip
    for one in findings:  # what does not fit is found after the rules are done
        for way in told:
            if one["rule"] == "fit" and one["field"] == way["field"] and way["steps"]:
                way["steps"][-1]["said"] = f"{one['outcome']}: {one['note']}"
    return {
        "key": shown_key(key),
        "outcome": _outcome(rows, made, document, key, mine, recorder.sheet),
        "fields": told,
        "findings": findings,
        "changes": _changes(made, key, wanted, fields),
    }


def _outcome(
    rows: Mapped, made: changes.Changes, document: Mapping, key: str, mine: pl.DataFrame, sheet: Sheet | None
) -> str:
    written = rows.rows[document.name]
    if key in written["__key"].to_list():
        if key in made.created["key"].to_list():
            return "new"
        return "update" if key in made.updated["key"].to_list() else "unchanged"
    outcomes = set(mine["outcome"].to_list())
    if outcomes & {"review", "blocked"}:
        return "review" if "review" in outcomes else "blocked"
    owner = sheet.users.filter(sheet.keys == key).to_list() if sheet is not None else []
    if rows.held & set(owner):
        return "blocked"
    return "folded" if document.merge is not None else "skipped"


def _changes(made: changes.Changes, key: str, wanted: Sequence[str], cover: changes.Cover) -> list[dict[str, Any]]:
    cells = made.cells.filter((pl.col("key") == key) & pl.col("field").is_in(list(wanted)))
    return [
        {
            "field": row["field"],
            "before": cover.shown(row["field"], row["before"]),
            "after": cover.shown(row["field"], row["after"]),
        }
        for row in cells.iter_rows(named=True)
    ]


# ---- what is for nobody -----------------------------------------------------------------------------------------


def _cover(set_: MappingSet, document: Mapping, *, reveal: bool) -> changes.Cover:
    """Source columns that a sensitive rule reads, or that say who the user is."""
    cover = changes.Cover.of_source(document, reveal=reveal)
    who = set_.set.users
    named = {str(name) for name in (who.email, who.name) if name and document.source.table == who.table}
    return replace(cover, sensitive=cover.sensitive | named)


def _covered(
    told: dict[str, Any],
    rules: MappingOf[str, Rule],
    cover: changes.Cover,
    *,
    secret: bool = False,
    sensitive: bool = False,
) -> dict[str, Any]:
    """The same without what is not for the reader: a field as a whole, and every part of it."""
    read = _read(rules[told["field"]]) if told["field"] in rules else set()
    secret = secret or told["secret"] or bool(read & cover.secret)
    sensitive = sensitive or told["sensitive"] or bool(read & cover.sensitive)

    def shown(value: str | None) -> str | None:
        return changes.covered(value, secret=secret, sensitive=sensitive, reveal=cover.reveal)

    return {
        **told,
        "secret": secret,
        "sensitive": sensitive,
        "steps": [{**step, "in": shown(step["in"]), "out": shown(step["out"])} for step in told["steps"]],
        "parts": [_covered(part, rules, cover, secret=secret, sensitive=sensitive) for part in told["parts"]],
        "value": shown(told["value"]),
    }


def _read(rule: Rule) -> set[str]:
    return {str(name) for spot in walk.within("", rule) for name in getattr(spot.rule.source, "columns", ())}
