"""
Rows that are found through a joined table: between which two numbers they lie, where those of neighbours lie together.

An order's lines lie beside those of the next order; the server would enter the index anew for each order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement

from migrator.edges.databases import postgresql_keys
from migrator.edges.databases.statements import Selecting, Statement, known_table
from migrator.mapping.query import Query
from migrator.mapping.schema import Kind, Schema, Table

#: The parameters that say where they lie; empty where that is not known.
Ends: TypeAlias = Mapping[str, int]
_LOW, _HIGH = "join_low", "join_high"


def behind(query: Query) -> str | None:
    """The column of the joined table that the keys are held against; None where it is one of the query's own table."""
    if query.among is None or query.via is None:
        return None
    return next((column for column, name in query.via.take if name == query.among.column), None)


def can_be_told(query: Query, schema: Schema) -> bool:
    """Whether both tables are joined by one number, and indexes lead from the keys over it to the rows."""
    column, via = behind(query), query.via
    if via is None or column is None or len(via.on) > 1 or query.distinct:
        return False
    ((theirs, ours),) = via.on
    main, joined = known_table(schema, query.table), known_table(schema, via.table)
    numbers = main.columns[ours].kind is joined.columns[theirs].kind is Kind.INTEGER
    return numbers and leads(main, [ours]) and leads(joined, [column])


def counting(number: ColumnElement[Any], wanted: ColumnElement[bool]) -> sa.Select[Any, Any, Any]:
    """SELECT how many rows of the joined table are *wanted*, the lowest and the highest number that joins them."""
    return sa.select(sa.func.count(number), sa.func.min(number), sa.func.max(number)).where(wanted)


def ends(count: int, low: int, high: int) -> Ends:
    """Name both ends, if little else lies between them."""
    return {_LOW: low, _HIGH: high} if postgresql_keys.are_close(count, low, high) else {}


def narrowed(rows: Statement, query: Query, selecting: Selecting, between: Ends) -> Statement:
    """Let the rows of the query's own table lie between these ends."""
    if not between or query.via is None:
        return rows
    number = selecting.find(query.via.on[0][1])[0]
    return rows.where(number >= sa.bindparam(_LOW, between[_LOW]), number <= sa.bindparam(_HIGH, between[_HIGH]))


def leads(table: Table, columns: Collection[str]) -> bool:
    """Whether an index begins with one of *columns*."""
    return any(index and index[0] in columns for index in table.indexes)
