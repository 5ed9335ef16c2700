"""Which legacy columns a mapping (or set.yaml) uses, each with its table and the place that says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from migrator.mapping import walk
from migrator.mapping.lint.ground import Ground, place_of
from migrator.mapping.model import (
    Choose,
    Collect,
    From,
    Join,
    Lookup,
    Number,
    Pivot,
    Place,
    Predicate,
    Reference,
    Rule,
    Source,
    Users,
    UserSet,
)
from migrator.mapping.model import Mapping as Document
from migrator.mapping.schema import Column, Table


class Sort(Enum):
    """What a COLUMN turned out to be."""

    COLUMN = "a column of a table"
    MANY = "a column of a join with many rows"
    NAME = "a name that stands in rows (pivot)"
    MADE = "a column that unnest makes"
    VALUE = "$name: a field or variable"
    PLAN = "$plan.x"
    STRANGER = "NAME.column without a join of that name"


@dataclass(frozen=True, slots=True)
class Use:
    """One COLUMN as written, and what it is."""

    written: str
    sort: Sort
    place: Place
    tables: tuple[str, ...] = ()
    column: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that a source offers: its table's, its joins', its pivot's, those that unnest makes."""

    table: str
    place: Place
    joins: Mapping[str, Join] = field(default_factory=dict)
    pivot: Pivot | None = None
    made: frozenset[str] = frozenset()

    def use(self, written: str, collect: Collect | None = None) -> Use:
        """Say what *written* is, inside the items of *collect* or outside."""
        place = place_of(written, self.place)
        if written.startswith("$"):
            return Use(written, Sort.PLAN if written.startswith("$plan.") else Sort.VALUE, place)
        if collect is not None and collect.of is not None:
            join = self.joins.get(collect.of)
            return Use(written, Sort.COLUMN, place, join.tables, written) if join else Use(written, Sort.NAME, place)
        return self._of_join(written, place) if "." in written else self._of_table(written, place)

    def _of_join(self, written: str, place: Place) -> Use:
        name, column = written.split(".", 1)
        join = self.joins.get(name)
        if join is None:
            return Use(written, Sort.STRANGER, place, (), name)
        sort = Sort.NAME if join.pivot else Sort.MANY if join.many else Sort.COLUMN
        return Use(written, sort, place, join.tables, column)

    def _of_table(self, written: str, place: Place) -> Use:
        if written in self.made:
            return Use(written, Sort.MADE, place)
        if self.pivot is not None and written != self.pivot.by:
            return Use(written, Sort.NAME, place, (self.table,), written)
        return Use(written, Sort.COLUMN, place, (self.table,), written)


def scope(source: Source) -> Scope:
    """The names that *source* offers to rules."""
    unnest = source.unnest
    made = {name for name in (unnest.as_, unnest.key, unnest.position) if name} if unnest else set()
    return Scope(source.table, place_of(source.table, source.place), source.joins, source.pivot, frozenset(made))


def of_mapping(mapping: Document) -> Iterator[Use]:
    """Every COLUMN that *mapping* uses, wherever it does."""
    names = scope(mapping.source)
    yield from _of_source(mapping.source, names)
    yield from _of_joins(mapping.source.joins, names)
    if mapping.target.id.how != "fields":
        yield from map(names.use, mapping.target.id.columns)
    for spot in walk.spots(mapping):
        yield from of_rule(spot.rule, names, spot.collect)
    yield from map(names.use, mapping.sums.values())
    for rule in mapping.clean:
        kept = rule.keep[1:] if rule.duplicates else ()
        yield from map(names.use, (*_tested(rule.when), *rule.duplicates, *kept))
    if mapping.merge is not None:
        merge = mapping.merge
        yield from map(names.use, (*merge.match, *filter(None, merge.keep[1:]), *merge.review_if_different))


def of_columns(ground: Ground) -> Iterator[tuple[Document, Table, Scope, Rule, Column]]:
    """Every field of every mapping with the column that it fills, where the target has one that may be set."""
    for mapping in ground.set.mappings.values():
        table = ground.written(mapping)
        if table is None:
            continue
        names = scope(mapping.source)
        for name, rule in mapping.fields.items():
            column = table.columns.get(name)
            if column is not None and not column.generated:
                yield mapping, table, names, rule, column


def of_rule(rule: Rule, names: Scope, collect: Collect | None = None) -> Iterator[Use]:
    """Every COLUMN that *rule* itself names, without those of the rules within it."""
    source = rule.source
    if isinstance(source, From):
        columns: Iterable[str] = source.columns
    elif isinstance(source, Lookup):
        columns = source.by
    elif isinstance(source, Reference):
        columns = [column for _, column in source.match]
    elif isinstance(source, Number):
        columns = (*source.within, *source.order)
    elif isinstance(source, Choose):
        columns = [column for branch in source.branches if branch.when for column in _tested(branch.when)]
    else:
        columns = ()
    for column in columns:
        yield names.use(column, collect)


def of_set(users: UserSet) -> Iterator[Use]:
    """Every COLUMN that set.yaml uses."""
    yield from _of_people(users.users, ())
    for also in users.also.values():
        yield from _of_people(also.who, [way.column for way in also.same if way.how == "id"])
        for way in also.same:
            if way.how == "link":
                linked = Scope(way.table, place_of(way.table, way.place))
                yield from map(linked.use, (way.record, way.column))
    for sign in (*users.activity, *users.paid):
        names = Scope(sign.table, place_of(sign.table, sign.place), sign.joins)
        yield from map(names.use, filter(None, (sign.user, sign.at, sign.amount, sign.currency, *_tested(sign.where))))
        yield from _of_joins(sign.joins, names)


def _of_people(who: Users, more: Iterable[str]) -> Iterator[Use]:
    names = Scope(who.table, place_of(who.table, who.place), who.joins)
    tested = (*_tested(who.where), *_tested(who.verified or Predicate()))
    yield from map(names.use, filter(None, (who.key, who.email, who.name, who.locale, *tested, *more)))
    yield from _of_joins(who.joins, names)


def _of_source(source: Source, names: Scope) -> Iterator[Use]:
    yield from map(names.use, (*source.key, *source.user, *_tested(source.where)))
    raw = Scope(source.table, names.place)
    if source.group is not None:
        yield from map(raw.use, filter(None, (source.group.by, source.group.order, source.group.item_key)))
    if source.unnest is not None:
        yield raw.use(source.unnest.column)
    if source.pivot is not None:
        yield from map(raw.use, filter(None, (source.pivot.by,)))
        yield from _of_pivot(source.pivot, (source.table,), names.place)


def _of_joins(joins: Mapping[str, Join], names: Scope) -> Iterator[Use]:
    for join in joins.values():
        for its, column in join.match:
            yield Use(its, Sort.COLUMN, place_of(its, join.place), join.tables, its)
            yield names.use(column)
        own = [*_tested(join.where), join.user, join.order, join.item_key, *(join.keep or ())[1:]]
        for column in filter(None, own):
            yield Use(column, Sort.COLUMN, place_of(column, join.place), join.tables, column)
        if join.pivot is not None:
            yield from _of_pivot(join.pivot, join.tables, join.place)


def _of_pivot(pivot: Pivot, tables: tuple[str, ...], place: Place) -> Iterator[Use]:
    for column in (pivot.names.column, pivot.values, *(pivot.duplicates or ())[1:]):
        yield Use(column, Sort.COLUMN, place_of(column, place), tables, column)
    table = pivot.names.table
    if table is not None:
        for column in filter(None, (pivot.names.match, pivot.names.take, *_tested(pivot.names.where))):
            yield Use(column, Sort.COLUMN, place_of(column, place), (table,), column)


def _tested(predicate: Predicate) -> Iterator[str]:
    for test in predicate.tests:
        yield test.column
        if test.op == "same_as":
            yield test.value
    for one in predicate.any:
        yield from _tested(one)
