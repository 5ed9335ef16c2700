"""Whether rows that were read are still the same, by the transactions that wrote them: no row is sent again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement

from migrator.edges.databases.base import Asked
from migrator.edges.databases.postgresql_statements import Named
from migrator.edges.databases.statements import Selecting
from migrator.mapping.query import Query

_CIRCLE = 2**32  # transaction numbers of rows go round, those of snapshots do not


def can_be_told(connection: sa.Connection, namespace: str | None, asked: Sequence[Asked]) -> bool:
    """Whether the rows of these queries say who wrote them: not those of views, and of tables that are in parts."""
    if any(query.distinct or query.limit is not None for query, _ in asked):
        return False
    tables = {table for query, _ in asked for table in (query.table, query.via and query.via.table) if table}
    return _hold_their_rows(connection, namespace, tables)


def oldest_open(mark: str) -> int:
    """
    The number from which on a transaction had perhaps not ended at *mark* (`txid_current_snapshot`).

    What was written by one before it has been seen; what wrote later counts as a change, whatever it wrote.
    """
    return int(mark.partition(":")[0]) % _CIRCLE


def counting(query: Query, selecting: Selecting) -> sa.Select[tuple[int, bool]]:
    """SELECT how many rows there are, and whether one was written by the transaction `:oldest` or a later one."""
    since = sa.func.age(sa.cast(sa.bindparam("oldest", "3", type_=sa.types.NullType()), Named("xid")))
    young = [sa.func.min(_age(alias)) <= since for alias in ("main", "via")[: 2 if query.via else 1]]
    return selecting.over(sa.func.count().label("rows"), sa.func.coalesce(sa.or_(*young), False).label("young"))


def _age(alias: str) -> ColumnElement[Any]:
    return sa.func.age(sa.literal_column(f"{alias}.xmin"))


def _hold_their_rows(connection: sa.Connection, namespace: str | None, tables: set[str]) -> bool:
    """Only an ordinary table says of each row who wrote it."""
    relation = sa.table(
        "pg_class", *map(sa.column, ("relname", "relnamespace", "relkind", "relam")), schema="pg_catalog"
    )
    space = sa.table("pg_namespace", sa.column("oid"), sa.column("nspname"), schema="pg_catalog")
    method = sa.table("pg_am", sa.column("oid"), sa.column("amname"), schema="pg_catalog")
    ordinary = (
        sa.select(sa.func.count())
        .select_from(relation)
        .join(space, space.c.oid == relation.c.relnamespace)
        .join(method, method.c.oid == relation.c.relam)
        .where(
            space.c.nspname == (namespace or "public"),
            relation.c.relname.in_(sorted(tables)),
            relation.c.relkind == "r",
            method.c.amname == "heap",
        )
    )
    return connection.execute(ordinary).scalar_one() == len(tables)
