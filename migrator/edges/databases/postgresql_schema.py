"""The tables of one PostgreSQL schema as a Schema."""

from __future__ import annotations

import warnings
from collections.abc import Container, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from migrator.edges.databases.checks import with_allowed
from migrator.edges.databases.reflection import column_lists, is_own
from migrator.mapping.schema import Column, ForeignKey, Kind, Schema, Table

_DIALECT: Any = pg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy has no types for it
_BITS = {sa.SmallInteger: 16, sa.BigInteger: 64, sa.Integer: 32}

#: The first class that fits decides; OTHER for what is not here (arrays, ranges, intervals, …).
_KINDS: tuple[tuple[type[Any], Kind], ...] = (
    (pg.OID, Kind.OTHER),
    (pg.CITEXT, Kind.OTHER),  # compares without case: its text is matched as text
    (pg.MONEY, Kind.OTHER),
    (sa.Integer, Kind.INTEGER),
    (sa.Float, Kind.FLOAT),
    (sa.Numeric, Kind.DECIMAL),
    (sa.Boolean, Kind.BOOLEAN),
    (sa.Enum, Kind.ENUM),
    (sa.String, Kind.TEXT),
    (sa.Date, Kind.DATE),
    (sa.JSON, Kind.JSON),
    (sa.Uuid, Kind.UUID),
    (pg.INET, Kind.INET),
    (pg.BYTEA, Kind.BINARY),
)


def reflect(connection: sa.Connection, namespace: str) -> Schema:
    """Read all tables of *namespace* but our own, each partitioned one as a whole."""
    # a server names what is on the search path without its schema, and we could not tell ours from another's
    connection.execute(sa.select(sa.func.set_config("search_path", "pg_catalog", True)))
    with warnings.catch_warnings():
        # a type of an extension is OTHER to us; an expression index has no columns: both are handled below
        warnings.simplefilter("ignore", sa.exc.SAWarning)
        return _reflect(sa.inspect(connection), namespace, _partitions(connection, namespace))


def _partitions(connection: sa.Connection, namespace: str) -> set[str]:
    """Name what is a part of another table: its rows are that table's rows, and would be read twice."""
    relation = sa.table("pg_class", *map(sa.column, ("relname", "relnamespace", "relispartition")), schema="pg_catalog")
    schema = sa.table("pg_namespace", sa.column("oid"), sa.column("nspname"), schema="pg_catalog")
    parts = (
        sa.select(relation.c.relname)
        .join(schema, schema.c.oid == relation.c.relnamespace)
        .where(relation.c.relispartition, schema.c.nspname == namespace)
    )
    return set(connection.execute(parts).scalars())


def _reflect(inspector: sa.Inspector, namespace: str, partitions: Container[str]) -> Schema:
    keys = inspector.get_multi_pk_constraint(schema=namespace)
    uniques = inspector.get_multi_unique_constraints(schema=namespace)
    indexes = inspector.get_multi_indexes(schema=namespace)
    foreign_keys = inspector.get_multi_foreign_keys(schema=namespace)
    checks = inspector.get_multi_check_constraints(schema=namespace)
    views = {*inspector.get_view_names(namespace), *inspector.get_materialized_view_names(namespace)}
    every = inspector.get_multi_columns(schema=namespace, kind=sa.engine.reflection.ObjectKind.ANY)
    tables = {}
    for place, columns in sorted(every.items()):
        name = place[1]
        if is_own(name) or name in partitions:
            continue
        key = keys[place]["constrained_columns"] if place in keys else []
        unique: list[Any] = [found["column_names"] for found in uniques.get(place, [])]
        unique += [found["column_names"] for found in indexes.get(place, []) if _is_key(found)]
        others = [found["column_names"] for found in indexes.get(place, [])]
        tables[name] = Table(
            name,
            with_allowed(
                {column["name"]: _column(column) for column in columns},
                [found["sqltext"] for found in checks.get(place, [])],
            ),
            tuple(key),
            uniques=column_lists(unique),
            foreign_keys=tuple(_foreign_key(found, namespace) for found in foreign_keys.get(place, [])),
            indexes=column_lists([key, *unique, *others]),
            view=name in views,
        )
    return Schema("postgresql", tables)


def _is_key(index: Mapping[str, Any]) -> bool:
    """Unique over all rows, so that `on conflict` may name its columns."""
    return bool(index["unique"]) and "postgresql_where" not in index.get("dialect_options", {})


def _foreign_key(found: Mapping[str, Any], namespace: str) -> ForeignKey:
    elsewhere = found["referred_schema"] not in (None, namespace)
    return ForeignKey(
        tuple(found["constrained_columns"]),
        f"{found['referred_schema']}.{found['referred_table']}" if elsewhere else found["referred_table"],
        tuple(found["referred_columns"]),
        deferrable=bool(found.get("options", {}).get("deferrable")),
    )


def _column(found: Mapping[str, Any]) -> Column:
    type_ = found["type"]
    base: Any = type_.data_type if isinstance(type_, pg.DOMAIN) else type_
    kind = kind_of(base)
    return Column(
        found["name"],
        kind,
        nullable=found["nullable"],
        has_default=found.get("computed") is None and (found["default"] is not None or "identity" in found),
        generated=found.get("computed") is not None,
        insert_only=bool((found.get("identity") or {}).get("always")),
        length=base.length if kind is Kind.TEXT else None,
        precision=base.precision if kind is Kind.DECIMAL else None,
        scale=base.scale if kind is Kind.DECIMAL else None,
        bits=next((bits for class_, bits in _BITS.items() if isinstance(base, class_)), 64),
        values=tuple(base.enums) if kind is Kind.ENUM else (),
        declared=_declared(type_),
    )


def kind_of(type_: Any) -> Kind:
    """Say what a reflected type means."""
    if isinstance(type_, sa.DateTime):
        return Kind.TIMESTAMP if type_.timezone else Kind.DATETIME
    if isinstance(type_, sa.Time):
        return Kind.OTHER if type_.timezone else Kind.TIME
    return next((kind for class_, kind in _KINDS if isinstance(type_, class_)), Kind.OTHER)


def _declared(type_: Any) -> str:
    if isinstance(type_, pg.DOMAIN | sa.Enum):
        return str(type_.name)
    try:
        return str(type_.compile(dialect=_DIALECT)).lower()
    except sa.exc.CompileError:
        return "unknown"
