"""Source rows made of what an example gives: typed by the legacy schema, everything else null."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from migrator.mapping import faults, foldings, ids, jsons, uses
from migrator.mapping import values as columns
from migrator.mapping.joins import Reading
from migrator.mapping.model import Example, Join, Mapping, Unnest
from migrator.mapping.outcome import SourceRows
from migrator.mapping.people import with_everybody
from migrator.mapping.schema import Kind, Schema

_USER = "example"


def rows_of(mapping: Mapping, example: Example, legacy: Schema | None) -> SourceRows:
    """
    Make the source row of *example*.

    Columns stand under their names, a one-row join or pivot as a map, a `many` join as a list of maps; in a grouped
    source a column may be a list. `null_if` is applied, `where` is not.
    """
    legacy = legacy and with_everybody(legacy)
    known = legacy or Schema("")
    table = (
        {name: column.kind for name, column in known.tables[str(mapping.source.table)].columns.items()}
        if legacy
        else {}
    )
    made: dict[str, pl.Series] = {}
    for name in uses.columns(mapping, known):
        if "." not in name:
            made[name] = _series(name, example.given.get(name), table.get(name))
    for name, value in example.given.items():
        if name not in made and name not in mapping.source.joins:
            made[str(name)] = _series(name, value, table.get(name))
    for join in mapping.source.joins.values():
        made |= _joined(join, example.given.get(join.name), uses.columns(mapping, known), known)
    made |= {"__user": pl.Series([_USER]), "__rest": pl.Series(["{}"])}
    frame = Reading(known, _no_fetch, mapping.source.null_if, None).nulled(pl.DataFrame(made))
    return SourceRows(_keyed(_unnested(frame, mapping.source.unnest, example.given), mapping), 1)


def _no_fetch(query: Any) -> pl.DataFrame:
    raise AssertionError("an example reads nothing")


def _series(name: str, value: Any, kind: Kind | None) -> pl.Series:
    if isinstance(value, list):
        items = [_series(name, item, kind) for item in value]
        return (
            pl.concat(items).implode().alias(str(name))
            if items
            else pl.Series(str(name), [[]], dtype=pl.List(pl.String))
        )
    return _typed(value, kind).alias(str(name))


def _typed(value: Any, kind: Kind | None) -> pl.Series:
    if isinstance(value, dict | list):
        return pl.Series([jsons.write(value)])
    text = pl.Series([columns.literal_text(value)], dtype=pl.String)
    if kind is None:
        return _guessed(value, text)
    number = columns.parse_numbers(text)
    if kind is Kind.BOOLEAN and isinstance(value, bool):
        return pl.Series([value])
    if kind not in (Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT):
        return text if kind is not Kind.BOOLEAN or value is not None else pl.Series([None], dtype=pl.Boolean)
    if number.null_count() != text.null_count():
        return text  # what is given does not fit its column, as dirt does not
    return number.cast(pl.Int64) if kind is Kind.INTEGER and "." not in (text.item() or "") else number


def _guessed(value: Any, text: pl.Series) -> pl.Series:
    if isinstance(value, bool | int | Decimal):
        return columns.literal(value).values
    return text


def _joined(join: Join, given: Any, used: Sequence[str], legacy: Schema) -> dict[str, pl.Series]:
    wanted = uses.of_join(used, join.name)
    kinds = _kinds(join, legacy)
    if join.many:
        return {join.name: _list(join, given or [], wanted, kinds)}
    row: MappingOf[str, Any] = given or {}
    return {f"{join.name}.{name}": _typed(row.get(name), kinds.get(name, kinds.get("*"))) for name in wanted}


def _kinds(join: Join, legacy: Schema) -> dict[str, Kind | None]:
    tables = [legacy.tables[str(name)] for name in join.tables if str(name) in legacy.tables]
    if join.pivot:
        values = {table.columns[str(join.pivot.values)].kind for table in tables}
        return {"*": values.pop() if len(values) == 1 else None}
    return {name: column.kind for table in tables for name, column in table.columns.items()}


def _list(
    join: Join, given: Sequence[MappingOf[str, Any]], wanted: Sequence[str], kinds: MappingOf[str, Kind | None]
) -> pl.Series:
    names = list(dict.fromkeys([*wanted, *([join.order] if join.order else [])]))
    if not given:
        return pl.Series([None], dtype=pl.List(pl.Struct(dict.fromkeys(map(str, names), pl.String))))
    rows = pl.DataFrame([_column(name, [row.get(name) for row in given], kinds.get(name)) for name in names])
    ordered = columns.in_order(rows, [str(join.order)]) if join.order else rows
    return ordered.select(pl.struct(pl.all()).implode()).to_series()


def _column(name: str, values: Sequence[Any], kind: Kind | None) -> pl.Series:
    typed = [_typed(value, kind) for value in values]
    if len({series.dtype for series in typed}) > 1:
        typed = [columns.text(series) for series in typed]
    return pl.concat(typed).alias(str(name))


def _unnested(frame: pl.DataFrame, how: Unnest | None, given: MappingOf[str, Any]) -> pl.DataFrame:
    """The parts of an unnest may be given as they come out of it; else what is given is taken apart."""
    if how is None or how.as_ in given or how.column not in frame.columns:
        return frame
    made_names = [str(name) for name in (how.as_, how.key, how.position) if name]
    whole = frame.drop(made_names, strict=False).with_columns(pl.lit(0, pl.Int64).alias("__row"))
    parts, found = foldings.unnest(whole, how)
    return faults.put(parts.head(1), found).drop("__row", "__new")


def _keyed(frame: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    parts = [columns.text(frame[str(name)]).fill_null("") for name in mapping.source.key]
    return frame.with_columns(ids.key(parts).alias("__key"))
