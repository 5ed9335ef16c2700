"""Which value of which legacy row a COLUMN of a mapping is, and by what that row is found again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from migrator.mapping import uses
from migrator.mapping.model import Join, Mapping, MappingSet, Place, Predicate
from migrator.mapping.people import EVERYBODY
from migrator.mapping.schema import Schema, Table


@dataclass(frozen=True, slots=True)
class NoWay:
    """Why something cannot go back to legacy, in a sentence, and where that is said."""

    reason: str
    place: Place


@dataclass(frozen=True, slots=True)
class Spot:
    """
    A column of a legacy table; `key` says by which COLUMNs of the mapping's rows its row is found: (legacy column, COLUMN).

    `join` is where the row is joined, and then it need not be there.
    """

    table: str
    column: str
    key: tuple[tuple[str, str], ...]
    join: str = ""

    @property
    def by(self) -> tuple[str, ...]:
        """The legacy columns that find the row."""
        return tuple(theirs for theirs, _ in self.key)


def spot(mapping: Mapping, column: str, legacy: Schema) -> Spot | str:
    """Where the COLUMN *column* stands in legacy; or why it is no value of one row."""
    source = mapping.source
    if column.startswith("$plan."):
        return "the plan says it, not legacy"
    if source.table == EVERYBODY:
        return "it is made of users, and not of rows of a legacy table"
    if "." in column:
        name, _, its = column.partition(".")
        join = source.joins.get(name)
        return _unknown(column) if join is None else _joined(join, its, legacy, mapping)
    why = _shaped(mapping)
    if why:
        return why
    return _of_table(legacy.tables.get(str(source.table)), column, _own_key(mapping, legacy))


def _of_table(table: Table | None, column: str, key: tuple[tuple[str, str], ...] | None, join: str = "") -> Spot | str:
    if table is None or column not in table.columns:
        return _unknown(column)
    if table.view:
        return f"{table.name} is a view"
    if table.columns[column].generated:
        return f"legacy computes {table.name}.{column} itself"
    if key is None:
        return f"nothing that the mapping reads tells the rows of {table.name} apart"
    return Spot(table.name, str(column), key, join)


def _unknown(column: str) -> str:
    return f'legacy has no column "{column}"'


def _shaped(mapping: Mapping) -> str:
    source = mapping.source
    if source.group:
        return f"several rows of {source.table} became one"
    if source.unnest:
        return f"one row of {source.table} became several"
    return f"names and values stand in rows of {source.table}" if source.pivot else ""


def _own_key(mapping: Mapping, legacy: Schema) -> tuple[tuple[str, str], ...] | None:
    """A unique key of the source table, all of whose columns are read."""
    table = legacy.tables[str(mapping.source.table)]
    read = {name for name in uses.columns(mapping, legacy) if "." not in name}
    found = next((key for key in (table.key, *table.uniques) if key and set(key) <= read), None)
    return tuple((name, name) for name in found) if found else None


def _joined(join: Join, column: str, legacy: Schema, mapping: Mapping) -> Spot | str:
    if join.many:
        return f"several rows of {join.tables[0]} stand beside each row"
    if join.pivot:
        return f"names and values stand in rows of {', '.join(join.tables)}"
    if len(join.tables) > 1:
        return f"it stands in one of several tables: {', '.join(join.tables)}"
    if join.user is not None:
        return f"the row of {join.tables[0]} is found by its user, not by a key"
    if _shaped(mapping):
        return _shaped(mapping)
    table = legacy.tables.get(str(join.tables[0]))
    ours = {str(theirs): str(mine) for theirs, mine in join.match}
    keys = (table.key, *table.uniques) if table else ()
    found = next((key for key in keys if key and set(key) <= ours.keys()), None)
    return _of_table(table, column, tuple((name, ours[name]) for name in found) if found else None, join.name)


@dataclass(frozen=True, slots=True)
class Cells:
    """
    All values of legacy that a set reads, by (table, column).

    `shaping`: those by which rows are found, told apart or left out, with what they do; `blind`: those that are read
    where a change could not be followed, and `shared`: those that rows of several users may show, with the mapping.
    """

    shaping: dict[tuple[str, str], str]
    blind: dict[tuple[str, str], str]
    shared: dict[tuple[str, str], str]
    keys: dict[tuple[str, str], set[tuple[str, ...]]]

    @classmethod
    def of(cls, set_: MappingSet, legacy: Schema) -> Cells:
        """Look through all mappings."""
        cells = cls({}, {}, {}, {})
        owners: dict[str, str] = {}
        for at, what in _shaping(set_):
            cells.shaping.setdefault(at, what)
        for mapping in set_.mappings.values():
            for column in uses.columns(mapping, legacy):
                found = spot(mapping, column, legacy)
                if isinstance(found, Spot):
                    if not _is_of_one_user(mapping, found, legacy, owners):
                        cells.shared[found.table, found.column] = mapping.name
                    cells.keys.setdefault((found.table, found.column), set()).add(tuple(sorted(found.by)))
                else:
                    cells.blind.update((at, mapping.name) for at in _tables(mapping, column))
        return cells

    def denied(self, mapping: Mapping, where: Spot) -> str | None:
        """Why the value may not be changed though it could be."""
        at = (where.table, where.column)
        if at in self.shaping:
            return f"{where.table}.{where.column} {self.shaping[at]}"
        if at in self.blind:
            return (
                f"mapping {self.blind[at]} reads {where.table}.{where.column}, too, where a change cannot be followed"
            )
        if at in self.shared:
            return f"mapping {self.shared[at]} reads {where.table}.{where.column} for rows that may be of several users"
        if len(self.keys.get(at, ())) > 1:
            return f"{where.table}.{where.column} is read by several keys"
        return None


def _is_of_one_user(mapping: Mapping, where: Spot, legacy: Schema, owners: dict[str, str]) -> bool:
    """
    Whether a row that is read is that of the user alone for whom it is read.

    Args:
        owners: per table the column that says whose its rows are; two mappings may take two columns for it.
    """
    source = mapping.source
    if not where.join:
        return len(source.user) == 1 and owners.setdefault(where.table, str(source.user[0])) == source.user[0]
    join, user = source.joins[where.join], str(source.user[0])
    if len(source.user) == 1 and user.startswith(f"{join.name}."):
        mine = user.partition(".")[2]
        return owners.setdefault(where.table, mine) == mine
    ours, table = {str(mine) for _, mine in join.match}, legacy.tables.get(str(source.table))
    alone = any(key and set(key) <= ours for key in (table.key, *table.uniques)) if table else False
    return alone or set(source.user) <= ours


def _tables(mapping: Mapping, column: str) -> Iterator[tuple[str, str]]:
    """The columns of tables that a COLUMN may stand for; of a pivot all its values."""
    source = mapping.source
    name, dot, its = column.rpartition(".")
    join = source.joins.get(name) if dot else None
    pivot = join.pivot if join else source.pivot if not dot else None
    tables = join.tables if join else (source.table,) if not dot else ()
    for table in tables:
        yield str(table), str(pivot.values) if pivot else str(its)


def _shaping(set_: MappingSet) -> Iterator[tuple[tuple[str, str], str]]:
    """Every column on which it depends which rows are read, and whose they are."""
    people = [set_.set.users, *(also.who for also in set_.set.also.values())]
    for who in people:
        yield (str(who.table), str(who.key)), "is the key of users"
        yield from _tests(str(who.table), who.where, "says who is a user")
        for join in who.joins.values():
            yield from _of_join(str(who.table), who.joins, join)
    for also in set_.set.also.values():
        for way in also.same:
            table = str(way.table or also.who.table)
            yield from (((table, str(column)), "says who is a user") for column in (way.column, way.record) if column)
    for mapping in set_.mappings.values():
        yield from _of_source(mapping)


def _of_source(mapping: Mapping) -> Iterator[tuple[tuple[str, str], str]]:
    source = mapping.source
    table = str(source.table)
    named = {column: "is the key of a row" for column in source.key}
    named |= {column: "says whose the row is" for column in source.user}
    if source.group:
        named |= {name: "says which rows are one" for name in (source.group.by, source.group.order) if name}
    if source.unnest:
        named[source.unnest.column] = "says which rows there are"
    for column, what in named.items():
        yield from ((at, what) for at in _at(table, source.joins, str(column)))
    if source.pivot:
        named_by = (source.pivot.by, source.pivot.names.column, *(source.pivot.duplicates or ())[1:])
        yield from (((table, str(name)), "says what the value is") for name in named_by if name)
    for test in uses.predicate(source.where):
        yield from ((at, "says which rows are read") for at in _at(table, source.joins, str(test)))
    for join in source.joins.values():
        yield from _of_join(table, source.joins, join)


def _of_join(source: str, joins: dict[str, Join], join: Join) -> Iterator[tuple[tuple[str, str], str]]:
    for theirs, ours in join.match:
        yield from (((str(table), str(theirs)), "joins rows") for table in join.tables)
        yield from ((at, "joins rows") for at in _at(source, joins, str(ours)))
    names = [join.user, join.order, *(join.keep or ())[1:]]
    if join.pivot:
        names += [join.pivot.names.column, *(join.pivot.duplicates or ())[1:]]
    for table in join.tables:
        yield from (((str(table), str(name)), "says which rows are joined") for name in names if name)
        yield from _tests(str(table), join.where, "says which rows are joined")


def _at(source: str, joins: dict[str, Join], column: str) -> Iterator[tuple[str, str]]:
    name, dot, its = column.partition(".")
    if not dot:
        yield source, column
    elif name in joins:
        yield from ((str(table), its) for table in joins[name].tables)


def _tests(table: str, where: Predicate, what: str) -> Iterator[tuple[tuple[str, str], str]]:
    yield from (((table, str(column)), what) for column in uses.predicate(where))
