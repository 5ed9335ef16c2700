"""A first mapping set out of two live databases: legacy is looked into, nothing is written there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from migrator.edges.databases.base import Database, Legacy, LegacyReader
from migrator.errors import Refused
from migrator.mapping.proposing import facts
from migrator.mapping.proposing.proposal import Proposal, propose
from migrator.mapping.query import Among, Query, Test
from migrator.mapping.schema import Schema

SCHEMA = "schema.json"
MODELINE = f"# yaml-language-server: $schema=../{SCHEMA}"
ROWS = 2000  # of each legacy table are looked at


class Look:
    """Looks into legacy, each once."""

    def __init__(self, reader: LegacyReader, schema: Schema, rows: int = ROWS) -> None:
        self._reader, self._schema, self._most = reader, schema, rows
        self._rows: dict[str, pl.DataFrame] = {}

    def rows(self, table: str) -> pl.DataFrame:
        """The first rows of a table, all columns."""
        if table not in self._rows:
            columns = tuple(self._schema.tables[table].columns)
            self._rows[table] = self._reader.select(Query(table, columns, limit=self._most))
        return self._rows[table]

    def distinct(self, table: str, column: str) -> pl.Series:
        """The different values of a column, as many as may be a list of words."""
        query = Query(table, (column,), distinct=True, limit=facts.MOST_VALUES + 1)
        return self._reader.select(query)[column]

    def nobody(self, table: str, column: str) -> tuple[bool, bool]:
        """Whether a column is null, and whether it is 0, in some row."""
        null = Query(table, (column,), (Test(column, "null"),), limit=1)
        return self._reader.select(null).height > 0, self.known(table, column, pl.Series(["0"])) > 0

    def known(self, table: str, column: str, keys: pl.Series) -> int:
        """How many of *keys* are in a column."""
        found = self._reader.select(Query(table, (column,), among=Among(column, keys), distinct=True))
        return found.height


def draft(name: str, legacy: Legacy, target: Database) -> Proposal:
    """Look into legacy and propose a set named *name*."""
    schema = legacy.schema().stored
    with legacy.reading() as reader:
        return propose(name, schema, target.schema().stored, Look(reader, schema))


def require_empty(folder: Path) -> None:
    """Refuse a folder that holds mappings: a proposal is never written over what a person wrote."""
    there = sorted(path.name for path in folder.glob("*.y*ml")) if folder.is_dir() else []
    if there:
        raise Refused(f"{folder} holds mappings already ({there[0]}); say another folder with --out")


def write(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """
    Write the files of a proposal into a new or empty folder.

    Raises:
        Refused: there are mappings already.
    """
    require_empty(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in texts]
    # editors complete and check by the schema that travels with the mappings
    modeline = f"{MODELINE}\n" if (folder.parent / SCHEMA).is_file() else ""
    for path in paths:
        path.write_text(modeline + texts[path.name], encoding="utf-8")
    return paths
