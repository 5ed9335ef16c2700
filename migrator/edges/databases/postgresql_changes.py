"""Whether rows that were read are still the same, by the transactions that wrote them: no row is sent again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement

from migrator.edges.databases.base import Asked
from migrator.edges.databases.postgresql_statements import Named
from migrator.edges.databases.statements import Dialect, Selecting
from migrator.mapping.query import Query
from migrator.mapping.schema import Schema

_CIRCLE = 2**32  # transaction numbers of rows go round, those of snapshots do not


def unchanged(
    connection: sa.Connection,
    namespace: str | None,
    schema: Schema,
    dialect: Dialect,
    asked: Sequence[Asked],
    mark: str,
) -> bool:
    """
    Whether every query gives as many rows as it gave, none of them written by a transaction that had not ended then.

    Args:
        mark: The snapshot (`txid_current_snapshot`) that was current before they were read. A transaction that wrote
            before its lowest number has been seen; what wrote later counts as a change, whatever it wrote.

    Returns:
        False also where it cannot be told: of views, of tables that are elsewhere or in parts.
    """
    if any(query.distinct or query.limit is not None for query, _ in asked):
        return False
    tables = {table for query, _ in asked for table in (query.table, query.via and query.via.table) if table}
    if not _hold_their_rows(connection, namespace, tables):
        return False
    oldest = int(mark.partition(":")[0]) % _CIRCLE
    return all(
        _is_as_it_was(connection, Selecting(query, schema, namespace, dialect), query, rows, oldest)
        for query, rows in asked
    )


def _is_as_it_was(connection: sa.Connection, selecting: Selecting, query: Query, rows: int, oldest: int) -> bool:
    since = sa.func.age(sa.cast(str(oldest), Named("xid")))
    young = [sa.func.min(_age(alias)) <= since for alias in ("main", "via")[: 2 if query.via else 1]]
    counting = selecting.over(sa.func.count().label("rows"), sa.or_(*young).label("young"))
    found = connection.execute(counting).mappings().one()
    return found["rows"] == rows and not found["young"]


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
