"""Which columns and rows of the target can go back to which legacy rows, and why others cannot. Nothing is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from migrator.mapping import uses
from migrator.mapping.backward.cells import Cells, NoWay, Spot, spot
from migrator.mapping.backward.reach import Reach, Way
from migrator.mapping.identities import id_column
from migrator.mapping.model import Join, Mapping, MappingSet, Place
from migrator.mapping.people import EVERYBODY, is_users, of_mapping
from migrator.mapping.schema import Column, Schema, Table

__all__ = ["NoWay", "Spot", "Way", "Ways", "ways"]


@dataclass(frozen=True, slots=True)
class Ways:
    """
    What of one mapping can go back.

    `fields`: every column that the mapping writes. `updates`, `inserts`, `deletes`: None where rows that were changed,
    made or removed in the new system can be so in legacy. `row_key`: the key of the legacy row, as (legacy column,
    COLUMN). `given`: values that the rows of this source must have by its `where`. `numbered`: the legacy column whose
    value the legacy database gives a new row. `target_key`: what tells rows of the target apart.
    """

    mapping: str
    table: str  # of the target
    source: str  # of legacy
    place: Place
    fields: dict[str, Way | NoWay]
    target_key: tuple[str, ...]
    updates: NoWay | None = None
    inserts: NoWay | None = None
    deletes: NoWay | None = None
    row_key: tuple[tuple[str, str], ...] = ()
    given: dict[str, object] = field(default_factory=dict)
    numbered: str | None = None
    owned: frozenset[str] = frozenset()  # columns that the new system owns


def ways(set_: MappingSet, legacy: Schema, target: Schema) -> dict[str, Ways]:
    """Say of every mapping what of it can go back."""
    cells = Cells.of(set_, legacy)
    return {name: _of(set_, mapping, legacy, target, cells) for name, mapping in set_.mappings.items()}


def _of(set_: MappingSet, mapping: Mapping, legacy: Schema, target: Schema, cells: Cells) -> Ways:
    reach = Reach(set_, mapping, legacy, cells)
    table = target.tables.get(str(mapping.target.table))
    fields: dict[str, Way | NoWay] = {str(name): reach.field(name) for name in mapping.fields}
    own = id_column(mapping, table)
    if own is not None:
        fields.setdefault(str(own), NoWay("it tells the rows apart", mapping.target.place))
    for name in table.key if table else ():
        if isinstance(fields.get(name), Way):
            fields[name] = NoWay("it tells the rows apart", mapping.target.place)
    row = _row_key(mapping, legacy)
    rows = _Rows(set_, mapping, legacy, table, reach)
    inserts = rows.inserts()
    return Ways(
        mapping=mapping.name,
        table=str(mapping.target.table),
        source=str(mapping.source.table),
        place=mapping.target.place,
        fields=fields,
        target_key=table.key if table else (),
        updates=_updates(fields, table, mapping),
        inserts=inserts,
        deletes=rows.deletes(),
        row_key=row if isinstance(row, tuple) else (),
        given=rows.given() if inserts is None else {},
        numbered=rows.numbered() if inserts is None else None,
        owned=frozenset(str(name) for name, rule in mapping.fields.items() if rule.owner == "target"),
    )


def _updates(fields: dict[str, Way | NoWay], table: Table | None, mapping: Mapping) -> NoWay | None:
    if table is None or not table.key:
        return NoWay(f"nothing tells the rows of {mapping.target.table} apart", mapping.target.place)
    if not any(isinstance(way, Way) for way in fields.values()):
        return NoWay("none of its columns can go back", mapping.target.place)
    return None


def _row_key(mapping: Mapping, legacy: Schema) -> tuple[tuple[str, str], ...] | str:
    table = legacy.tables.get(str(mapping.source.table))
    for name in table.columns if table else ():
        found = spot(mapping, name, legacy)
        if isinstance(found, Spot) or "computes" not in found:
            return found.key if isinstance(found, Spot) else found
    return f"{mapping.source.table} is not in legacy"


@dataclass(frozen=True, slots=True)
class _Rows:
    """Whether rows can be made or removed in legacy."""

    whole: MappingSet
    mapping: Mapping
    legacy: Schema
    target: Table | None
    reach: Reach

    @property
    def table(self) -> Table | None:
        """The legacy table of the rows."""
        return self.legacy.tables.get(str(self.mapping.source.table))

    def deletes(self) -> NoWay | None:
        """Why a row that is gone in the new system cannot be removed in legacy."""
        return self._no(self._plain() or self._read_elsewhere(deleting=True) or self._pointed_at())

    def inserts(self) -> NoWay | None:
        """Why a row that was made in the new system cannot be made in legacy."""
        return self._no(self._plain() or self._read_elsewhere(deleting=False) or self._reached())

    def _no(self, why: str | None) -> NoWay | None:
        return NoWay(why, self.mapping.source.place) if why else None

    def _plain(self) -> str | None:
        source, who = self.mapping.source, self.whole.set.users
        if self.target is None or not self.target.key:
            return f"nothing tells the rows of {self.mapping.target.table} apart"
        if source.table == EVERYBODY or self.table is None:
            return "it is made of users, and not of rows of a legacy table"
        if self.mapping.merge or self.mapping.when_merged:
            return "rows of several sources may have become one"
        found = _row_key(self.mapping, self.legacy)
        if isinstance(found, str):
            return found
        beside = next((join for join in source.joins.values() if not self._is_parent(join)), None)
        if beside is not None:
            return f"rows of {', '.join(beside.tables)} belong to it"
        people = {str(who.table), *(str(also.who.table) for also in self.whole.set.also.values())}
        return "its rows are the people themselves" if str(source.table) in people else None

    def _is_parent(self, join: Join) -> bool:
        """Whether one row is joined, by its key: it is there before ours, and stays after it."""
        names = uses.of_join(uses.columns(self.mapping, self.legacy), join.name)
        return not names or isinstance(spot(self.mapping, f"{join.name}.{names[0]}", self.legacy), Spot)

    def _pointed_at(self) -> str | None:
        """Rows that no mapping knows would hang in the air, or go with it."""
        mine = str(self.mapping.source.table)
        known = {str(other.source.table) for other in self.whole.mappings.values()}
        for table in self.legacy.tables.values():
            if table.name not in known and any(key.table == mine for key in table.foreign_keys):
                return f"rows of {table.name}, which no mapping reads, point at rows of {mine}"
        return None

    def _read_elsewhere(self, *, deleting: bool) -> str | None:
        mine = str(self.mapping.source.table)
        for other in self.whole.mappings.values():
            if other is self.mapping:
                continue
            if str(other.source.table) == mine:
                return f"mapping {other.name} makes rows of the same rows of {mine}"
            if not deleting and other.target.table == self.mapping.target.table:
                return (
                    f"mapping {other.name} makes rows of {other.target.table}, too: nobody can tell whose a new one is"
                )
        return self._joined_elsewhere(mine)

    def _joined_elsewhere(self, mine: str) -> str | None:
        """One that counts rows of the table beside its own cannot be followed; one that has them as its parents can."""
        for other in self.whole.mappings.values():
            for join in other.source.joins.values():
                if mine not in map(str, join.tables):
                    continue
                names = uses.of_join(uses.columns(other, self.legacy), join.name)
                if not names or not isinstance(spot(other, f"{join.name}.{names[0]}", self.legacy), Spot):
                    return f"mapping {other.name} reads rows of {mine} beside its own"
        return None

    def _reached(self) -> str | None:
        """All that a new row of legacy must have comes from somewhere."""
        assert self.table is not None  # _plain has looked
        if not is_users(self.whole.set, of_mapping(self.whole.set, self.mapping)):
            return "its user is known by another key than the one the new system has"
        given = {*self._columns(), *self.given(), *filter(None, [self.numbered()])}
        left = [column.name for column in self.table.columns.values() if _must(column) and column.name not in given]
        if left:
            return f"nothing says what goes into {', '.join(f'{self.table.name}.{name}' for name in left)}"
        lost = [name for name in self.table.key if name not in given]
        return f"nothing says what goes into {self.table.name}.{lost[0]}" if lost else None

    def _columns(self) -> set[str]:
        """The columns of the legacy table that a row of the target says."""
        new = Reach(self.whole, self.mapping, self.legacy, self.reach.cells, new=True)
        found = {spot.column for name in self.mapping.fields for spot in _spots(new.field(name))}
        user = self.mapping.source.user
        if len(user) == 1 and "." not in user[0]:
            found.add(str(user[0]))
        id_ = self.mapping.target.id
        if id_.how in ("keep", "lookup"):
            found |= {spot.column for column in id_.columns for spot in _spots(new.column(column, self.mapping.place))}
        return found

    def given(self) -> dict[str, object]:
        """What `where` says of all rows of this source."""
        tests = [test for test in self.mapping.source.where.tests if test.op == "in" and len(test.value) == 1]
        return {str(test.column): test.value[0] for test in tests if "." not in test.column}

    def numbered(self) -> str | None:
        """The one key column that nobody says, and that legacy numbers itself."""
        table = self.table
        if table is None or len(table.key) != 1 or table.key[0] in {*self._columns(), *self.given()}:
            return None
        return table.key[0] if table.columns[table.key[0]].has_default else None


def _must(column: Column) -> bool:
    return not column.nullable and not column.has_default and not column.generated


def _spots(way: Way | NoWay) -> Iterator[Spot]:
    if isinstance(way, Way):
        yield from way.spots
