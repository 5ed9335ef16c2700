"""The way of every value of one mapping, written down while the real rules run; and told for one row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from migrator.mapping import jsons, secrecy
from migrator.mapping import values as columns
from migrator.mapping.model import (
    UNSET,
    Choose,
    Collect,
    From,
    Lookup,
    Number,
    Object,
    Reference,
    Rest,
    Rule,
    Step,
    Value,
)
from migrator.mapping.sheet import Sheet
from migrator.mapping.troubles import Result, Trouble
from migrator.mapping.values import Values
from migrator.mapping.watch import Watch

ITEMS_SHOWN = 3


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One look at the values on their way; `what`: from · step · on_error · default · decision · merge · fit."""

    what: str
    name: str
    values: tuple[Values, ...]
    labels: tuple[str, ...] = ()
    step: Step | None = None


@dataclass(eq=False)
class Trail:
    """The way of one field, or of a part of it: what was seen, and the rules within it, by branch where it chooses."""

    rule: Rule | None
    path: str
    sheet: Sheet
    branch: tuple[int, pl.Series] | None = None
    seen: list[Seen] = field(default_factory=list)
    inner: list[Trail] = field(default_factory=list)
    branches: list[tuple[int, pl.Series]] = field(default_factory=list)
    troubles: tuple[Trouble, ...] = ()

    @property
    def secret(self) -> bool:
        """Whether its values are shown to nobody."""
        return self.rule is not None and secrecy.is_secret(self.path, self.rule, self.sheet.rules)

    @property
    def sensitive(self) -> bool:
        """Whether its values are shown only to who asks for them."""
        return self.rule is not None and secrecy.is_sensitive(self.path, self.rule, self.sheet.rules)


class Recorder(Watch):
    """Writes down what happens in one mapping."""

    def __init__(self, mapping: str) -> None:
        self.mapping = mapping
        self.trails: dict[str, Trail] = {}
        self.sheet: Sheet | None = None
        self._open: list[Trail] = []
        self._branch: tuple[int, pl.Series] | None = None

    def begin(self, rule: Rule, path: str, sheet: Sheet) -> None:
        """Open a trail: of a field, or within the one that is open."""
        trail = Trail(rule, path, sheet)
        above = self._open[-1] if self._open else None
        self._open.append(trail)
        if sheet.name != self.mapping:
            return
        if above is not None and above.sheet.name == sheet.name and _is_part(path, above.path):
            trail.branch, self._branch = self._branch, None
            above.inner.append(trail)
        else:
            self.trails[path] = trail
            self.sheet = sheet if sheet.outer is None else self.sheet

    def branch(self, number: int, here: pl.Series) -> None:
        """Note which rows take a branch of the choose that is open."""
        self._open[-1].branches.append((number, here))
        self._branch = (number, here)

    def source(self, labels: tuple[str, ...], values: tuple[Values, ...]) -> None:
        """Note what the source gave."""
        self._branch = None
        self._open[-1].seen.append(Seen("from", "", values, labels))

    def step(self, step: Step, values: Values) -> None:
        """Note what a step made."""
        self._open[-1].seen.append(Seen("step", step.name, (values,), step=step))

    def instead(self, name: str, values: Values) -> None:
        """Note what stands there now."""
        self._open[-1].seen.append(Seen(name, name, (values,)))

    def end(self, result: Result) -> None:
        """Close the trail."""
        self._open.pop().troubles = result.troubles

    def merged(self, sheet: Sheet, fields: dict[str, Values]) -> None:
        """Note what folding made of each field."""
        if sheet.name == self.mapping:
            for name, values in fields.items():
                self.trails[name].seen.append(Seen("merge", "merge_duplicates", (values,)))

    def fitted(self, sheet: Sheet, column: str, values: Values) -> None:
        """Note what goes into the target; a column without a rule is the id."""
        if sheet.name == self.mapping:
            trail = self.trails.setdefault(column, Trail(None, column, sheet))
            trail.seen.append(Seen("fit", "fit", (values,)))


def _is_part(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}.")


# ---- told for one row -------------------------------------------------------------------------------------------


def told(trail: Trail, row: int) -> dict[str, Any]:
    """
    Tell the way of one field in one row.

    Returns:
        `field`, `file`, `line`, `secret`, `sensitive`, `steps` (each `step`, `in`, `out`, `said`), `branch` (its number, from 1,
        and condition) where it chooses, `parts` (the same again), `value` at the end.
    """
    steps = list(_steps(trail, row))
    told_ = {
        "field": trail.path,
        "file": trail.rule.place.file if trail.rule else None,
        "line": trail.rule.place.line if trail.rule else None,
        "secret": trail.secret,
        "sensitive": trail.sensitive,
        "branch": _branch(trail, row),
        "parts": list(_parts(trail, row)),
        "steps": steps,
        "value": steps[-1]["out"] if steps else None,
    }
    return told_


def _steps(trail: Trail, row: int) -> Iterator[dict[str, Any]]:
    before: str | None = None
    for number, seen in enumerate(trail.seen):
        out = _text(seen, row)
        if seen.what in ("on_error", "default", "decision", "merge") and out == before:
            continue
        said = "; ".join(_said(trail, seen, row, first=number == 0))
        name = _source_name(trail) if seen.what == "from" else _step_name(trail, seen)
        yield {"step": name, "in": _inputs(seen, row) if seen.what == "from" else before, "out": out, "said": said}
        before = out
    lacking = [trouble for trouble in trail.troubles if trouble.rule in ("required", "decision")]
    for trouble in lacking:
        if (note := _about(trouble, row)) is not None:
            yield {"step": trouble.rule, "in": before, "out": None, "said": note}


def _text(seen: Seen, row: int) -> str | None:
    if len(seen.values) == 1:
        return _one(seen.values[0], row)
    shown = [_one(values, row) for values in seen.values]
    return ", ".join("null" if text is None else text for text in shown)


def _inputs(seen: Seen, row: int) -> str | None:
    if len(seen.values) < 2:
        return None
    pairs = zip(seen.labels, seen.values, strict=False)
    return ", ".join(f"{label}={'null' if (text := _one(values, row)) is None else text}" for label, values in pairs)


def _one(values: Values, row: int) -> str | None:
    value = columns.text(values.values.slice(row, 1)).item()
    return None if value is None else str(value)


def _said(trail: Trail, seen: Seen, row: int, *, first: bool) -> Iterator[str]:
    """What was wrong, or changed, at this step: the findings say it."""
    for trouble in trail.troubles:
        here = seen.step is not None and trouble.rule == seen.name and trouble.place == seen.step.place
        of_source = first and trouble.rule in ("lookup", "choose", "min", "max", "sum", "count", "first", "last")
        of_source = of_source and (trail.rule is None or trouble.place == trail.rule.place or trouble.rule == "choose")
        if (here or of_source) and trouble.field == trail.path and (note := _about(trouble, row)) is not None:
            yield note


def _about(trouble: Trouble, row: int) -> str | None:
    hit = (trouble.rows == row).arg_true()
    if not len(hit):
        return None
    note, after = trouble.note.gather(hit).item(0), trouble.after.gather(hit).item(0)
    instead = f", {'null' if after is None else after} instead" if trouble.outcome == "warning" else ""
    return f"{trouble.outcome}: {note or trouble.rule}{instead}"


def _branch(trail: Trail, row: int) -> dict[str, Any] | None:
    if trail.rule is None or not isinstance(trail.rule.source, Choose):
        return None
    for number, here in trail.branches:
        if here.gather([row]).item():
            branch = trail.rule.source.branches[number]
            when = "else" if branch.when is None else " and ".join(_test(test) for test in branch.when.tests) or "any"
            return {"number": number + 1, "when": when, "review": branch.review, "warn": branch.warn}
    return {"number": None, "when": "no branch", "review": None, "warn": None}


def _test(test: Any) -> str:
    literal = test.value
    if isinstance(literal, tuple):
        literal = [columns.literal_text(one) for one in literal]
        literal = literal[0] if len(literal) == 1 else literal
    return f"{test.column} {test.op.replace('_', ' ')}" + ("" if literal is None else f" {literal}")


def _parts(trail: Trail, row: int) -> Iterator[dict[str, Any]]:
    for inner in trail.inner:
        if inner.branch is not None:
            if inner.branch[1].gather([row]).item():
                yield told(inner, row)
        elif inner.sheet is trail.sheet:
            yield told(inner, row)
    yield from _items(trail, [one for one in trail.inner if one.branch is None and one.sheet is not trail.sheet], row)


def _items(trail: Trail, rules: list[Trail], row: int) -> Iterator[dict[str, Any]]:
    """The rules of a collect, item by item."""
    if not rules:
        return
    sheet = rules[0].sheet
    assert sheet.outer is not None  # only items have another sheet than their rows
    numbers = (sheet.outer[1] == row).arg_true().to_list()
    source = trail.rule.source if trail.rule else None
    key = trail.sheet.item_key(source.of) if isinstance(source, Collect) else None
    for place, number in enumerate(numbers[:ITEMS_SHOWN]):
        named = sheet.column(key).text.gather([number]).item() if key in sheet.frame.columns else place
        for rule in rules:
            one = told(rule, number)
            yield {**one, "field": f"{trail.path}[{named}]{rule.path.removeprefix(trail.path)}", "items": len(numbers)}


def _source_name(trail: Trail) -> str:
    return source_name(trail.rule) if trail.rule else "id"


def source_name(rule: Rule) -> str:
    """Say a rule's source in a few words: `from: email`, `lookup: accounts by user_id`."""
    source = rule.source
    if isinstance(source, From):
        return f"{source.aggregate or 'from'}: {', '.join(source.columns)}"
    if isinstance(source, Value):
        return f"value: {columns.literal_text(source.literal)}"
    if isinstance(source, Lookup):
        return f"lookup: {source.mapping} by {', '.join(source.by)}"
    if isinstance(source, Reference):
        return f"lookup: {source.table}.{source.take} by {', '.join(column for _, column in source.match)}"
    names: dict[type, str] = {Object: "object", Collect: "collect", Choose: "choose", Number: "number", Rest: "rest"}
    return names.get(type(source), type(source).__name__.lower())


def _step_name(trail: Trail, seen: Seen) -> str:
    if trail.rule is None:
        return "id"
    if seen.what == "step" and seen.step is not None:
        return seen.name if seen.step.args is None else f"{seen.name} {_argument(seen.step.args)}"
    if seen.what == "default" and trail.rule is not None and trail.rule.default is not UNSET:
        return "default"
    return seen.name


def _argument(args: Any) -> str:
    return args if isinstance(args, str) else jsons.write(args if not isinstance(args, tuple) else list(args))
