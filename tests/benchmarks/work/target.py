"""The target side of the work: five tables with primary keys, foreign keys, a unique e-mail and three more indexes."""

from __future__ import annotations

import os

from tests.benchmarks.databases import Database

#: In the order in which foreign keys allow them to be filled.
COLUMNS = {
    "accounts": "id {big} primary key, email {text} not null unique, full_name {text} not null, phone {text},"
    " status {text} not null, created_at {moment} not null",
    "preferences": "account_id {big} primary key references accounts (id), settings {json} not null",
    "orders": "id {big} primary key, account_id {big} not null references accounts (id), number {text} not null,"
    " status {text} not null, total numeric(12, 2) not null, placed_at {moment} not null",
    "order_lines": "id {big} primary key, order_id {big} not null references orders (id), sku {text} not null,"
    " quantity integer not null, unit_price numeric(12, 2) not null",
    "wishlist": "id {big} primary key, account_id {big} not null references accounts (id), product_id {big} not null,"
    " added_at {moment} not null",
}
INDEXES = {"orders": "account_id", "order_lines": "order_id", "wishlist": "account_id"}
TYPES = {
    "postgresql": {"big": "bigint", "text": "text", "moment": "timestamptz", "json": "jsonb"},
    "mariadb": {"big": "bigint", "text": "varchar(120)", "moment": "datetime", "json": "json"},
    "sqlite": {"big": "integer", "text": "text", "moment": "text", "json": "text"},
}


def build(database: Database) -> None:
    """Make the tables anew, and empty: whatever was left of the one before is gone."""
    _wipe(database)
    for table, columns in COLUMNS.items():
        database.run(f"create table {table} ({columns.format(**TYPES[database.dialect])})")
    for table, column in INDEXES.items():
        database.run(f"create index {table}_{column} on {table} ({column})")
    if database.dialect == "postgresql":
        database.maintain("checkpoint")
    os.sync()  # nobody pays for what the one before wrote


def _wipe(database: Database) -> None:
    if database.dialect == "postgresql":
        schema = database.schema or "public"
        database.maintain(f"drop schema {schema} cascade")
        database.maintain(f"create schema {schema}")
    elif database.dialect == "sqlite":
        for ending in ("", "-wal", "-shm"):
            database.path.with_name(database.path.name + ending).unlink(missing_ok=True)
    else:
        tables = [row[0] for row in database.rows("show tables")]
        database.run("set foreign_key_checks = 0;" + ";".join(f"drop table `{table}`" for table in tables))
