"""Who points at rows that are about to be removed: asked before the foreign key refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

import polars as pl

from migrator.edges.databases.frames import text
from migrator.mapping.schema import ForeignKey, Schema, Table


class Rows(Protocol):
    """The one question asked of the database."""

    def rows(self, table: str, keys: pl.DataFrame) -> pl.DataFrame:
        """All columns of the rows of *table* whose columns equal those of a row of *keys*."""


def referencing(
    reader: Rows, schema: Schema, table: str, keys: pl.DataFrame, ours: Mapping[str, pl.DataFrame]
) -> pl.DataFrame:
    """
    Find rows of *table* among *keys* that a row points at which is not ours.

    Args: ours: per table the key columns of the rows that go as well.
    Returns: `table` (who points) and the columns of *keys* as text; one line per row pointed at and table.
    """
    wanted = {"table": pl.String()} | dict.fromkeys(keys.columns, pl.String())
    found = pl.DataFrame(schema=wanted)
    if keys.is_empty() or _nobody_points(reader, schema, table, keys, ours):
        return found
    pointed = reader.rows(table, keys) if any(_pointing(schema, table)) else None
    if pointed is None or pointed.is_empty():
        return found
    for pointer, foreign_key in _pointing(schema, table):
        hit = _pointed_at(reader, pointer, foreign_key, pointed, ours.get(pointer.name))
        lines = as_text(hit.select(keys.columns)).select(pl.lit(pointer.name).alias("table"), pl.all())
        found = pl.concat([found, lines])
    return found.unique(maintain_order=True)


def _nobody_points(
    reader: Rows, schema: Schema, table: str, keys: pl.DataFrame, ours: Mapping[str, pl.DataFrame]
) -> bool:
    """Whether that is plain from the keys alone: the rows themselves need not be read."""
    for pointer, foreign_key in _pointing(schema, table):
        if not set(foreign_key.references) <= set(keys.columns):
            return False
        if _strangers(reader, pointer, foreign_key, keys, ours.get(pointer.name)).height:
            return False
    return True


def _pointing(schema: Schema, table: str) -> Iterator[tuple[Table, ForeignKey]]:
    for pointer in schema.tables.values():
        for foreign_key in pointer.foreign_keys:
            if foreign_key.table == table:
                yield pointer, foreign_key


def _pointed_at(
    reader: Rows, pointer: Table, foreign_key: ForeignKey, pointed: pl.DataFrame, ours: pl.DataFrame | None
) -> pl.DataFrame:
    """Keep of *pointed* what a row of *pointer* that is not in *ours* points at."""
    strangers = _strangers(reader, pointer, foreign_key, pointed, ours)
    marks = as_text(pointed.select(foreign_key.references)).with_row_index("position")
    hit = marks.join(strangers, left_on=foreign_key.references, right_on=foreign_key.columns, how="semi")
    return pointed[hit["position"].to_list()]


def _strangers(
    reader: Rows, pointer: Table, foreign_key: ForeignKey, pointed: pl.DataFrame, ours: pl.DataFrame | None
) -> pl.DataFrame:
    """Rows of *pointer* that point at one of *pointed* and are not in *ours*, as text."""
    names = dict(zip(foreign_key.references, foreign_key.columns, strict=True))
    targets = pointed.select(pl.col(theirs).alias(mine) for theirs, mine in names.items()).drop_nulls()
    found = as_text(reader.rows(pointer.name, targets))
    return found if ours is None else found.join(as_text(ours), on=ours.columns, how="anti")


def as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Print every column as the text by which rows are matched."""
    return frame.select(text(column) for column in frame.get_columns())
