"""Databases of other people: `connect` gives one under its URL, whatever its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from migrator.edges.databases.base import Database

Role = Literal["legacy", "target", "writable legacy", "replica"]
_SUPPORTED = "sqlite:///file, postgresql://user@host/database or mysql://user@host/database"


def connect(url: str, schema: str | None, role: Role) -> Database:
    """
    Give the database under *url*; nothing is opened before it is used.

    Args:
        schema: The one schema that counts, where the database has schemas.
        role: The legacy database is opened read-only; what is carried back goes through one that is writable. Of a
            replica nothing is read but what its server says of itself.

    Raises:
        SettingWrong: The URL is not one of a database we know, or its driver is not installed.
    """
    import sqlalchemy as sa

    from migrator.errors import SettingWrong

    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise SettingWrong(f"[{role}] url is not a database URL; it looks like {_SUPPORTED}") from None
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        from migrator.edges.databases.sqlite import SqliteDatabase

        return SqliteDatabase(parsed, role)
    if kind in ("postgresql", "postgres"):
        from migrator.edges.databases.postgresql import PostgresqlDatabase

        return PostgresqlDatabase(parsed, schema, role)
    if kind in ("mysql", "mariadb"):
        from migrator.edges.databases.mysql import MysqlDatabase

        return MysqlDatabase(parsed, schema, role)
    raise SettingWrong(f"[{role}] url names a database that is not known here: {kind}; use {_SUPPORTED}")
