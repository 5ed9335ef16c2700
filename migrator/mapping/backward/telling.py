"""What of a set goes back to legacy and what does not, as it is shown before users are cut over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from migrator.mapping.backward.ways import NoWay, Way, Ways
from migrator.mapping.model import Place

ROWS = "(rows)"  # in the place of a column


@dataclass(frozen=True, slots=True)
class Told:
    """
    One line: of a column, or of the rows of a mapping (`column` is ROWS and what is done to them).

    `how`: back · partly · stays. `where`: the legacy columns; `why`: for what it goes back, or why it does not. `owner`:
    whose changes count under `merge`.
    """

    mapping: str
    column: str
    how: str
    where: str
    why: str
    owner: str
    place: Place


def table(ways: Mapping[str, Ways]) -> list[Told]:
    """
    Say of every mapping which columns go back and which rows can be made and removed.

    Returns:
        Per mapping its rows first, then its columns in the order of the document.
    """
    return [line for one in ways.values() for line in (*_rows(one), *_columns(one))]


def _rows(one: Ways) -> list[Told]:
    owner = "target" if one.owned else "legacy"
    return [
        Told(one.mapping, f"{ROWS} {what}", "stays" if no else "back", "" if no else one.source, no.reason if no else "",
             owner, no.place if no else one.place)
        for what, no in (("made", one.inserts), ("removed", one.deletes))
    ]  # fmt: skip


def _columns(one: Ways) -> list[Told]:
    return [_column(one, name, way) for name, way in one.fields.items()]


def _column(one: Ways, name: str, way: Way | NoWay) -> Told:
    owner = "target" if name in one.owned else "legacy"
    no = one.updates if one.updates is not None and isinstance(way, Way) else way
    if isinstance(no, NoWay):
        return Told(one.mapping, name, "stays", "", no.reason, owner, no.place)
    where = ", ".join(dict.fromkeys(f"{spot.table}.{spot.column}" for spot in no.spots))
    return Told(one.mapping, name, "partly" if no.only else "back", where, no.only, owner, one.place)


def summary(lines: list[Told]) -> dict[str, int]:
    """How many columns go back, in whole or in part, and how many do not."""
    columns = [line for line in lines if not line.column.startswith(ROWS)]
    return {how: sum(line.how == how for line in columns) for how in ("back", "partly", "stays")}
