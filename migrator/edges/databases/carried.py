"""
The one table of ours in a legacy database: whose changes were carried back to it, in the transaction that wrote them.

`made` is JSON: per row that came into being in the target its table and key there, and its table and key here.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from migrator.edges.databases.own import PREFIX, KeyText, own_tables
from migrator.mapping.schema import Column, Kind

#: The role of a database that is opened for this, beside "legacy" and "target".
WRITABLE: Final = "writable legacy"
NAME: Final = f"{PREFIX}carried"
_MYSQL: Final[Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}

#: The columns that a reader gives back, with the kinds they are read as.
CARRIED_COLUMNS: dict[str, Column] = {
    name: Column(name, kind)
    for name, kind in {
        "user_key": Kind.TEXT,
        "generation": Kind.INTEGER,
        "carry": Kind.INTEGER,
        "made": Kind.TEXT,
    }.items()
}


@cache
def carried_table(schema: str | None) -> sa.Table:
    """
    Describe it as it stands in *schema* (None: the database has no schemas).

    `generation` is that of the user's move, by the ledger in the target; `carry` names the sealed file of what was carried.
    """
    return sa.Table(
        NAME,
        sa.MetaData(schema=schema),
        sa.Column("user_key", KeyText, primary_key=True),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("carry", sa.BigInteger, nullable=False),
        sa.Column("made", sa.Text().with_variant(mysql.LONGTEXT(), "mysql"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.current_timestamp()),
        **_MYSQL,
    )


def ours(role: str, schema: str | None) -> tuple[sa.Table, ...]:
    """Our own tables in a database of this role."""
    return (carried_table(schema),) if role == WRITABLE else own_tables(schema).all
