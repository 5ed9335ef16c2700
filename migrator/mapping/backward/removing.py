"""Rows that were removed in the new system, as rows that legacy is to lose."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from migrator.mapping import values as columns
from migrator.mapping.backward.cells import Spot
from migrator.mapping.backward.desk import Desk
from migrator.mapping.backward.rows import Update


def remove(desk: Desk, gone: Mapping[str, pl.DataFrame]) -> dict[str, list[Update]]:
    """
    Take the rows *gone* (per mapping `__user`, `__key`) out of the rows of legacy.

    Returns:
        Per legacy table the keys of its rows.
    """
    deletes: dict[str, list[Update]] = {}
    for name, rows in gone.items():
        frame = desk.rows.frame(name).with_row_index("__at")
        hit = frame.join(rows, on=["__user", "__key"], how="semi", maintain_order="left")
        if not hit.height:  # legacy removed them, too
            continue
        way = desk.ways[name]
        where = Spot(way.source, "", way.row_key)
        keys = desk.rows.key_of(name, where, hit["__at"]).with_columns(hit["__user"])
        deletes.setdefault(way.source, []).append(Update(where.by, keys.select("__user", *where.by)))
        desk.rows.drop(name, ~frame["__at"].is_in(hit["__at"].implode()))
    for name in gone:
        _look_for_children(desk, name, deletes.get(desk.ways[name].source, []))
    return deletes


def _look_for_children(desk: Desk, parent: str, gone: list[Update]) -> None:
    """Rows of other mappings that are read by way of a row that goes must go, too."""
    table = desk.ways[parent].source
    for name in desk.rows.sources:
        keys = {where.key for where in desk.rows.spots(name).values() if where.join and where.table == table}
        frame = desk.rows.frame(name)
        for key in keys:
            names = [its for its, _ in key]
            mine = pl.DataFrame([frame["__user"], *(columns.text(frame[ours]).alias(its) for its, ours in key)])
            for one in gone:
                theirs = pl.DataFrame([columns.text(one.rows[its]).alias(its) for its in names])
                left = mine.join(theirs, on=names, how="semi")
                desk.refuse(name, "", left["__user"], f"it hangs on a row of {parent} that was removed")
