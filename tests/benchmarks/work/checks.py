"""
Whether a way moved everything: per table the number of rows and a sum over a hash of every value.

Each side is asked by plain SQL in its own database; the legacy side by the statements of the work, the target side by its
tables. A fast wrong answer is no answer.
"""

from __future__ import annotations

import hashlib
import sqlite3
from typing import NamedTuple

from tests.benchmarks.databases import Database
from tests.benchmarks.work import statements, target


class Sum(NamedTuple):
    """What a table holds."""

    rows: int
    hashes: int


class Wrong(Exception):
    """What is in the target is not what the work asks for."""


_ROWS = {
    "accounts": ("id", "email", "full_name", "coalesce(phone, '-')", "status", "{moment:created_at}"),
    "preferences": ("account_id", "{key:theme}", "{key:locale}", "{truth:newsletter}", "{keys}"),
    "orders": ("id", "account_id", "number", "status", "{cents:total}", "{moment:placed_at}"),
    "order_lines": ("id", "order_id", "sku", "quantity", "{cents:unit_price}"),
    "wishlist": ("id", "account_id", "product_id", "{moment:added_at}"),
}
_WORDS = {
    "postgresql": {
        "moment": "extract(epoch from {})::numeric(20, 3)",
        "cents": "({} * 100)::numeric(20, 3)",
        "key": "settings ->> '{}'",
        "truth": "(settings -> '{}')::text",
        "keys": "(select count(*) from jsonb_object_keys(settings))",
        "hash": "('x' || substr(md5(concat_ws('|', {})), 1, 8))::bit(32)::bigint",
    },
    "mariadb": {
        "moment": "cast(unix_timestamp({}) as decimal(20, 3))",
        "cents": "cast({} * 100 as decimal(20, 3))",
        "key": "json_unquote(json_extract(settings, '$.{}'))",
        "truth": "json_extract(settings, '$.{}')",
        "keys": "json_length(settings)",
        "hash": "conv(substr(md5(concat_ws('|', {})), 1, 8), 16, 10) + 0",
    },
    "sqlite": {
        "moment": "printf('%.3f', (julianday({}) - 2440587.5) * 86400)",
        "cents": "printf('%.3f', {} * 100.0)",
        "key": "settings ->> '$.{}'",
        "truth": "settings -> '$.{}'",
        "keys": "(select count(*) from json_each(settings))",
        "hash": "hash32({})",
    },
}


def meant(legacy: Database) -> dict[str, Sum]:
    """What the target must hold."""
    return {table: _sum(legacy, table, sql) for table, sql in statements.selects(legacy.dialect).items()}


def found(database: Database) -> dict[str, Sum]:
    """What the target holds."""
    return {table: _sum(database, table, f"select * from {table}") for table in target.COLUMNS}


def check(database: Database, expected: dict[str, Sum], who: str) -> None:
    """Raise Wrong, with each table that is not as it must be."""
    there = found(database)
    wrong = [
        f"{table}: {there[table].rows} rows (hashes {there[table].hashes}), must be {must.rows} ({must.hashes})"
        for table, must in expected.items()
        if there[table] != must
    ]
    if wrong:
        raise Wrong(f"{who}: " + "; ".join(wrong))


def shape(database: Database) -> list[str]:
    """Columns, constraints and indexes of a PostgreSQL target, in words; a tool must not leave them out."""
    if database.dialect != "postgresql":
        return []
    tables = ", ".join(f"'{table}'" for table in target.COLUMNS)
    mine = f"c.relnamespace = '{database.schema or 'public'}'::regnamespace and c.relname in ({tables})"
    told = database.rows(
        f"select c.relname, pg_get_constraintdef(k.oid) from pg_constraint k join pg_class c on c.oid = k.conrelid"
        f" where {mine} union all"
        f" select c.relname, pg_get_indexdef(i.indexrelid) from pg_index i join pg_class c on c.oid = i.indrelid"
        f" where {mine} union all"
        f" select c.relname, concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull)"
        f" from pg_attribute a join pg_class c on c.oid = a.attrelid"
        f" where a.attnum > 0 and not a.attisdropped and {mine} order by 1, 2"
    )
    return [f"{table}: {words}" for table, words in told]


def check_shape(database: Database, expected: list[str], who: str) -> None:
    """Raise Wrong if tables are not what they were."""
    changed = set(shape(database)) ^ set(expected)
    if changed:
        raise Wrong(f"{who} changed the tables: " + "; ".join(sorted(changed)))


def _sum(database: Database, table: str, sql: str) -> Sum:
    words = _WORDS[database.dialect]
    values = ", ".join(_value(words, part) for part in _ROWS[table])
    with database.open() as connection:
        if isinstance(connection, sqlite3.Connection):
            connection.create_function("hash32", -1, _hash, deterministic=True)
        if database.dialect == "mariadb":
            connection.cursor().execute("set time_zone = '+00:00'")
        cursor = connection.cursor()
        cursor.execute(f"select count(*), coalesce(sum({words['hash'].format(values)}), 0) from ({sql}) as rows_")
        rows, hashes = cursor.fetchone()
    return Sum(int(rows), int(hashes))


def _value(words: dict[str, str], part: str) -> str:
    if not part.startswith("{"):
        return part
    name, _, column = part.strip("{}").partition(":")
    return words[name].format(column)


def _hash(*values: object) -> int:
    return int(hashlib.md5("|".join(map(str, values)).encode(), usedforsecurity=False).hexdigest()[:8], 16)
