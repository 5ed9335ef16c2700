"""Values that changed in the new system, taken back into the rows of legacy that they came from."""

from __future__ import annotations

import polars as pl

from migrator.mapping import compare
from migrator.mapping.backward.cells import NoWay, Spot
from migrator.mapping.backward.desk import Desk
from migrator.mapping.backward.differing import values
from migrator.mapping.model import Rule
from migrator.mapping.values import Values


def as_legacy_says(desk: Desk, name: str, column: str, rows: pl.DataFrame) -> pl.DataFrame:
    """
    Put beside each changed value (`was`, `now`) what legacy gives today (`base`), and where its row stands (`__at`).

    Left out, and refused: values whose row is gone from legacy, and those that legacy changed, too.
    """
    draft, table = desk.drafts[name].frame, desk.written(name)
    if column not in draft.columns:
        desk.refuse(name, column, rows["__user"], "no mapping writes it")
        return rows.clear()
    base = compare.canonical(draft.select("__user", "__key", column), table).rename({column: "base"})
    told = rows.join(base.with_row_index("__at"), on=["__user", "__key"], how="left", maintain_order="left")
    there = told["__at"].is_not_null()
    desk.refuse(name, column, told.filter(~there)["__user"], "its row is no longer in legacy")
    told = told.filter(there)
    known = table.columns[column]
    done = ~compare.unlike(told["base"], told["now"], known)
    stale = compare.unlike(told["base"], told["was"], known) & ~done
    desk.refuse(name, column, told.filter(stale)["__user"], "legacy changed the same value meanwhile")
    return told.filter(~stale)


def take_back(desk: Desk, name: str, column: str, rows: pl.DataFrame) -> None:
    """Write what *rows* (of `as_legacy_says`) want into the rows of legacy, or refuse their users."""
    way = desk.ways[name].fields.get(column)
    if way is None or isinstance(way, NoWay):
        desk.refuse(name, column, rows["__user"], way.reason if way else "no mapping writes it")
        return
    rule = desk.set.mappings[name].fields[column]
    known = desk.written(name).columns[column]
    rows = rows.filter(compare.unlike(rows["base"], rows["now"], known))  # legacy says some of it already
    wanted = values(rows["now"], known)
    asked = desk.putter(name, desk.rows.frame(name)[rows["__at"]]).put(rule, column, wanted)
    desk.refuse(name, column, rows["__user"], asked.refused)
    for source, (made, here) in asked.columns.items():
        where = desk.rows.spots(name).get(source)
        why = _denied(desk, name, source, where)
        if where is None or why:
            desk.refuse(name, column, rows.filter(here)["__user"], why)
        else:
            _write(desk, name, column, rule, rows, where, made, here & asked.refused.is_null())


def _denied(desk: Desk, name: str, source: str, where: Spot | None) -> str:
    if where is None:
        return f"{source} is no value of one row of legacy"
    return desk.rows.cells.denied(desk.set.mappings[name], where) or ""


def _write(
    desk: Desk, name: str, column: str, rule: Rule, rows: pl.DataFrame, where: Spot, made: Values, here: pl.Series
) -> None:
    at, users = rows["__at"].filter(here), rows["__user"].filter(here)
    typed, why = desk.fitted(name, rule, where, Values(made.values.filter(here), made.kind, constant=made.constant))
    desk.refuse(name, column, users, why)
    there = desk.rows.there(name, where, at)
    desk.refuse(name, column, users.filter(~there), f"legacy has no row of {where.table} for it")
    good = there & why.is_null()
    if good.any():
        desk.rows.write(where, desk.rows.key_of(name, where, at).filter(good), users.filter(good), typed.filter(good))
