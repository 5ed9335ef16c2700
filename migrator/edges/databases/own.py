"""The two tables that live in the target database beside the data: ledger and fence (README F4)."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from migrator.mapping.schema import Column, Kind

PREFIX = "migrator_"


@dataclass(frozen=True, slots=True)
class OwnTables:
    """Ledger and fence in one schema of the target."""

    ledger: sa.Table
    fence: sa.Table

    @property
    def both(self) -> tuple[sa.Table, sa.Table]:
        """In the order in which they are created."""
        return self.ledger, self.fence


def own_tables(schema: str | None) -> OwnTables:
    """Describe ledger and fence as they stand in *schema* (None: the database has no schemas)."""
    metadata = sa.MetaData(schema=schema)
    now = sa.func.current_timestamp()
    ledger = sa.Table(
        f"{PREFIX}ledger",
        metadata,
        sa.Column("user_key", sa.Text, primary_key=True),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("op", sa.Text, nullable=False),
        sa.Column("batch", sa.BigInteger, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("set_hash", sa.Text, nullable=False),
        sa.Column("read_hash", sa.Text),
        sa.Column("written_hash", sa.Text),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=now),
    )
    fence = sa.Table(
        f"{PREFIX}fence",
        metadata,
        sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=now),
    )
    return OwnTables(ledger, fence)


#: The columns of the ledger that a reader gives back, with the kinds they are read as.
LEDGER_COLUMNS: dict[str, Column] = {
    name: Column(name, kind)
    for name, kind in {
        "user_key": Kind.TEXT,
        "generation": Kind.INTEGER,
        "op": Kind.TEXT,
        "batch": Kind.INTEGER,
        "fence": Kind.INTEGER,
        "set_hash": Kind.TEXT,
        "read_hash": Kind.TEXT,
        "written_hash": Kind.TEXT,
    }.items()
}
