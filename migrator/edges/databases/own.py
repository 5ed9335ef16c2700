"""The tables that live in the target database beside the data: ledger, fence, ids, owners, tombstones (README F3, F4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from migrator.mapping.schema import Column, Kind

PREFIX = "migrator_"

_MYSQL: Final[Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}


class KeyText(sa.types.TypeDecorator[str]):
    """
    Text that is a key or part of one.

    In MySQL it is kept as bytes, since its collations take 'a' for 'A' and for 'a ', and of a limited length: half of
    what a key may have there, which is at least 384 characters. A longer one is refused.
    """

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Bytes in MySQL, text elsewhere."""
        return mysql.VARBINARY(1536) if dialect.name == "mysql" else sa.Text()

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        """Encode it where bytes are kept."""
        return value.encode() if dialect.name == "mysql" and isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class OwnTables:
    """
    Our own tables in one schema of the target.

    `ids` keeps the numbers given to rows whose id is a sequence; `owners` says which user wrote a row that rows of
    other users may meet; `tombstones` are keyed hashes of users who were erased and are never written again.
    """

    ledger: sa.Table
    fence: sa.Table
    ids: sa.Table
    owners: sa.Table
    tombstones: sa.Table

    @property
    def all(self) -> tuple[sa.Table, ...]:
        """In the order in which they are created."""
        return self.ledger, self.fence, self.ids, self.owners, self.tombstones


@cache
def own_tables(schema: str | None) -> OwnTables:
    """Describe them as they stand in *schema* (None: the database has no schemas)."""
    metadata = sa.MetaData(schema=schema)
    now = sa.func.current_timestamp()
    ledger = sa.Table(
        f"{PREFIX}ledger",
        metadata,
        sa.Column("user_key", KeyText, primary_key=True),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("op", sa.Text, nullable=False),
        sa.Column("batch", sa.BigInteger, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("set_hash", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=now),
        **_MYSQL,
    )
    fence = sa.Table(
        f"{PREFIX}fence",
        metadata,
        sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=now),
        **_MYSQL,
    )
    ids = sa.Table(
        f"{PREFIX}ids",
        metadata,
        sa.Column("mapping", KeyText, primary_key=True),
        sa.Column("key", KeyText, primary_key=True),
        sa.Column("id", sa.BigInteger, nullable=False),
        **_MYSQL,
    )
    owners = sa.Table(
        f"{PREFIX}owners",
        metadata,
        sa.Column("table_name", KeyText, primary_key=True),
        sa.Column("key", KeyText, primary_key=True),
        sa.Column("user_key", sa.Text, nullable=False),
        **_MYSQL,
    )
    tombstones = sa.Table(
        f"{PREFIX}tombstones",
        metadata,
        sa.Column("print", KeyText, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=now),
        **_MYSQL,
    )
    return OwnTables(ledger, fence, ids, owners, tombstones)


#: The columns of the ledger that a reader gives back, with the kinds they are read as.
LEDGER_COLUMNS: dict[str, Column] = {
    name: Column(name, kind)
    for name, kind in {
        "user_key": Kind.TEXT,
        "generation": Kind.INTEGER,
        "op": Kind.TEXT,
        "batch": Kind.INTEGER,
        "fence": Kind.INTEGER,
        "set_hash": Kind.TEXT,
    }.items()
}
IDS_COLUMNS: dict[str, Column] = {"key": Column("key", Kind.TEXT), "id": Column("id", Kind.INTEGER)}
TOMBSTONE_COLUMNS: dict[str, Column] = {"print": Column("print", Kind.TEXT)}
OWNERS_COLUMNS: dict[str, Column] = {name: Column(name, Kind.TEXT) for name in ("key", "user_key")}


def create(connection: sa.Connection, tables: Iterable[sa.Table]) -> None:
    """Create those of *tables* that are missing."""
    for table in tables:
        connection.execute(sa.schema.CreateTable(table, if_not_exists=True))


def creating_sql(dialect: sa.Dialect, tables: Iterable[sa.Table]) -> str:
    """Write down what `create` runs."""
    creating = (sa.schema.CreateTable(table, if_not_exists=True) for table in tables)
    return "\n".join(f"{str(create.compile(dialect=dialect)).strip()};" for create in creating)


def are_there(connection: sa.Connection, tables: Iterable[sa.Table]) -> bool:
    """Whether all of *tables* exist."""
    inspector = sa.inspect(connection)
    return all(inspector.has_table(table.name, schema=table.schema) for table in tables)
