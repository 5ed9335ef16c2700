"""Builders for the mapping engine: a set from YAML, a legacy database in frames, a target schema in one line each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from migrator.mapping import compile as compiler
from migrator.mapping import document, shapes
from migrator.mapping.custom import Function, functions
from migrator.mapping.environment import Env
from migrator.mapping.examples import example_hash
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Context, Mapped, SourceRows
from migrator.mapping.query import Query, Test
from migrator.mapping.registry import TRANSFORMS
from migrator.mapping.schema import Column, Kind, Schema, Table
from migrator.mapping.values import Values, literal_text, of, text

PLAN = Context("plan-1", "2024-01-01T00:00:00Z", keyed=example_hash)
PEOPLE = "set: shop\nusers: {table: person, key: id}\n"

CODE = """
from migrator.mapping.custom import transform

@transform(takes=str, gives=str)
def title(values):
    return [value.title() for value in values]
"""

_DTYPES: dict[Kind, pl.DataType] = {
    Kind.INTEGER: pl.Int64(),
    Kind.DECIMAL: pl.Decimal(38, 18),
    Kind.FLOAT: pl.Decimal(38, 18),
    Kind.BOOLEAN: pl.Boolean(),
    Kind.BINARY: pl.Binary(),
}


def a_set(*mappings: str, people: str = PEOPLE, **files: str) -> MappingSet:
    """Documents as texts; `countries_csv="…"` is the file countries.csv, `names_py="…"` the module names.py."""
    texts = {f"m{place}.yaml": mapping for place, mapping in enumerate(mappings)}
    texts |= {name.replace("_csv", ".csv").replace("_py", ".py"): content for name, content in files.items()}
    return document.parse({"set.yaml": people} | texts)


def a_table(
    table: str, /, *, primary: str | Sequence[str] = "id", uniques: Sequence[Sequence[str]] = (), **columns: Any
) -> Table:
    """Columns as `name="integer"`, `name="text not null"` or a Column."""
    made = {column: _column(column, kind) for column, kind in columns.items()}
    return Table(
        table, made, (primary,) if isinstance(primary, str) else tuple(primary), tuple(tuple(u) for u in uniques)
    )


def _column(name: str, kind: Any) -> Column:
    if isinstance(kind, Column):
        return kind
    word, _, rest = kind.partition(" ")
    return Column(name, Kind(word), nullable="not null" not in rest, declared=word)


def a_schema(*tables: Table, dialect: str = "postgresql") -> Schema:
    return Schema(dialect, {table.name: table for table in tables})


@dataclass
class Legacy:
    """A legacy database that lives in frames and answers the same queries; `asked` are those it was asked."""

    schema: Schema
    rows: dict[str, list[dict[str, Any]]]
    asked: list[Query] = field(default_factory=list)

    def fetch(self, query: Query) -> pl.DataFrame:
        self.asked.append(query)
        frame = self._frame(query.table)
        if query.via:
            other = self._frame(query.via.table)
            other = other.select(
                *(pl.col(theirs).alias(f"on {theirs}") for theirs, _ in query.via.on),
                *(pl.col(theirs).alias(name) for theirs, name in query.via.take),
            )
            ours, theirs = [o for _, o in query.via.on], [f"on {t}" for t, _ in query.via.on]
            frame = frame.join(other, left_on=ours, right_on=theirs, how="inner")
        for test in query.tests:
            frame = frame.filter(_holds(test))
        if query.among:
            asked = text(query.among.values).to_list()
            frame = frame.filter(text(frame[query.among.column]).is_in(asked))
        taken = [name for _, name in query.via.take] if query.via else []
        return frame.select(*query.columns, *taken)

    def _frame(self, name: str) -> pl.DataFrame:
        columns = self.schema.tables[name].columns
        rows = self.rows.get(name, [])
        return pl.DataFrame(
            [_read(column.name, [row.get(column.name) for row in rows], column.kind) for column in columns.values()]
        )


def _read(name: str, values: list[Any], kind: Kind) -> pl.Series:
    try:
        return pl.Series(name, values, dtype=_DTYPES.get(kind, pl.String()))
    except (TypeError, pl.exceptions.PolarsError):
        return pl.Series(name, [literal_text(value) for value in values], dtype=pl.String)


def _holds(test: Test) -> pl.Expr:
    column = pl.col(test.column)
    return {
        "in": lambda: column.is_in(list(test.value)),  # type: ignore[call-overload]
        "null": column.is_null,
        "not_null": column.is_not_null,
        "gt": lambda: column > test.value,
        "gte": lambda: column >= test.value,
        "lt": lambda: column < test.value,
        "lte": lambda: column <= test.value,
    }[test.op]()


def a_legacy(*tables: Table, **rows: list[dict[str, Any]]) -> Legacy:
    return Legacy(a_schema(*tables), rows)


def sources(set_: MappingSet, legacy: Legacy, users: Sequence[str], context: Context = PLAN) -> dict[str, SourceRows]:
    return {
        name: shapes.read(mapping, set_, legacy.schema, legacy.fetch, users, context)
        for name, mapping in set_.mappings.items()
    }


def mapped(
    set_: MappingSet, legacy: Legacy, target: Schema, users: Sequence[str] | None = None, context: Context = PLAN
) -> Mapped:
    """Read and map users (all of them, if none are named); the books must balance, whatever happened."""
    if users is None:
        users = shapes.users(set_, legacy.schema, legacy.fetch)["key"].to_list()
    made = compiler.apply(set_, target, sources(set_, legacy, users, context), context)
    assert all(book.balanced for book in made.books.values()), made.books
    return made


def rows_of(made: Mapped, mapping: str, *columns: str) -> list[Any]:
    """What a mapping writes: values of one column, or tuples of several."""
    frame = made.rows[mapping].select(columns)
    return frame.to_series().to_list() if len(columns) == 1 else frame.rows()


def findings(made: Mapped, *columns: str) -> list[tuple[Any, ...]]:
    """The findings as tuples, sorted by their text."""
    return sorted(made.findings.select(columns).rows(), key=str)


def stepped(name: str, args: Any, *inputs: Sequence[Any], env: Env | None = None, **files: Any) -> Values:
    """Carry out one step on columns of Python values."""
    columns = [of(values if isinstance(values, pl.Series) else pl.Series(list(values))) for values in inputs]
    return TRANSFORMS[name].apply(columns, args, env or Env(PLAN, files, functions=code()))


def code(text: str | None = None, module: str = "names") -> dict[str, Function]:
    """The project's own code, as `call` finds it."""
    return functions(module, CODE if text is None else text, f"{module}.py")


def outcome(values: Values) -> list[Any]:
    """Values as a list, `FAILED` where the step failed."""
    failed = values.failed.to_list() if values.failed is not None else [False] * len(values)
    texts = values.text.to_list() if values.values.dtype.is_decimal() else values.values.to_list()
    return ["FAILED" if bad else value for bad, value in zip(failed, texts, strict=True)]
