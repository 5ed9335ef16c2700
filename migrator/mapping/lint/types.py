"""What a value is, against what its column takes: E402, W403, E405, W603. Only what is certain without data."""

from __future__ import annotations

from collections.abc import Iterator

from migrator.mapping import values as literals
from migrator.mapping import walk
from migrator.mapping.lint import uses
from migrator.mapping.lint.ground import Ground
from migrator.mapping.lint.uses import Scope, Sort
from migrator.mapping.model import UNSET, Choose, Collect, From, Lookup, Mapping, Place, Reference, Rule, Step, Value
from migrator.mapping.schema import Column, Kind, Table
from migrator.mapping.suggest import suggest

_MOMENTS = {Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP}
_NUMBERS = {Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT}
_STRUCTURED = {Kind.UUID, Kind.JSON, Kind.INET, Kind.TIME}
_NOT_MOMENTS = {Kind.TEXT, Kind.ENUM, Kind.BOOLEAN} | _NUMBERS | _STRUCTURED
#: What never fits without a step, by the kind of the column.
_NEVER: dict[Kind, set[Kind]] = {
    Kind.DATE: _NOT_MOMENTS,
    Kind.DATETIME: _NOT_MOMENTS,
    Kind.TIMESTAMP: _NOT_MOMENTS | {Kind.DATE, Kind.DATETIME},
    Kind.TIME: _MOMENTS | _NUMBERS | {Kind.BOOLEAN, Kind.UUID, Kind.JSON, Kind.INET},
    Kind.INTEGER: _MOMENTS | _STRUCTURED,
    Kind.DECIMAL: _MOMENTS | _STRUCTURED,
    Kind.FLOAT: _MOMENTS | _STRUCTURED,
    Kind.BOOLEAN: _MOMENTS | _STRUCTURED,
    Kind.UUID: _MOMENTS | _NUMBERS | {Kind.BOOLEAN, Kind.TIME, Kind.JSON, Kind.INET},
    Kind.INET: _MOMENTS | _NUMBERS | {Kind.BOOLEAN, Kind.TIME, Kind.JSON, Kind.UUID},
    Kind.ENUM: _MOMENTS | {Kind.UUID, Kind.JSON, Kind.INET, Kind.TIME},
}
_GIVES = {
    "integer": Kind.INTEGER,
    "decimal": Kind.DECIMAL,
    "multiply": Kind.DECIMAL,
    "divide": Kind.DECIMAL,
    "boolean": Kind.BOOLEAN,
    "date": Kind.DATE,
    "epoch": Kind.TIMESTAMP,
    "json": Kind.JSON,
    "php": Kind.JSON,
    "lower": Kind.TEXT,
    "upper": Kind.TEXT,
    "trim": Kind.TEXT,
}
_KEEPS = {"null_if", "between", "one_of"}


def check(ground: Ground) -> None:
    """Check every field of all mappings against its column."""
    for mapping, table, names, rule, column in uses.of_columns(ground):
        _check_kind(ground, names, rule, column)
        _check_values(ground, rule, column)
        _check_null(ground, mapping, names, rule, table, column)


def _check_kind(ground: Ground, names: Scope, rule: Rule, column: Column) -> None:
    for one in leaves(rule):
        kind = _kind(ground, names, one)
        if kind is None:
            continue
        if Kind.BINARY in (kind, column.kind) and kind is not column.kind and column.kind is not Kind.OTHER:
            ground.notes.add("E402", one.place, f"{column.name} takes {_said(column.kind)}, and this is {_said(kind)}")
        elif kind is Kind.DATETIME and column.kind is Kind.TIMESTAMP:
            text = f"{column.name} takes an instant, and this is a time without a zone"
            ground.notes.add("E402", one.place, text, "say the zone it was written in: [{datetime: {timezone: UTC}}]")
        elif kind in _NEVER.get(column.kind, ()):
            text = f"{column.name} takes {_said(column.kind)}, and this is {_said(kind)}"
            ground.notes.add("E402", one.place, text, _step_for(column.kind))
        elif column.kind is Kind.ENUM and kind in _NUMBERS | {Kind.BOOLEAN} and not any(map(_is_number, column.values)):
            text = f"{column.name} takes one of {', '.join(column.values)}, and this is {_said(kind)}"
            ground.notes.add("E402", one.place, text, "add transform: [{map: {OLD: NEW}}]")


def _step_for(kind: Kind) -> str:
    if kind in _MOMENTS:
        return "add transform: [{datetime: {timezone: …}}], [date] or [{epoch: s}]"
    return "add transform: [{map: {OLD: NEW}}], or take another column"


def _said(kind: Kind) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _is_number(text: str) -> bool:
    return text.lstrip("-").isdecimal()


def _kind(ground: Ground, names: Scope, rule: Rule) -> Kind | None:
    """What *rule* gives to fit, None where that is not certain."""
    kind = _source_kind(ground, names, rule)
    for step in rule.steps:
        kind = kind if step.name in _KEEPS else _step_kind(step)
    return kind


def _source_kind(ground: Ground, names: Scope, rule: Rule) -> Kind | None:
    source = rule.source
    if not isinstance(source, From) or len(source.columns) != 1:
        return None
    if source.aggregate == "count":
        return Kind.INTEGER
    use = names.use(source.columns[0])
    if use.sort not in (Sort.COLUMN, Sort.MANY) or len(use.tables) != 1:
        return None
    column = ground.legacy_column(use.tables[0], use.column)
    return column.kind if column else None


def _step_kind(step: Step) -> Kind | None:
    if step.name == "datetime":
        zoned = isinstance(step.args, dict) and "timezone" in step.args
        return Kind.TIMESTAMP if zoned else None
    return _GIVES.get(step.name)


def _check_values(ground: Ground, rule: Rule, column: Column) -> None:
    allowed = column.values if column.kind is Kind.ENUM else column.allowed
    for value, place in _outputs(rule) if allowed else ():
        text = literals.literal_text(value)
        if text is not None and text not in allowed and not _is_same(text, column, allowed):
            ground.notes.add("E405", place, f'{column.name} cannot hold "{text}"', suggest(text, allowed))


def _is_same(text: str, column: Column, allowed: tuple[str, ...]) -> bool:
    """Truths and numbers may be spelled in more than one way."""
    if column.kind in (Kind.TEXT, Kind.ENUM):
        return False
    return {"true": "1", "false": "0"}.get(text, text) in {one.removesuffix(".0") for one in allowed}


def _outputs(rule: Rule) -> Iterator[tuple[object, Place]]:
    """Every value that *rule* is certain to be able to give, and the place that says so."""
    for one in leaves(rule):
        last = one.steps[-1] if one.steps else None
        if last is not None and last.name == "map" and isinstance(last.args, dict):
            keeps = last.args.get("else") == "keep"
            yield from ((value, last.place) for key, value in last.args.items() if not (key == "else" and keeps))
        if isinstance(one.source, Value) and not one.steps:
            yield one.source.literal, one.place
        if one.default is not UNSET:
            yield one.default, one.place
    if isinstance(rule.source, Choose) and rule.default is not UNSET:
        yield rule.default, rule.place


def _check_null(ground: Ground, mapping: Mapping, names: Scope, rule: Rule, table: Table, column: Column) -> None:
    saved = rule.required or (rule.default is not UNSET and rule.default is not None)
    unique = column.name in {name for key in (table.key, *table.uniques) for name in key}
    if (not column.nullable or unique) and rule.on_error == "use" and rule.use is None and not saved:
        why = "is unique" if column.nullable else "may not be null"
        ground.notes.add("W603", rule.place, f"{column.name} {why}, and on_error puts null there")
    elif not column.nullable and not saved and _may_be_null(ground, names, rule):
        text = f"{column.name} may not be null, and this can be"
        ground.notes.add("W403", rule.place, text, "add required: true (such a row goes to review) or a default")


def _may_be_null(ground: Ground, names: Scope, rule: Rule) -> bool:
    source = rule.source
    if isinstance(source, Choose):
        return _choice_may_be_null(ground, names, source)
    if any(_gives_null(step) for step in rule.steps):
        return True
    if isinstance(source, Collect):
        return source.of is not None  # no rows are null, not an empty list
    if isinstance(source, Value):
        return source.literal is None
    if isinstance(source, From) and source.aggregate == "count":
        return False
    if isinstance(source, From | Lookup | Reference):
        found = [use for use in uses.of_rule(rule, names) if use.sort is not Sort.PLAN]
        return bool(found) and all(_use_may_be_null(ground, use) for use in found)
    return False


def _choice_may_be_null(ground: Ground, names: Scope, choose: Choose) -> bool:
    total = any(branch.when is None for branch in choose.branches)
    given = [b.rule for b in choose.branches if b.rule and not b.rule.required and b.rule.default is UNSET]
    return not total or any(_may_be_null(ground, names, rule) for rule in given)


def _gives_null(step: Step) -> bool:
    if step.name == "map":
        return isinstance(step.args, dict) and None in step.args.values()
    if step.name == "split":  # the first and the last part are always there
        return isinstance(step.args, dict) and step.args.get("take") not in (None, "first", "last", "all")
    return step.name in ("null_if", "json_get")


def _use_may_be_null(ground: Ground, use: uses.Use) -> bool:
    if use.sort in (Sort.NAME, Sort.MANY) or "." in use.written:
        return True  # a joined row need not be there
    column = ground.legacy_column(use.tables[0], use.column) if use.tables else None
    return column is not None and column.nullable


def leaves(rule: Rule) -> Iterator[Rule]:
    """The rules that give the value itself: *rule*, or the branches of a choose without steps of its own."""
    if not isinstance(rule.source, Choose):
        yield rule
    elif not rule.steps:
        for spot in walk.within("", rule):
            if spot.path == "" and not isinstance(spot.rule.source, Choose):
                yield spot.rule
