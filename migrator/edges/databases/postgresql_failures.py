"""PostgreSQL's errors, by SQLSTATE. Its messages and details may quote values and stay here."""

from __future__ import annotations

import psycopg
from psycopg import pq

from migrator.edges.databases.failures import GRANTS
from migrator.errors import DatabaseRefused, InDoubt, MigratorError, Refused, Transient, Unreachable

_PASSING = {
    "40001": "serialisation failure",
    "40P01": "deadlock",
    "55P03": "a lock was not to be had in time",
    "57014": "the statement took too long",
    "25P03": "the transaction was idle for too long",
    "53100": "the disk is full",
    "53200": "there is not enough memory",
}
_REFUSALS = {
    "23505": "unique",
    "23503": "foreign key",
    "23502": "not null",
    "23514": "check",
    "23P01": "exclusion",
    "22001": "length",
    "22003": "number out of range",
    "22021": "a character that the database does not hold",
    "22P02": "text that is not of the type",
    "22P05": "a character that the database does not hold",
    "22007": "date or time",
    "22008": "date or time out of range",
    "21000": "one row twice in one write",
    "P0001": "trigger",
    "44000": "check option",
}
_OF_DATA = ("21", "22", "23", "44", "P0")
_GONE = ("08", "57P", "53300")
#: The messages of these name tables, columns and rights, never values.
_NAMING = frozenset({"42P01", "42703", "42501", "42P10", "3F000"})


def meaning(error: BaseException, *, at_commit: bool = False, table: str = "") -> MigratorError | None:
    """Translate an error of psycopg; None when it is none."""
    if isinstance(error, psycopg.DataError) and error.sqlstate is None:
        return DatabaseRefused("a value that cannot be sent", "22000", "", table)
    if not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate or ""
    if _is_gone(error, state):
        return _lost(state, at_commit=at_commit)
    if state in _PASSING:
        return Transient(f"{_PASSING[state]} ({state})")
    if state.startswith(_OF_DATA):
        diagnosis = error.diag
        constraint = diagnosis.constraint_name or diagnosis.column_name or ""
        return DatabaseRefused(_REFUSALS.get(state, "data"), state, constraint, diagnosis.table_name or table)
    if state.startswith(("40", "53", "55", "58")):
        return Transient(f"{type(error).__name__} ({state})")
    said = error.diag.message_primary if state in _NAMING else type(error).__name__
    remedy = f"; {GRANTS}" if state == "42501" else ""
    return Refused(f"PostgreSQL refused a statement: {said} ({state or 'no SQLSTATE'}){remedy}")


def _is_gone(error: psycopg.Error, state: str) -> bool:
    if state.startswith(_GONE):
        return True
    connection = error.pgconn
    broken = connection is not None and connection.status == pq.ConnStatus.BAD
    return broken or (not state and isinstance(error, psycopg.OperationalError))


def _lost(state: str, *, at_commit: bool) -> MigratorError:
    code = f" ({state})" if state else ""
    if at_commit:
        return InDoubt(f"the connection was lost while the transaction was committed{code}")
    return Unreachable(f"the connection to PostgreSQL was lost{code}")


def unreachable(error: BaseException, place: str, password: str | None) -> Unreachable:
    """Say why no connection came about, in the first line of the driver's words, without the password."""
    words = str(error).strip().splitlines() or [type(error).__name__]
    said = words[0].replace(password, "***") if password else words[0]
    return Unreachable(f"cannot connect to {place}: {said}")
