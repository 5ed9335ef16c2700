"""
The SQL that gives an account what it needs and nothing else, for whoever rules the database to read and to run.

Names are quoted by the dialect, an account as its dialect writes accounts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from migrator.edges.databases.carried import NAME as CARRIED
from migrator.edges.databases.change_scripts import LOG
from migrator.edges.databases.lock_scripts import FROZEN
from migrator.edges.databases.own import own_tables
from migrator.edges.databases.quoting import as_value
from migrator.errors import WrongInput

_KINDS: dict[str, Any] = {"postgresql": postgresql, "mysql": mysql}
#: A right that MariaDB has beside MySQL's since 10.5.9; MySQL takes it for a comment.
_OF_MARIADB = "/*M!100509 , SLAVE MONITOR */"
READS = ("SELECT",)
LOCKS = ("SELECT", "INSERT", "DELETE")
WRITES = ("SELECT", "INSERT", "UPDATE", "DELETE")


@dataclass(frozen=True, slots=True)
class Place:
    """A database as its URL names it, and the schema in it."""

    dialect: str
    database: str
    schema: str | None

    @classmethod
    def of(cls, url: str, schema: str | None) -> Place:
        """Of a URL that SQLAlchemy understands; MariaDB is MySQL here."""
        address = sa.make_url(url)
        kind = address.get_backend_name().replace("mariadb", "mysql")
        if kind == "mysql":
            return cls(kind, schema or address.database or "", None)
        return cls(kind, address.database or "", schema or "public")


@dataclass(frozen=True, slots=True)
class Needs:
    """What one account does: tables with their rights, sequences it draws from, and rights on the whole."""

    tables: Mapping[str, Sequence[str]] = field(default_factory=dict)
    sequences: Sequence[str] = ()
    stages: bool = False  # makes temporary tables
    watches: bool = False  # looks at what others do
    follows: bool = False  # is asked how far it is behind
    creates: bool = False  # has tables of its own


def legacy(tables: Iterable[str], *, noted: bool, watches: bool, locks: bool = False) -> Needs:
    """
    Read the mapped tables; `noted`: changes are noted by triggers, and what they noted is read. `locks`: say in the one
    table that is for it whose rows are refused.
    """
    names = [*tables, *([LOG] if noted else [])]
    return Needs(dict.fromkeys(names, READS) | ({FROZEN: LOCKS} if locks else {}), watches=watches)


def target(written: Iterable[str], looked_at: Iterable[str], sequences: Sequence[str], *, watches: bool) -> Needs:
    """Write the mapped tables and our own, look at those around them; make no table that stays."""
    own = [table.name for table in own_tables(None).all]
    tables = {**dict.fromkeys(looked_at, READS), **dict.fromkeys([*written, *own], WRITES)}
    return Needs(tables, sequences, stages=True, watches=watches)


def writable(tables: Mapping[str, Sequence[str]], sequences: Sequence[str]) -> Needs:
    """Write to legacy what goes back to it, and write down in our own table whose it was."""
    return Needs({**tables, CARRIED: WRITES}, sequences, stages=True)


def statements(place: Place, account: str, needs: Needs) -> list[str]:
    """
    Write the grants down, one statement each.

    Raises:
        WrongInput: the account has a name that no account has.
    """
    if not account or not account.isprintable():
        raise WrongInput("an account has a name of letters, digits and signs that can be printed")
    if place.dialect == "postgresql":
        return _postgresql(place, account, needs)
    if place.dialect == "mysql":
        return _mysql(place, account, needs)
    return []


def _postgresql(place: Place, account: str, needs: Needs) -> list[str]:
    name = _quoted("postgresql")
    who, schema = name(account), name(place.schema or "public")
    made = [f"GRANT CONNECT ON DATABASE {name(place.database)} TO {who};"]
    made.append(f"GRANT USAGE{', CREATE' if needs.creates else ''} ON SCHEMA {schema} TO {who};")
    if needs.stages:
        made.append(f"GRANT TEMPORARY ON DATABASE {name(place.database)} TO {who};")
    for table, rights in needs.tables.items():
        made.append(f"GRANT {', '.join(rights)} ON TABLE {schema}.{name(table)} TO {who};")
    made += [f"GRANT USAGE ON SEQUENCE {sequence} TO {who};" for sequence in needs.sequences]
    if needs.watches:
        made.append(f"GRANT pg_read_all_stats TO {who};")
    if needs.tables and all(rights == READS for table, rights in needs.tables.items() if table != FROZEN):
        made.append(f"ALTER ROLE {who} SET default_transaction_read_only = on;")
    return made


def _mysql(place: Place, account: str, needs: Needs) -> list[str]:
    name, who = _quoted("mysql"), _mysql_account(account)
    # in a grant for a whole database _ and % stand for any letters
    pattern = name(place.database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%"))
    made = [
        f"GRANT {', '.join(rights)} ON {name(place.database)}.{name(table)} TO {who};"
        for table, rights in needs.tables.items()
    ]
    if needs.stages:
        made.append(f"GRANT CREATE TEMPORARY TABLES ON {pattern}.* TO {who};")
    if needs.creates:
        made.append(f"GRANT ALL PRIVILEGES ON {pattern}.* TO {who};")
    if needs.watches:
        more = f" {_OF_MARIADB}" if needs.follows else ""
        made.append(f"GRANT PROCESS, REPLICATION CLIENT{more} ON *.* TO {who};")
    return made


def _quoted(dialect: str) -> Callable[[str], str]:
    preparer = _KINDS[dialect].dialect().identifier_preparer
    return lambda text: as_value(str(preparer.quote_identifier(text)))


def _mysql_account(account: str) -> str:
    """`name@host` as two texts in quotes; without a host from anywhere."""
    user, at, host = account.rpartition("@")
    parts = (user, host) if at else (account, "%")
    return "@".join("'" + part.replace("\\", "\\\\").replace("'", "''") + "'" for part in parts)
