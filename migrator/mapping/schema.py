"""What a database looks like to the mapping room: tables, columns, keys. Read by `edges/databases`, never changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What a value is, in any of the databases."""

    INTEGER = "integer"
    DECIMAL = "decimal"  # exact numbers
    FLOAT = "float"  # binary floating point
    BOOLEAN = "boolean"
    TEXT = "text"
    ENUM = "enum"
    DATE = "date"
    TIME = "time"
    DATETIME = "datetime"  # without a zone
    TIMESTAMP = "timestamp"  # an instant; UTC wherever it is printed
    JSON = "json"
    UUID = "uuid"
    INET = "inet"
    BINARY = "binary"
    OTHER = "other"  # carried as the text the database prints


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table, as the database declares it."""

    name: str
    kind: Kind
    nullable: bool = True
    has_default: bool = False  # also identity and auto-increment
    generated: bool = False  # computed by the database; never set, never compared
    insert_only: bool = False  # PostgreSQL's GENERATED ALWAYS AS IDENTITY: a value comes with the row, and stays
    length: int | None = None  # text: most characters
    precision: int | None = None  # decimal: digits in all
    scale: int | None = None  # decimal: digits behind the point; times: behind the second, where fewer than 6
    bits: int = 64  # integer: in how many it is kept
    unsigned: bool = False  # integer: without negative numbers
    values: tuple[str, ...] = ()  # enum: what it may hold
    declared: str = ""  # the type as the database prints it, for messages
    collation: str = ""  # text: what the database compares it by, where that is not the text itself
    allowed: tuple[str, ...] = ()  # the values that a CHECK constraint names; empty where it names none


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns of one table that name a row of another."""

    columns: tuple[str, ...]
    table: str
    references: tuple[str, ...]
    deferrable: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One table with its keys; `key` is the primary key, empty where there is none."""

    name: str
    columns: dict[str, Column]
    key: tuple[str, ...] = ()
    uniques: tuple[tuple[str, ...], ...] = ()  # without the primary key
    foreign_keys: tuple[ForeignKey, ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()  # column lists, primary key and uniques included
    view: bool = False  # rows of other tables: read, never written
    transactional: bool = True  # what was written is taken back when a transaction is


@dataclass(frozen=True, slots=True)
class Schema:
    """All tables that the connection can see in its schema."""

    dialect: str  # sqlite | postgresql | mysql
    tables: dict[str, Table] = field(default_factory=dict)

    @property
    def stored(self) -> Schema:
        """Leave out views, whose rows are those of other tables."""
        return Schema(self.dialect, {name: table for name, table in self.tables.items() if not table.view})
