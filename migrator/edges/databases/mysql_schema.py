"""The tables and views of one MySQL or MariaDB database as a Schema, from its information_schema."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from migrator.edges.databases.checks import with_allowed
from migrator.edges.databases.reflection import column_lists, is_own
from migrator.mapping.schema import Column, ForeignKey, Kind, Schema, Table

_CHECKS_SINCE = (8, 0, 16)  # MySQL; MariaDB has them in every version that is still in use
_TRANSACTIONAL = frozenset({"innodb", "rocksdb", "tokudb", "ndbcluster", "ndb", "xtradb"})
_PRIMARY = "PRIMARY"
_BIGGEST_FRACTION = 6

_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64, "year": 16}
#: By the name of the type without its sizes; whatever is not here (set, vector, …) is OTHER.
_KINDS = {
    **dict.fromkeys(_BITS, Kind.INTEGER),
    "bit": Kind.INTEGER,
    "decimal": Kind.DECIMAL,
    "float": Kind.FLOAT,
    "double": Kind.FLOAT,
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext"), Kind.TEXT),
    "enum": Kind.ENUM,
    "date": Kind.DATE,
    "time": Kind.TIME,
    "datetime": Kind.DATETIME,
    "timestamp": Kind.TIMESTAMP,
    "json": Kind.JSON,
    "uuid": Kind.UUID,
    "inet4": Kind.INET,
    "inet6": Kind.INET,
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), Kind.BINARY),
    # as the server keeps them; it takes these bytes back
    **dict.fromkeys(
        ("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"), Kind.BINARY
    ),
    **dict.fromkeys(("geometrycollection", "geomcollection"), Kind.BINARY),
}


def reflect(connection: sa.Connection, database: str) -> Schema:
    """Read all tables and views of *database* but our own."""
    relations = _listed(connection, database, "tables", "table_name", "table_type", "engine")
    columns, indexes, keys = (_by_table(found) for found in _details(connection, database))
    checks = _checks(connection, database)
    tables = {}
    for row in relations:
        name = row["table_name"]
        if is_own(name) or row["table_type"] == "SEQUENCE":
            continue
        primary, uniques, others = _indexes(indexes[name])
        declared = {found["column_name"]: _column(found, checks[name]) for found in columns[name]}
        tables[name] = Table(
            name,
            with_allowed(declared, checks[name]),
            primary,
            uniques=column_lists(uniques),
            foreign_keys=_foreign_keys(keys[name], database),
            indexes=column_lists([primary, *uniques, *others]),
            view=row["table_type"] != "BASE TABLE",
            transactional=(row["engine"] or "innodb").lower() in _TRANSACTIONAL,
        )
    return Schema("mysql", tables)


Row = Mapping[str, Any]


def _details(connection: sa.Connection, database: str) -> tuple[list[Row], list[Row], list[Row]]:
    columns = _listed(
        connection, database, "columns", "table_name", "ordinal_position", "column_name", "column_type", "data_type",
        "is_nullable", "column_default", "extra", "character_maximum_length", "numeric_precision", "numeric_scale",
        "datetime_precision", "collation_name",
    )  # fmt: skip
    indexes = _listed(
        connection, database, "statistics", "table_name", "index_name", "seq_in_index", "non_unique", "column_name",
        "sub_part",
    )  # fmt: skip
    keys = _listed(
        connection, database, "key_column_usage", "table_name", "constraint_name", "ordinal_position", "column_name",
        "referenced_table_schema", "referenced_table_name", "referenced_column_name",
    )  # fmt: skip
    return columns, indexes, keys


def _listed(connection: sa.Connection, database: str, table: str, *names: str) -> list[Row]:
    """Rows of one view of the information_schema, in the order of its first three columns."""
    view = sa.table(table, *(sa.column(name) for name in ("table_schema", *names)), schema="information_schema")
    wanted = [view.c[name].label(name) for name in names]
    found = connection.execute(sa.select(*wanted).where(view.c.table_schema == database).order_by(*wanted[:3]))
    return [dict(row) for row in found.mappings()]


def _by_table(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["table_name"]].append(row)
    return found


def _checks(connection: sa.Connection, database: str) -> dict[str, list[str]]:
    """The texts of CHECK constraints by table."""
    found: dict[str, list[str]] = defaultdict(list)
    checks = _view("check_constraints", "constraint_schema", "constraint_name", "check_clause", "table_name")
    if is_mariadb(connection):
        statement = sa.select(checks.c.table_name, checks.c.check_clause)
    elif version(connection) >= _CHECKS_SINCE:
        named = _view("table_constraints", "constraint_schema", "constraint_name", "table_name")
        both = sa.and_(
            named.c.constraint_schema == checks.c.constraint_schema, named.c.constraint_name == checks.c.constraint_name
        )
        statement = sa.select(named.c.table_name, checks.c.check_clause).select_from(checks.join(named, both))
    else:
        return found
    for table, clause in connection.execute(statement.where(checks.c.constraint_schema == database)):
        found[table].append(clause)
    return found


def is_mariadb(connection: sa.Connection) -> bool:
    """Say which of the two kinds of server this is."""
    return bool(getattr(connection.dialect, "is_mariadb", False))


def version(connection: sa.Connection) -> tuple[int, ...]:
    """Give the version of the server; with MariaDB it is that of MariaDB."""
    return tuple(part for part in connection.dialect.server_version_info or () if isinstance(part, int))


def _view(name: str, *columns: str) -> sa.TableClause:
    return sa.table(name, *(sa.column(column) for column in columns), schema="information_schema")


def _indexes(rows: Iterable[Row]) -> tuple[tuple[str, ...], list[list[str]], list[list[str]]]:
    """(primary key, column lists that are unique over whole values, other indexes)."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["index_name"]].append(row)
    lists = {name: [part["column_name"] for part in sorted(parts, key=_place)] for name, parts in found.items()}
    primary = tuple(lists.pop(_PRIMARY, ()))
    keys = {name for name in lists if not any(part["non_unique"] or part["sub_part"] for part in found[name])}
    return primary, [lists[name] for name in lists if name in keys], [lists[name] for name in lists if name not in keys]


def _place(row: Row) -> int:
    return int(row["seq_in_index"])


def _foreign_keys(rows: Iterable[Row], database: str) -> tuple[ForeignKey, ...]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["referenced_table_name"] is not None:
            found[row["constraint_name"]].append(row)
    return tuple(
        ForeignKey(
            tuple(row["column_name"] for row in parts),
            _place_of(parts[0]["referenced_table_schema"], parts[0]["referenced_table_name"], database),
            tuple(row["referenced_column_name"] for row in parts),
        )
        for parts in found.values()
    )


def _place_of(schema: str, table: str, database: str) -> str:
    return table if schema == database else f"{schema}.{table}"


def _column(found: Row, checks: Iterable[str]) -> Column:
    declared, name = found["column_type"], found["data_type"].lower()
    kind = _kind_of(found, checks)
    generated = "GENERATED" in found["extra"].upper().replace("DEFAULT_GENERATED", "")
    has_default = found["column_default"] not in (None, "NULL") or "auto_increment" in found["extra"].lower()
    return Column(
        found["column_name"],
        kind,
        nullable=found["is_nullable"] == "YES",
        has_default=has_default and not generated,
        generated=generated,
        length=found["character_maximum_length"] if kind is Kind.TEXT else None,
        precision=found["numeric_precision"] if kind is Kind.DECIMAL else None,
        scale=_scale(found, kind),
        bits=found["numeric_precision"] if name == "bit" else _BITS.get(name, 64),
        unsigned=kind is Kind.INTEGER and (name in ("bit", "year") or "unsigned" in declared),
        values=_values(declared) if kind is Kind.ENUM else (),
        declared=declared,
        collation=found["collation_name"] or "",
    )


def _kind_of(found: Row, checks: Iterable[str]) -> Kind:
    name = found["data_type"].lower()
    if name == "bit" and found["numeric_precision"] == 1:
        return Kind.BOOLEAN
    if name == "longtext" and any(_says_json(check, found["column_name"]) for check in checks):
        return Kind.JSON  # what MariaDB makes of a column declared as JSON
    return _KINDS.get(name, Kind.OTHER)


def _says_json(check: str, column: str) -> bool:
    return check.strip("() ").lower() == f"json_valid(`{column.lower()}`"


def _scale(found: Row, kind: Kind) -> int | None:
    if kind is Kind.DECIMAL:
        return int(found["numeric_scale"])
    if kind in (Kind.TIME, Kind.DATETIME, Kind.TIMESTAMP):
        places = int(found["datetime_precision"] or 0)
        return places if places < _BIGGEST_FRACTION else None
    return None


def _values(declared: str) -> tuple[str, ...]:
    """Read the words of enum('a','it''s')."""
    return tuple(word.replace("''", "'") for word in re.findall(r"'((?:[^']|'')*)'", declared))
