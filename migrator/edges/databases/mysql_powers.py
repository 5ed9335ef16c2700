"""What our account in MySQL or MariaDB may do beyond its work, how it is connected, and whose clock is right."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from migrator.edges.databases.base import Concern
from migrator.edges.databases.own import PREFIX
from migrator.edges.databases.powers import apart, grants, unencrypted
from migrator.edges.hosts import leaves_this_machine

_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "TRIGGER"})
_DEFINES = frozenset({"CREATE", "DROP", "ALTER", "SUPER", "CREATE USER"})


def of(connection: sa.Connection, role: str, url: sa.URL) -> list[Concern]:
    """Look at rights, cover and clock."""
    return [*_rights(connection, role), *_cover(connection, url), *_clock(connection)]


def _rights(connection: sa.Connection, role: str) -> Iterator[Concern]:
    """By the account's own name; what it has by a role is not counted."""
    account = str(connection.execute(sa.select(sa.func.current_user())).scalar_one())
    given = set(_given(connection, account))
    if role == "legacy" and given & _WRITES:
        may = ", ".join(sorted(given & _WRITES))
        yield Concern("warn", f"the account {account} has {may}: legacy is only to be read", grants(role))
    elif role == "target" and given & _DEFINES:
        may = ", ".join(sorted(given & _DEFINES))
        yield Concern("pass", f"the account {account} has {may}, which moving users does not need", grants(role))


def _given(connection: sa.Connection, account: str) -> Iterator[str]:
    user, _, host = account.rpartition("@")
    for view in ("user_privileges", "schema_privileges", "table_privileges"):
        names = ["grantee", "privilege_type"] + ([] if view == "user_privileges" else ["table_schema", "table_name"])
        privileges = sa.table(view, *(sa.column(name) for name in names), schema="information_schema")
        found = sa.select(privileges.c.privilege_type).where(privileges.c.grantee == f"'{user}'@'{host}'")
        if view != "user_privileges":
            found = found.where(sa.func.database().like(privileges.c.table_schema))
        if view == "table_privileges":  # tables of ours are to be written
            found = found.where(sa.not_(privileges.c.table_name.startswith(PREFIX, autoescape=True)))
        yield from (str(right).upper() for right in connection.execute(found).scalars())


def _cover(connection: sa.Connection, url: sa.URL) -> Iterator[Concern]:
    if not leaves_this_machine(url):
        return
    cipher = connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Ssl_cipher'").first()
    if cipher is None or not cipher[1]:
        yield unencrypted("the MySQL server", "?ssl_ca=/path/ca.pem")


def _clock(connection: sa.Connection) -> Iterator[Concern]:
    yield from apart(connection.scalar(sa.select(sa.func.utc_timestamp(6))))
