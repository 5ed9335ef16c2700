"""Other legacy tables beside the source rows: one row, one of several, all of them, or names and values in rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from migrator.mapping import faults, ids, pivots, predicates, uses
from migrator.mapping import values as columns
from migrator.mapping.model import Join, Predicate, Source
from migrator.mapping.outcome import Context
from migrator.mapping.people import People, database, named
from migrator.mapping.query import Among, Query, Via
from migrator.mapping.schema import Kind, Schema, Table
from migrator.mapping.values import Values

Fetch = Callable[[Query], pl.DataFrame]
Count = Callable[[Query], int]
#: In joined rows: whose each is, where they are joined by user.
_OWNER = "__owner"


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """How legacy tables are read: the same for a source and for all its joins."""

    legacy: Schema
    fetch: Fetch
    null_if: tuple[Any, ...]
    context: Context | None
    read_names: Collection[str] = ()
    count: Count | None = None
    people: People | None = None  # only a join by user needs them

    def rows(self, name: str, wanted: Collection[str], where: Predicate, among: Among | None) -> pl.DataFrame:
        """Read *wanted* columns of the rows for which *where* holds; `null_if` comes first."""
        table = self.legacy.tables[name]
        needed = [column for column in dict.fromkeys([*wanted, *uses.predicate(where)]) if column in table.columns]
        tests = predicates.pushed(where, table, self.null_if, self.context)
        frame = self.nulled(self.fetch(Query(name, tuple(str(column) for column in needed), tests, among)))
        return self.where(where, frame)

    def joined(
        self, name: str, join: Join, wanted: Collection[str], where: Predicate, among: Among | None
    ) -> pl.DataFrame:
        """Read rows of one table of *join*; where it goes by user, say whose each is."""
        if join.user is None or self.people is None:
            return self.rows(name, wanted, where, among)
        rows = self.rows(name, [str(join.user), *wanted], where, among)
        whose = named(self.people.users, name, join.user_of)
        owners = self.people.users_of(whose, columns.text(rows[str(join.user)]))
        return rows.with_columns(owners.alias(_OWNER))

    def nulled(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Make null of every value that `null_if` names."""
        if not self.null_if:
            return frame
        meant = [text for text in map(columns.literal_text, self.null_if) if text is not None]
        return frame.with_columns(nulled(series, meant) for series in frame.get_columns())

    def where(self, where: Predicate, frame: pl.DataFrame) -> pl.DataFrame:
        """Leave the rows of *frame* for which a condition holds."""
        return frame.filter(self.mask(where, frame)) if where.tests or where.any else frame

    def mask(self, where: Predicate, frame: pl.DataFrame) -> pl.Series:
        """Say for which rows of *frame* a condition holds."""
        return predicates.mask(where, OfFrame(frame), self.context, self.read_names)


@dataclass(frozen=True, slots=True, eq=False)
class OfFrame:
    """A frame, as conditions look at it."""

    frame: pl.DataFrame

    @property
    def height(self) -> int:
        """How many rows there are."""
        return self.frame.height

    def column(self, name: str) -> Values:
        """Say the values of a COLUMN."""
        return columns.of(self.frame.get_column(str(name)))


def nulled(series: pl.Series, meant: Sequence[str]) -> pl.Series:
    """Make null of every value that is one of the texts *meant*."""
    if series.dtype in (pl.String, pl.Null):
        hit = series.cast(pl.String).is_in(meant)
    elif series.dtype == pl.Binary:
        hit = series.is_in([text.encode() for text in meant])
    else:
        numbers = columns.parse_numbers(pl.Series(meant, dtype=pl.String)).drop_nulls()
        if not len(numbers) or not series.dtype.is_numeric():
            return series
        hit = columns.text(series).is_in(meant)
    return columns.blank(series, columns.is_true(hit)) if hit.any() else series


def promised(source: Source, column: str, legacy: Schema) -> Via | None:
    """
    A COLUMN of *source* behind one join, to whose table a SELECT may be joined: it has one row or none for each.

    None where the join may have several, is conditional, or `null_if` could make null what is compared.
    """
    name, _, theirs = column.partition(".")
    join = source.joins.get(name)
    if join is None or not _is_plain(join, source, legacy):
        return None
    ours, other = legacy.tables[str(source.table)], legacy.tables[str(join.tables[0])]
    compared = [(other.columns[there].kind, ours.columns[here].kind) for there, here in join.match]
    if source.null_if and any(kinds != (Kind.INTEGER, Kind.INTEGER) for kinds in compared):
        return None
    if len(columns.parse_numbers(_meant(source.null_if)).drop_nulls()):
        return None
    pairs_ = tuple((str(there), str(here)) for there, here in join.match)
    return Via(other.name, pairs_, ((theirs, column),))


def _is_plain(join: Join, source: Source, legacy: Schema) -> bool:
    if join.keep or join.many or join.pivot or len(join.tables) > 1 or any("." in ours for _, ours in join.match):
        return False
    if join.user is not None or database(join.tables[0]) != database(source.table):
        return False
    return is_single(join, legacy)


def is_single(join: Join, legacy: Schema) -> bool:
    """Whether the table of *join* itself promises one row."""
    table = legacy.tables[str(join.tables[0])]
    matched_ = {theirs for theirs, _ in join.match}
    promised_ = any(set(key) <= matched_ for key in (table.key, *table.uniques) if key)
    return promised_ and not join.where.tests and not join.where.any


def _meant(null_if: Sequence[Any]) -> pl.Series:
    texts = [text for text in map(columns.literal_text, null_if) if text is not None]
    return pl.Series(texts, dtype=pl.String)


def attach(
    frame: pl.DataFrame, join: Join, wanted: Sequence[str], reading: Reading, *, everything: bool = False
) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """
    Put the columns of *join* beside the rows of *frame* (`__row` numbers them); no row is made or dropped.

    Args:
        wanted: Columns, or pivoted names, of the join.
        everything: Read the whole table, because *frame* holds (nearly) all rows that could match.

    Returns:
        The frame with `join.column` columns (a `many` join: one list column), and faults of rules `join` and `pivot`.
    """
    if not wanted:
        return frame, []
    if join.pivot:
        return pivots.attach(frame, join, wanted, reading, None if everything else among(frame, join, reading))
    table = reading.legacy.tables[join.tables[0]]
    rows = _joined_rows(frame, join, wanted, reading, table, everything=everything)
    left, right = matched(frame, rows, join)
    rows = rows.with_columns(right.alias("__match")).drop_nulls("__match")
    if join.many:
        return _many(frame, left, rows, join, wanted), []
    found = []
    if not join.keep:
        twice = rows.filter(pl.col("__match").is_duplicated())["__match"].unique()
        hit = frame.filter(columns.is_true(left.is_in(twice.implode())))
        found = faults.of(
            hit, join.name, "join", left.filter(columns.is_true(left.is_in(twice.implode()))), "it has several rows"
        )
    single = rows.unique("__match", keep="first", maintain_order=True)
    named = single.select("__match", *(pl.col(name).alias(f"{join.name}.{name}") for name in wanted))
    return _beside(frame, left, named), found


def _joined_rows(
    frame: pl.DataFrame, join: Join, wanted: Sequence[str], reading: Reading, table: Table, *, everything: bool
) -> pl.DataFrame:
    order = join.keep[1] if join.keep else join.order
    needed = [*(theirs for theirs, _ in join.match), *wanted, *table.key, *([order] if order else [])]
    parts = [
        reading.joined(name, join, needed, join.where, None if everything else among(frame, join, reading))
        for name in join.tables
    ]
    rows = stacked(parts)
    by = [str(name) for name in ((order, *table.key) if order else table.key)]
    if not by:
        return rows
    backwards = bool(join.keep and join.keep[0] == "most_recent")
    return columns.in_order(rows, by, backwards=backwards)


def stacked(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Put the rows of alike tables on top of each other; a column whose types differ becomes text."""
    if len(parts) == 1:
        return parts[0]
    names = parts[0].columns
    made = []
    for name in names:
        series = [part[name] for part in parts]
        same = len({one.dtype for one in series}) == 1
        made.append(pl.concat(series if same else [columns.text(one) for one in series]))
    return pl.DataFrame(made)


def among(frame: pl.DataFrame, join: Join, reading: Reading) -> Among:
    """Say which rows of the other table are wanted: by an indexed column where there is one."""
    if join.user is not None and reading.people is not None:
        whose = named(reading.people.users, join.tables[0], join.user_of)
        return Among(str(join.user), reading.people.records_of(whose, frame["__user"].unique()))
    table = reading.legacy.tables[join.tables[0]]
    leading = {index[0] for index in (table.key, *table.uniques, *table.indexes) if index}
    theirs, ours = next((pair for pair in join.match if pair[0] in leading), join.match[0])
    return Among(str(theirs), _askable(frame[str(ours)].drop_nulls().unique()))


def _askable(values: pl.Series) -> pl.Series:
    return values if values.dtype == pl.Int64 else columns.text(values)


def pairs(join: Join) -> tuple[tuple[str, str], ...]:
    """(column of the joined rows, column of the frame): what must be equal."""
    return join.match if join.user is None else ((_OWNER, "__user"),)


def matched(frame: pl.DataFrame, rows: pl.DataFrame, join: Join) -> tuple[pl.Series, pl.Series]:
    """The keys of both sides in one type; null where a part is null, which matches nothing."""
    match = pairs(join)
    if len(match) == 1:
        theirs, ours = match[0]
        left, right = frame[str(ours)], rows[str(theirs)]
        if left.dtype == right.dtype == pl.Int64:
            return left, right
    lefts = [columns.text(frame[str(ours)]) for _, ours in match]
    rights = [columns.text(rows[str(theirs)]) for theirs, _ in match]
    return ids.key(lefts), ids.key(rights)


def _many(frame: pl.DataFrame, left: pl.Series, rows: pl.DataFrame, join: Join, wanted: Sequence[str]) -> pl.DataFrame:
    lists = rows.group_by("__match", maintain_order=True).agg(pl.struct(*wanted).alias(join.name))
    return _beside(frame, left, lists)


def _beside(frame: pl.DataFrame, left: pl.Series, named: pl.DataFrame) -> pl.DataFrame:
    keyed = frame.with_columns(left.alias("__match"))
    return keyed.join(named, on="__match", how="left", maintain_order="left", validate="m:1").drop("__match")
