"""SQLite's errors, by the names it gives them."""

from __future__ import annotations

import sqlite3

from migrator.errors import DatabaseRefused, InDoubt, MigratorError, Refused, Transient, Unreachable

_PASSING = {
    "SQLITE_BUSY": "the file is locked by another writer",
    "SQLITE_LOCKED": "the file is locked by another writer",
    "SQLITE_FULL": "the disk is full",
    "SQLITE_IOERR": "the disk has an input or output error",
    "SQLITE_NOMEM": "there is not enough memory",
}
_CONSTRAINTS = {
    "SQLITE_CONSTRAINT_UNIQUE": "unique",
    "SQLITE_CONSTRAINT_PRIMARYKEY": "primary key",
    "SQLITE_CONSTRAINT_ROWID": "primary key",
    "SQLITE_CONSTRAINT_FOREIGNKEY": "foreign key",
    "SQLITE_CONSTRAINT_NOTNULL": "not null",
    "SQLITE_CONSTRAINT_CHECK": "check",
    "SQLITE_CONSTRAINT_TRIGGER": "trigger",
    "SQLITE_CONSTRAINT_DATATYPE": "data type",
    "SQLITE_MISMATCH": "data type",
    "SQLITE_TOOBIG": "length",
}
#: Behind the colon of these messages stand names of the schema; behind that of others may stand a value.
_NAMING = frozenset({"unique", "primary key", "not null", "check"})


def meaning(error: BaseException, *, at_commit: bool = False, table: str = "") -> MigratorError | None:
    """Translate an error of sqlite3; None when it is none."""
    if not isinstance(error, sqlite3.Error):
        return None
    name = getattr(error, "sqlite_errorname", "SQLITE_ERROR")
    family = "_".join(name.split("_")[:2])
    if at_commit and family == "SQLITE_IOERR":
        return InDoubt("the disk failed while the transaction was committed (SQLITE_IOERR)")
    if family in _PASSING:
        return Transient(f"{_PASSING[family]} ({name})")
    if name in _CONSTRAINTS or family in ("SQLITE_CONSTRAINT", "SQLITE_MISMATCH", "SQLITE_TOOBIG"):
        return _refused(str(error), name, table)
    if family == "SQLITE_CANTOPEN":
        return Unreachable("the SQLite file cannot be opened (SQLITE_CANTOPEN)")
    if family in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
        return Refused(f"the file is not an intact SQLite database ({name})")
    if family == "SQLITE_READONLY":
        return Refused("the SQLite file is read-only (SQLITE_READONLY): give the account the right to write to it")
    return Refused(f"SQLite refused a statement: {error} ({name})")


def _refused(message: str, name: str, table: str) -> DatabaseRefused:
    kind = _CONSTRAINTS.get(name, "constraint")
    constraint = message.partition(": ")[2] if kind in _NAMING else ""
    if kind in _NAMING - {"check"} and not constraint.startswith("index "):
        table = constraint.partition(".")[0]
    return DatabaseRefused(kind, name, constraint, table)
