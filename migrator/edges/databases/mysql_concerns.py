"""What an operator should know of a MySQL or MariaDB server before users move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import sqlalchemy as sa

from migrator.edges.databases.base import Concern
from migrator.mapping.schema import Schema

_WANTED = ("log_bin", "binlog_format", "max_allowed_packet")
_SMALL_PACKET = 4 * 1024**2  # a statement of ours has a million bytes, more only where one row has
_RIGHTS = {"legacy": ("SELECT",), "target": ("SELECT", "INSERT", "UPDATE", "DELETE")}
_SHOWN = 5


def of(connection: sa.Connection, schema: Schema, role: str) -> list[Concern]:
    """Look at engines, rights and settings."""
    listed = connection.exec_driver_sql("SHOW GLOBAL VARIABLES WHERE Variable_name IN %s", (_WANTED,))
    settings = {str(name): str(value) for name, value in listed}
    return [*_engines(schema, role), *_rights(connection, role), *(_settings(settings) if role == "target" else ())]


def _engines(schema: Schema, role: str) -> Iterator[Concern]:
    loose = sorted(table.name for table in schema.stored.tables.values() if not table.transactional)
    if not loose:
        return
    named = ", ".join(loose[:_SHOWN]) + (f" and {len(loose) - _SHOWN} more" if len(loose) > _SHOWN else "")
    if role == "legacy":
        said = f"no transactions in {named}: they are read as they are at the time, not as of one moment"
        yield Concern("warn", said, "keep them from being written while users move, or ALTER TABLE … ENGINE=InnoDB")
    else:
        yield Concern("warn", f"no transactions in {named}: they are never written", "ALTER TABLE … ENGINE=InnoDB")


def _rights(connection: sa.Connection, role: str) -> Iterator[Concern]:
    """What an account has been given by name, over everything or over this database; rights by table are not counted."""
    account = str(connection.execute(sa.select(sa.func.current_user())).scalar_one())
    user, _, host = account.rpartition("@")
    given = {
        right for view in ("user_privileges", "schema_privileges") for right in _given(connection, view, user, host)
    }
    missing = [right for right in _RIGHTS[role] if right not in given]
    if missing:
        said = f"{account} has no {', '.join(missing)} on the whole database by its own name"
        yield Concern("warn", said, "grant it, unless it has it by a role or table by table")


def _given(connection: sa.Connection, view: str, user: str, host: str) -> Iterator[str]:
    names = ("grantee", "privilege_type") + (("table_schema",) if view == "schema_privileges" else ())
    privileges = sa.table(view, *(sa.column(name) for name in names), schema="information_schema")
    found = sa.select(privileges.c.privilege_type).where(privileges.c.grantee == f"'{user}'@'{host}'")
    if view == "schema_privileges":
        found = found.where(sa.func.database().like(privileges.c.table_schema))
    yield from connection.execute(found).scalars()


def _settings(settings: Mapping[str, str]) -> Iterator[Concern]:
    if settings.get("log_bin") == "ON" and settings.get("binlog_format", "ROW").upper() == "STATEMENT":
        said = "the binary log keeps statements, and the server refuses our writes (READ COMMITTED) then"
        yield Concern("fail", said, "SET GLOBAL binlog_format = 'MIXED'")
    packet = int(settings.get("max_allowed_packet", _SMALL_PACKET))
    if packet < _SMALL_PACKET:
        said = f"max_allowed_packet is {packet} bytes: batches of rows may not come through"
        yield Concern("warn", said, "SET GLOBAL max_allowed_packet = 16777216")
