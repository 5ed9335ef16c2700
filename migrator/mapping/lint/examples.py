"""Golden rows speak of columns and fields that there are: E703."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from migrator.mapping import walk
from migrator.mapping.lint.ground import Ground, place_of
from migrator.mapping.lint.targets import is_set
from migrator.mapping.lint.uses import scope
from migrator.mapping.model import Example, Join, Mapping
from migrator.mapping.suggest import suggest


def check(ground: Ground) -> None:
    """Check the examples of all mappings."""
    for mapping in ground.set.mappings.values():
        for example in mapping.examples:
            _check_given(ground, mapping, example)
            _check_expected(ground, mapping, example)


def _check_given(ground: Ground, mapping: Mapping, example: Example) -> None:
    source = mapping.source
    for name, value in example.given.items():
        join = source.joins.get(name)
        if join is not None:
            _check_join(ground, example, join, name, value)
        elif source.pivot is None and name not in scope(source).made:
            _known(ground, example, name, (source.table,), also=source.joins)


def _check_join(ground: Ground, example: Example, join: Join, name: str, value: object) -> None:
    rows = value if join.many else [value]
    if not isinstance(rows, list) or not all(isinstance(row, dict | None) for row in rows):
        shape = "a list of rows" if join.many else "one row: a map"
        ground.notes.add("E703", place_of(name, example.place), f'the join "{name}" is given as {shape}')
        return
    for row in rows:
        for column in row or {} if join.pivot is None else ():
            _known(ground, example, column, join.tables)


def _known(ground: Ground, example: Example, column: str, tables: Iterable[str], also: Iterable[str] = ()) -> None:
    if ground.legacy is None:
        return
    for table in tables:
        found = ground.legacy.tables.get(table)
        if found is not None and column not in found.columns:
            text = f'the example "{example.name}" gives "{column}", which {table} does not have'
            ground.notes.add("E703", place_of(column, example.place), text, suggest(column, [*found.columns, *also]))


def _check_expected(ground: Ground, mapping: Mapping, example: Example) -> None:
    table = ground.written(mapping)
    done = is_set(mapping, table) if table else {*mapping.fields, mapping.target.id.as_ or ""}
    if table is not None:  # without the table the name of the id's column is not known
        _all_among(ground, example, example.expect or {}, done)
    paths = {spot.path for spot in walk.spots(mapping)}
    source = mapping.source
    unnested = [source.unnest.column] if source.unnest else []
    read = {*source.key, *source.joins, *scope(source).made, *unnested}  # what may be wrong before any field is made
    known = {*paths, *done, *(path.removeprefix("$") for path in paths), *read}
    _all_among(ground, example, _expected_fields(example), known)


def _all_among(ground: Ground, example: Example, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            text = f'the example "{example.name}" expects "{name}", which this mapping does not set'
            ground.notes.add("E703", place_of(name, example.place), text, suggest(name, known))


def _expected_fields(example: Example) -> Iterator[str]:
    return (str(review["field"]) for review in example.expect_review if "field" in review)
