"""The errors of MySQL and MariaDB, by number. Their messages quote values and stay here, but for names in them."""

from __future__ import annotations

import re

import pymysql

from migrator.edges.databases.failures import GRANTS
from migrator.errors import DatabaseRefused, InDoubt, MigratorError, Refused, Transient, Unreachable

_PASSING = {
    1205: "a lock was not to be had in time",
    1213: "deadlock",
    1020: "a row changed since it was read",
    1317: "the statement was interrupted",
    1969: "the statement took too long",
    3024: "the statement took too long",
    1021: "the disk is full",
    1026: "the disk has an error",
    1114: "the table is full",
    1037: "there is not enough memory",
    1038: "there is not enough memory",
    1041: "there is not enough memory",
    1180: "the commit was not possible",
    1412: "a table was altered meanwhile",
}
_REFUSALS = {
    1062: "unique",
    1169: "unique",
    1586: "unique",
    1761: "foreign key",
    1216: "foreign key",
    1217: "foreign key",
    1451: "foreign key",
    1452: "foreign key",
    1048: "not null",
    1263: "not null",
    1364: "not null",
    3819: "check",
    4025: "check",
    1369: "check option",
    1406: "length",
    1153: "length",
    1118: "length",
    1264: "number out of range",
    1690: "number out of range",
    1366: "text that is not of the type",
    1367: "text that is not of the type",
    1265: "a value that the column does not hold",
    3140: "JSON",
    1292: "date or time",
    1411: "date or time",
    1416: "geometry",
    1644: "trigger",
}
#: A number that the server gives itself, to a client whose query never came to an end.
_GONE = frozenset(
    {0, 1040, 1053, 1077, 1079, 1129, 1152, 1158, 1159, 1160, 1161, 1203, 1927, 2002, 2003, 2006, 2013, 2014}
)
_GONE_TOO = frozenset({2055, 3032, 4031})
#: The messages of these name tables, columns, rights and settings, never values.
_NAMING = frozenset({1044, 1049, 1054, 1142, 1143, 1146, 1227, 1267, 1270, 1271, 1290, 1305, 1665, 1792, 1836, 1193})

_RIGHTS = frozenset({1044, 1142, 1143, 1227})

#: Where a message names the constraint or column; behind the value, where it quotes one as well.
_CONSTRAINTS = (
    r"for key '([^']*)'$",
    r"CONSTRAINT `([^`]+)` (?:FOREIGN KEY|failed)",
    r"^Check constraint '([^']+)' is violated",
    r"^(?:Column|Field) '([^']+)' (?:cannot be null|doesn't have a default value)",
    r"for column (?:`[^`]*`\.){0,2}[`']([^`']+)[`'] at row \d+$",
)


def meaning(error: BaseException, *, at_commit: bool = False, table: str = "") -> MigratorError | None:
    """Translate an error of PyMySQL; None when it is none."""
    if not isinstance(error, pymysql.MySQLError):
        return None
    number, said = _number(error), _said(error)
    if number in _GONE or number in _GONE_TOO:
        return _lost(number, at_commit=at_commit)
    if number in _PASSING:
        return Transient(f"{_PASSING[number]} ({number})")
    if number in _REFUSALS:
        return DatabaseRefused(_REFUSALS[number], str(number), _constraint(said), table)
    if isinstance(error, pymysql.IntegrityError | pymysql.DataError):
        return DatabaseRefused("data", str(number), _constraint(said), table)
    shown = said if number in _NAMING else type(error).__name__
    remedy = f"; {GRANTS}" if number in _RIGHTS else ""
    return Refused(f"the server refused a statement: {shown} ({number}){remedy}")


def _number(error: pymysql.MySQLError) -> int:
    return error.args[0] if error.args and isinstance(error.args[0], int) else -1


def _said(error: pymysql.MySQLError) -> str:
    return str(error.args[1]) if len(error.args) > 1 else ""


def _constraint(said: str) -> str:
    found = (re.search(pattern, said) for pattern in _CONSTRAINTS)
    return next((match[1] for match in found if match), "")


def _lost(number: int, *, at_commit: bool) -> MigratorError:
    code = f" ({number})" if number else ""
    if at_commit:
        return InDoubt(f"the connection was lost while the transaction was committed{code}")
    return Unreachable(f"the connection to the MySQL server was lost{code}")


def reason(error: BaseException) -> str:
    """Give the driver's words about a connection that did not come about."""
    return (_said(error) if isinstance(error, pymysql.MySQLError) else str(error)) or type(error).__name__
