"""Looks at the data of one table for lint: aggregates over its columns at once, the distinct values of one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import polars as pl
import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement

from migrator.edges.databases.frames import text
from migrator.edges.databases.statements import NUMBERS, Dialect, Statement, relation
from migrator.mapping.facts import MOST_VALUES, Listed, Seen
from migrator.mapping.schema import Column, Kind, Table

MOST_ROWS = 200_000  # a larger table is looked at from both ends of its key
_MOST_CELLS = 5_000_000  # a wide one sooner
_AT_ONCE = 60  # columns in one statement: a result has at most 1664 (PostgreSQL) or 2000 (SQLite)
_DIGITS = (0, 2, 4, 6, 8)  # behind the point: as many as prices and rates have; what has more, has many
_MANY_DIGITS = 18
_LONG = 200  # characters of a value that is shown

Fetch: TypeAlias = Callable[[Statement, Mapping[str, Column]], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Survey:
    """One table in one open transaction."""

    fetch: Fetch
    table: Table
    namespace: str | None
    dialect: str
    sql: Dialect

    def seen(self) -> dict[str, Seen]:
        """Look at every column but binary ones."""
        rows, whole = self._size()
        names = [column for column in self.table.columns.values() if column.kind is not Kind.BINARY]
        found: dict[str, Seen] = {}
        for start in range(0, len(names), _AT_ONCE):
            found |= self._look(names[start : start + _AT_ONCE], rows, whole=whole)
        return found

    def values(self, column: str) -> Listed:
        """List the distinct values of *column*; null left out."""
        declared, sample = self.table.columns[column], self._sample([column])
        value: ColumnElement[Any] = sample.c[_at(0)]
        if declared.kind not in _GROUPED:  # some types know no equality
            value, declared = self.sql.text(value, declared), _TEXT
        value = self.sql.exact(value, declared)
        counted = sa.func.count().label("rows")
        statement = (
            sa.select(value.label("value"), counted)
            .where(value.is_not(None))
            .group_by(value)
            .order_by(counted.desc())
            .limit(MOST_VALUES + 1)
        )
        found = self.fetch(statement, {"value": declared, "rows": _INTEGER})
        counts: dict[str, int] = {}
        for shown, rows in zip(text(found["value"]).to_list(), found["rows"].to_list(), strict=True):
            counts[shown] = counts.get(shown, 0) + rows
        return Listed(counts) if found.height <= MOST_VALUES else Listed({}, more=True)

    def repeated(self, columns: Sequence[str]) -> bool:
        """Whether two rows have the same values in *columns*, none of them null."""
        main = relation(self.table, self.namespace)
        parts = [self.sql.exact(main.c[name], self.table.columns[name]) for name in columns]
        twice = sa.select(sa.literal(1).label("twice")).where(*(part.is_not(None) for part in parts))
        statement = twice.group_by(*parts).having(sa.func.count() > 1).limit(1)
        return bool(self.fetch(statement, {"twice": _INTEGER}).height)

    def _size(self) -> tuple[int, bool]:
        """How many rows will be looked at, and whether that is all of them."""
        main = relation(self.table, self.namespace)
        most = min(MOST_ROWS, _MOST_CELLS // max(1, len(self.table.columns)))
        some = sa.select(sa.literal(1).label("one")).select_from(main).limit(most + 1).subquery("some")
        counted = sa.select(sa.func.count().label("rows")).select_from(some)
        rows = int(self.fetch(counted, {"rows": _INTEGER}).item())
        return min(rows, most), rows <= most

    def _sample(self, names: Sequence[str]) -> sa.FromClause:
        """The rows looked at: all, or as many from each end of the primary key; columns are named by their place."""
        main = relation(self.table, self.namespace)
        # not every server keeps every name of a column through a subquery
        columns = [main.c[name].label(_at(place)) for place, name in enumerate(names)]
        rows, whole = self._size()
        if whole or not self.table.key:
            return sa.select(*columns).limit(None if whole else rows).subquery("sample")
        key = [main.c[name] for name in self.table.key]
        first = sa.select(*columns).order_by(*key).limit(rows // 2).subquery("first")
        last = sa.select(*columns).order_by(*(part.desc() for part in key)).limit(rows // 2).subquery("last")
        return sa.union_all(sa.select(*first.c), sa.select(*last.c)).subquery("sample")

    def _look(self, columns: Sequence[Column], rows: int, *, whole: bool) -> dict[str, Seen]:
        sample = self._sample([column.name for column in columns])
        asked: dict[str, tuple[ColumnElement[Any], Column]] = {}
        for place, column in enumerate(columns):
            for what, (part, kind) in self._asked(sample.c[_at(place)], column):
                asked[f"{what}_{place}"] = part.label(f"{what}_{place}"), kind
        found = self.fetch(sa.select(*(part for part, _ in asked.values())), {n: c for n, (_, c) in asked.items()})
        line = {name: text(found[name]).item() for name in asked}
        return {column.name: _seen(line, place, rows, whole=whole) for place, column in enumerate(columns)}

    def _asked(
        self, value: ColumnElement[Any], column: Column
    ) -> Iterator[tuple[str, tuple[ColumnElement[Any], Column]]]:
        """What is asked of one column, each with the column that its answer is read as."""
        yield "filled", (sa.func.count(value), _INTEGER)
        if column.kind in NUMBERS:
            yield "least", (sa.func.min(value), column)
            yield "greatest", (sa.func.max(value), column)
            if column.kind is not Kind.INTEGER:
                yield "digits", (self._digits(value), _INTEGER)
            return
        printed = self.sql.text(value, column)
        length = sa.func.length if self.dialect == "sqlite" else sa.func.char_length
        yield "least", (sa.func.substr(sa.func.min(printed), 1, _LONG), _TEXT)
        yield "greatest", (sa.func.substr(sa.func.max(printed), 1, _LONG), _TEXT)
        yield "longest", (sa.func.max(length(printed)), _INTEGER)

    def _digits(self, value: ColumnElement[Any]) -> ColumnElement[Any]:
        number = value if self.dialect == "sqlite" else sa.cast(value, _WIDE.get(self.dialect, sa.Numeric(65, 18)))
        exact = ((number == sa.func.round(number, digits), digits) for digits in _DIGITS)
        return sa.func.max(sa.case((value.is_(None), 0), *exact, else_=_MANY_DIGITS))


def _seen(line: Mapping[str, str | None], place: int, rows: int, *, whole: bool) -> Seen:
    least, greatest = line.get(f"least_{place}"), line.get(f"greatest_{place}")
    constant = least is not None and least == greatest
    longest, digits = line.get(f"longest_{place}"), line.get(f"digits_{place}")
    is_number = f"longest_{place}" not in line
    return Seen(
        rows=rows,
        whole=whole,
        filled=int(line[f"filled_{place}"] or 0),
        constant=constant,
        same=least if constant and (is_number or len(least or "") < _LONG) else None,
        longest=int(longest) if longest is not None else None,
        least=least if is_number else None,
        greatest=greatest if is_number else None,
        digits=int(digits) if digits is not None else None,
    )


_WIDE = {"postgresql": sa.Numeric()}  # numeric without bounds holds whatever a float does; no other database has one
_GROUPED = NUMBERS | {Kind.TEXT, Kind.BOOLEAN}
_INTEGER = Column("", Kind.INTEGER)
_TEXT = Column("", Kind.TEXT)


def _at(place: int) -> str:
    return f"at_{place}"
