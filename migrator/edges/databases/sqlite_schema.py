"""SQLite's tables and views as a Schema. Declared types count, though SQLite itself takes them as a hint."""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from typing import Any

import sqlalchemy as sa

from migrator.edges.databases.checks import with_allowed
from migrator.edges.databases.reflection import column_lists, is_own
from migrator.mapping.schema import Column, ForeignKey, Kind, Schema, Table

_GENERATED = (2, 3)  # `hidden` of pragma table_xinfo: virtual and stored
_VIRTUAL_TABLE_COLUMN = 1

_EXACT_NAMES = {
    "DATE": Kind.DATE,
    "TIME": Kind.TIME,
    "DATETIME": Kind.DATETIME,
    "TIMESTAMP": Kind.DATETIME,
    "TIMESTAMP WITHOUT TIME ZONE": Kind.DATETIME,
    "TIMESTAMPTZ": Kind.TIMESTAMP,
    "TIMESTAMP WITH TIME ZONE": Kind.TIMESTAMP,
    "JSON": Kind.JSON,
    "JSONB": Kind.JSON,
    "UUID": Kind.UUID,
    "INET": Kind.INET,
    "INTERVAL": Kind.OTHER,
    "POINT": Kind.OTHER,
    "ENUM": Kind.TEXT,
    "": Kind.OTHER,
}
#: In SQLite's own order of affinities: the first part that occurs in the name decides.
_PARTS = (
    ("BOOL", Kind.BOOLEAN),
    ("INT", Kind.INTEGER),
    ("CHAR", Kind.TEXT),
    ("CLOB", Kind.TEXT),
    ("TEXT", Kind.TEXT),
    ("STRING", Kind.TEXT),
    ("BLOB", Kind.BINARY),
    ("BINARY", Kind.BINARY),
    ("BYTEA", Kind.BINARY),
    ("REAL", Kind.FLOAT),
    ("FLOA", Kind.FLOAT),
    ("DOUB", Kind.FLOAT),
    ("NUMERIC", Kind.DECIMAL),
    ("NUMBER", Kind.DECIMAL),
    ("DECIMAL", Kind.DECIMAL),
    ("MONEY", Kind.DECIMAL),
)


def reflect(connection: sa.Connection) -> Schema:
    """Read all tables and views but our own and SQLite's."""
    columns = _columns(connection)
    names = {name.lower(): name for name in columns}
    uniques, indexes = _indexes(connection)
    inspector = sa.inspect(connection)
    views = set(inspector.get_view_names())
    tables = {}
    for name, rows in columns.items():
        key = tuple(row["name"] for row in sorted(rows, key=lambda row: row["pk"]) if row["pk"])
        tables[name] = Table(
            name,
            with_allowed(
                {row["name"]: _column(row, alone_in_key=key == (row["name"],)) for row in rows},
                _checks(inspector, name),
            ),
            key,
            uniques=column_lists(uniques[name]),
            foreign_keys=_foreign_keys(inspector, name, names, columns),
            indexes=column_lists([key, *uniques[name], *indexes[name]]),
            view=name in views,
        )
    return Schema("sqlite", tables)


def kind_of(declared: str) -> Kind:
    """Say what a declared type means."""
    name = re.sub(r"\s*\(.*?\)\s*", " ", declared.upper()).strip()
    if name in _EXACT_NAMES:
        return _EXACT_NAMES[name]
    return next((kind for part, kind in _PARTS if part in name), Kind.OTHER)


def _column(row: Any, *, alone_in_key: bool) -> Column:
    declared, kind = row["type"], kind_of(row["type"])
    sizes = [int(size) for size in re.findall(r"\d+", "".join(re.findall(r"\(.*\)", declared)))]
    is_rowid = alone_in_key and declared.upper() == "INTEGER"
    return Column(
        row["name"],
        kind,
        nullable=not row["notnull"] and not row["pk"],
        has_default=row["dflt_value"] is not None or is_rowid,
        generated=row["hidden"] in _GENERATED,
        length=sizes[0] if kind is Kind.TEXT and sizes else None,
        precision=sizes[0] if kind is Kind.DECIMAL and sizes else None,
        scale=(sizes[1] if len(sizes) > 1 else 0) if kind is Kind.DECIMAL and sizes else None,
        declared=declared,
    )


def _columns(connection: sa.Connection) -> dict[str, list[Any]]:
    master = _master()
    info = sa.func.pragma_table_xinfo(master.c.name).table_valued(
        "cid", "name", "type", "notnull", "dflt_value", "pk", "hidden", name="info"
    )
    statement = (
        sa.select(master.c.name.label("table"), *info.c)
        .select_from(master.join(info, sa.true()))
        .where(master.c.type.in_(("table", "view")), master.c.name.not_like("sqlite\\_%", escape="\\"))
        .order_by(master.c.name, info.c.cid)
    )
    columns: dict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(statement).mappings():
        if row["hidden"] != _VIRTUAL_TABLE_COLUMN and not is_own(row["table"]):
            columns[row["table"]].append(row)
    return columns


def _indexes(connection: sa.Connection) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Column lists by table: those that are unique over all rows, and the other indexes."""
    master = _master()
    listed = sa.func.pragma_index_list(master.c.name).table_valued(
        "seq", "name", "unique", "origin", "partial", name="listed"
    )
    parts = sa.func.pragma_index_info(listed.c.name).table_valued("seqno", "cid", "name", name="parts")
    statement = (
        sa.select(
            master.c.name.label("table"),
            listed.c.name.label("index"),
            listed.c.unique,
            listed.c.origin,
            listed.c.partial,
            parts.c.name.label("column"),
        )
        .select_from(master.join(listed, sa.true()).join(parts, sa.true()))
        .where(master.c.type == "table")
        .order_by(master.c.name, listed.c.seq, parts.c.seqno)
    )
    found: dict[tuple[str, str, bool], list[str | None]] = defaultdict(list)
    for row in connection.execute(statement).mappings():
        is_key = row["unique"] and not row["partial"] and row["origin"] != "pk"
        found[row["table"], row["index"], is_key].append(row["column"])
    uniques: dict[str, list[Any]] = defaultdict(list)
    others: dict[str, list[Any]] = defaultdict(list)
    for (table, _, is_key), names in found.items():
        (uniques if is_key else others)[table].append(names)
    return uniques, others


def _checks(inspector: sa.Inspector, table: str) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sa.exc.SAWarning)  # one that is not understood lists no values to us
        return [found["sqltext"] for found in inspector.get_check_constraints(table)]


def _foreign_keys(
    inspector: sa.Inspector, table: str, names: dict[str, str], columns: dict[str, list[Any]]
) -> tuple[ForeignKey, ...]:
    """SQLite writes names as the constraint spells them: give them as the tables spell them."""
    keys = []
    for found in inspector.get_foreign_keys(table):
        other = names.get(found["referred_table"].lower())
        if other is None:
            continue  # SQLite lets a key name a table that does not exist
        referred = found["referred_columns"] or [row["name"] for row in columns[other] if row["pk"]]
        keys.append(
            ForeignKey(
                _spelled(found["constrained_columns"], columns[table]),
                other,
                _spelled(referred, columns[other]),
                # known of a table's constraints, not of a column's: there the careful answer is no
                deferrable=bool(found.get("options", {}).get("deferrable")),
            )
        )
    return tuple(keys)


def _spelled(names: list[str], rows: list[Any]) -> tuple[str, ...]:
    spelling = {row["name"].lower(): row["name"] for row in rows}
    return tuple(spelling.get(name.lower(), name) for name in names)


def _master() -> sa.TableClause:
    # sqlite_schema only has this name in every version
    return sa.table("sqlite_master", sa.column("name"), sa.column("type"))
