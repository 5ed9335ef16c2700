"""What our account in PostgreSQL may do beyond its work, how it is connected, and whose clock is right."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from migrator.edges.databases.base import Concern
from migrator.edges.databases.own import PREFIX
from migrator.edges.databases.powers import apart, grants, listed, unencrypted
from migrator.edges.hosts import leaves_this_machine

_roles = sa.table(
    "pg_roles", *(sa.column(name) for name in ("rolname", "rolsuper", "rolcreaterole")), schema="pg_catalog"
)
_tables = sa.table(
    "pg_class", *(sa.column(name) for name in ("oid", "relname", "relkind", "relnamespace")), schema="pg_catalog"
)
_schemas = sa.table("pg_namespace", sa.column("oid"), sa.column("nspname"), schema="pg_catalog")
_ssl = sa.table("pg_stat_ssl", sa.column("pid"), sa.column("ssl"), schema="pg_catalog")
_WRITES = "INSERT, UPDATE, DELETE, TRUNCATE"


def of(connection: sa.Connection, namespace: str, role: str, url: sa.URL) -> list[Concern]:
    """Look at rights, cover and clock."""
    return [*_rights(connection, namespace, role), *cover(connection, url), *_clock(connection)]


def _rights(connection: sa.Connection, namespace: str, role: str) -> Iterator[Concern]:
    who = sa.select(_roles.c.rolname, _roles.c.rolsuper).where(_roles.c.rolname == sa.func.current_user())
    account, superuser = connection.execute(who).one()
    here = sa.select(_schemas.c.oid).where(_schemas.c.nspname == namespace).scalar_subquery()
    writable = sa.select(_tables.c.relname).where(
        _tables.c.relnamespace == here,
        _tables.c.relkind.in_(["r", "p"]),
        sa.not_(_tables.c.relname.startswith(PREFIX, autoescape=True)),  # tables of ours are to be written
        sa.func.has_table_privilege(_tables.c.oid, _WRITES),
    )
    creates = connection.scalar(sa.select(sa.func.has_schema_privilege(namespace, "CREATE")))
    if role == "legacy":
        tables = sorted(connection.execute(writable).scalars())
        if superuser or tables:
            may = ", ".join([*(["is a superuser"] if superuser else []), f"may write to {listed(tables)}"])
            yield Concern("warn", f"the account {account} {may}: legacy is only to be read", grants(role))
    elif role == "target" and (superuser or creates):
        may = "is a superuser" if superuser else "may create tables"
        yield Concern("pass", f"the account {account} {may}, which moving users does not need", grants(role))


def cover(connection: sa.Connection, url: sa.URL) -> Iterator[Concern]:
    """Whether what goes to another machine can be read on the way; a connection to this one needs no cover."""
    if not leaves_this_machine(url):
        return
    covered = connection.scalar(sa.select(_ssl.c.ssl).where(_ssl.c.pid == sa.func.pg_backend_pid()))
    if not covered:
        yield unencrypted("PostgreSQL", "?sslmode=verify-full")


def _clock(connection: sa.Connection) -> Iterator[Concern]:
    yield from apart(connection.scalar(sa.select(sa.func.clock_timestamp())))
