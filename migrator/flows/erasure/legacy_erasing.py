"""
The statements that would remove a user from legacy, for whoever may run them there: our own account only reads.

They cover the user's own records, the rows that the mappings read, and the rows joined to them that are nobody else's;
what else legacy keeps of him is the application's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from migrator.errors import MigratorError
from migrator.flows.erasure.hanging import Hanging
from migrator.flows.moving import reading
from migrator.flows.moving.kept import in_foreign_key_order
from migrator.flows.parts import Parts
from migrator.flows.plans import identities
from migrator.mapping import ids
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Context
from migrator.mapping.people import main_name
from migrator.mapping.schema import Kind, Table
from migrator.store import plans

#: Texts of a row under the columns that tell it from others.
Key: TypeAlias = tuple[str, ...]
_DIALECTS: Mapping[str, Any] = {"postgresql": postgresql, "mysql": mysql, "sqlite": sqlite}


def statements(parts: Parts, plan: plans.Plan, keys: Sequence[str]) -> list[str]:
    """One DELETE per table that holds something of these users now, children first."""
    set_ = parts.stored_set(plan.set_hash)
    tables: Mapping[str, Table] = parts.legacy_schema.tables
    context = Context(str(plan.id), plan.cut_off, records=identities.known(parts, set_, plan.id, keys))
    found, wanted = reading.read(parts, set_, keys, context), _Wanted(tables)
    left = [key for key in keys if key not in found.gone]
    with parts.legacy.reading() as reader:
        joined = Hanging(reader, set_, parts.legacy_schema, context, left)
        for name, rows in found.sources.items():
            source, theirs = set_.mappings[name].source, rows.frame["__key"].drop_nulls().unique()
            if len(theirs) and set(source.key) <= set(tables[source.table].columns):
                wanted.add(source.table, source.key, (tuple(key.split(ids.SEPARATOR)) for key in theirs))
                for one in joined.of(source, theirs):
                    wanted.add(one.table, one.by, one.keys.iter_rows())
    for table, key, records in _people(set_, context, left):
        wanted.add(table, (key,), ((one,) for one in records))
    return list(wanted.statements(parts.legacy.dialect))


def _people(set_: MappingSet, context: Context, keys: Sequence[str]) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Of the people of each source: their table, its key, and the records of these users."""
    who = set_.set.users
    if context.records is None:
        yield who.table, who.key, keys
        return
    mine = context.records.filter(pl.col("user_key").is_in(list(keys)))
    for name, one in {main_name(set_.set): who, **{name: also.who for name, also in set_.set.also.items()}}.items():
        yield one.table, one.key, mine.filter(pl.col("source") == name)["record_key"].to_list()


@dataclass
class _Wanted:
    """The rows that are to go, by table and by the columns that tell them apart."""

    tables: Mapping[str, Table]
    rows: dict[str, dict[tuple[str, ...], set[Key]]] = field(default_factory=dict)

    def add(self, table: str, by: Sequence[str], rows: Iterable[Key]) -> None:
        """More rows of a table."""
        self.rows.setdefault(str(table), {}).setdefault(tuple(map(str, by)), set()).update(rows)

    def statements(self, dialect: str) -> Iterator[str]:
        """Children first, each as text."""
        for name in reversed(in_foreign_key_order(list(self.rows), self.tables)):
            for by, rows in self.rows[name].items():
                if rows:
                    yield _delete(self.tables[name], by, sorted(rows), dialect)


def forget_carried(parts: Parts, keys: Sequence[str]) -> list[str]:
    """Take him out of our own table in legacy, where there is one; what could not be reached."""
    remains = []
    for name, database in parts.writable.items():
        try:
            if database.prepared():
                with database.writing() as writer:
                    writer.forget_carried(list(keys))
        except MigratorError as away:
            remains.append(f"migrator_carried in the legacy database {name}: {away}")
    return remains


def _delete(table: Table, by: Sequence[str], rows: Sequence[Key], dialect: str) -> str:
    source, _, name = table.name.rpartition(".")  # of several databases: which one
    place = sa.table(name, *(sa.column(column) for column in by))
    typed = [[_typed(table, column, one) for column, one in zip(by, row, strict=True)] for row in rows]
    if len(by) == 1:
        which: sa.ColumnElement[bool] = place.c[by[0]].in_([row[0] for row in typed])
    else:
        which = sa.or_(
            *(sa.and_(*(place.c[column] == one for column, one in zip(by, row, strict=True))) for row in typed)
        )
    written = _DIALECTS[dialect].dialect() if dialect in _DIALECTS else None
    said = str(sa.delete(place).where(which).compile(dialect=written, compile_kwargs={"literal_binds": True}))
    return f"{_one_line(said)};{f'  -- in {source}' if source else ''}"


def _typed(table: Table, column: str, text: str) -> object:
    return int(text) if table.columns[column].kind is Kind.INTEGER else text


def _one_line(statement: str) -> str:
    """As SQLAlchemy breaks it into lines: before a keyword, never within a value."""
    return statement.replace("\nWHERE ", " WHERE ").strip()
