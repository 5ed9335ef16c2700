"""The source rows of all mappings while values of legacy are changed in them: one value may stand in several mappings."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import polars as pl

from migrator.mapping import ids, joins, uses
from migrator.mapping import values as columns
from migrator.mapping.backward.cells import Cells, Spot, spot
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import SourceRows
from migrator.mapping.schema import Kind, Schema

_CLOCKS = (Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP)


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """
    Rows of a legacy table to be changed.

    `rows`: `__user`, the `key` columns and the columns to be changed, each in the type in which it is written.
    """

    key: tuple[str, ...]
    rows: pl.DataFrame


@dataclass(eq=False)
class LegacyRows:
    """
    Source rows as they would be read after what was changed so far.

    `changed`: per table and key columns, per column, `__user`, the key and `value`.
    """

    set: MappingSet
    legacy: Schema
    sources: dict[str, SourceRows]
    cells: Cells = field(init=False)
    changed: dict[tuple[str, tuple[str, ...]], dict[str, pl.DataFrame]] = field(default_factory=dict)
    _spots: dict[str, dict[str, Spot]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cells = Cells.of(self.set, self.legacy)

    def spots(self, mapping: str) -> dict[str, Spot]:
        """Where the COLUMNs of *mapping* stand that are values of one row."""
        if mapping not in self._spots:
            document = self.set.mappings[mapping]
            found = {name: spot(document, name, self.legacy) for name in uses.columns(document, self.legacy)}
            self._spots[mapping] = {name: one for name, one in found.items() if isinstance(one, Spot)}
        return self._spots[mapping]

    def frame(self, mapping: str) -> pl.DataFrame:
        """The rows of *mapping* as they are now."""
        return self.sources[mapping].frame

    def key_of(self, mapping: str, where: Spot, rows: pl.Series) -> pl.DataFrame:
        """The key of the legacy row of each of *rows* (numbers of rows), under the names that legacy has for it."""
        frame = self.frame(mapping)[rows]
        return pl.DataFrame([frame[ours].alias(theirs) for theirs, ours in where.key])

    def there(self, mapping: str, where: Spot, rows: pl.Series) -> pl.Series:
        """Where the row is known to be in legacy: of a joined one nothing may be there."""
        frame = self.frame(mapping)[rows]
        keyed = frame.select(pl.all_horizontal(pl.col(ours).is_not_null() for _, ours in where.key)).to_series()
        if not where.join:
            return keyed
        return keyed & _any(frame, where.join)

    def write(self, where: Spot, keys: pl.DataFrame, users: pl.Series, typed: pl.Series) -> None:
        """Put *typed* into a column of the rows with *keys*, here and in every mapping that reads it."""
        told = keys.with_columns(users.alias("__user"), typed.alias("value"))
        mine = self.changed.setdefault((where.table, where.by), {})
        known = mine.get(where.column)
        both = told if known is None else pl.concat([known, told], how="vertical_relaxed")
        mine[where.column] = both.unique(["__user", *where.by], keep="last", maintain_order=True)
        for mapping in self.sources:
            for name, other in self.spots(mapping).items():
                if (other.table, other.column) == (where.table, where.column):
                    self._follow(mapping, name, other, told)

    def _follow(self, mapping: str, name: str, where: Spot, told: pl.DataFrame) -> None:
        frame = self.frame(mapping)
        mine = ids.key([columns.text(frame[ours]) for _, ours in where.key])
        keys = ids.key([columns.text(told[theirs]) for theirs, _ in where.key])
        column = self.legacy.tables[where.table].columns[where.column]
        read = _nulled(as_read(told["value"], column.kind), self.set.mappings[mapping].source.null_if)
        news = pl.DataFrame({"__mine": keys, "__new": read, "__is": True}).unique("__mine", keep="last")
        joined = mine.alias("__mine").to_frame().join(news, on="__mine", how="left", maintain_order="left")
        hit = columns.is_true(joined["__is"])
        if where.join:  # of a row that is not there, nothing is read
            hit = hit & _any(frame, where.join)
        self._put(mapping, name, hit, joined["__new"], column.kind)

    def _put(self, mapping: str, name: str, hit: pl.Series, new: pl.Series, kind: Kind) -> None:
        source = self.sources[mapping]
        old = source.frame[name]
        one, other = _alike(new, old)
        frame = source.frame.with_columns(columns.pick(hit, one, other).alias(name))
        as_text = other.dtype == pl.String and kind in columns.PLAIN
        kinds = {**source.kinds, name: kind} if as_text else source.kinds
        self.sources[mapping] = replace(source, frame=frame, kinds=kinds)

    def append(self, mapping: str, rows: pl.DataFrame) -> None:
        """Add new rows of a mapping, after all others."""
        source = self.sources[mapping]
        names = source.frame.columns
        parts = [_alike(rows[name], source.frame[name]) for name in names]
        frame = pl.DataFrame([pl.concat([old, new]).alias(n) for n, (new, old) in zip(names, parts, strict=True)])
        self.sources[mapping] = replace(source, frame=frame)

    def drop(self, mapping: str, keep: pl.Series) -> None:
        """Leave only the rows *keep* of a mapping."""
        source = self.sources[mapping]
        self.sources[mapping] = replace(source, frame=source.frame.filter(keep))

    def without(self, users: pl.Series) -> dict[str, list[Update]]:
        """What is to be changed in legacy, but for rows of *users*: one part for each set of columns."""
        found: dict[str, list[Update]] = {}
        for (table, key), by_column in self.changed.items():
            kept = {name: frame.filter(~frame["__user"].is_in(users.implode())) for name, frame in by_column.items()}
            found.setdefault(table, []).extend(_together(key, kept))
        return {table: parts for table, parts in found.items() if parts}


def _any(frame: pl.DataFrame, join: str) -> pl.Series:
    """Where something was read of a joined row."""
    names = [name for name in frame.columns if name.startswith(f"{join}.")]
    return frame.select(pl.any_horizontal(pl.col(names).is_not_null())).to_series()


def _together(key: tuple[str, ...], by_column: dict[str, pl.DataFrame]) -> list[Update]:
    """Rows with the same columns changed stand in one frame."""
    some = {name: frame for name, frame in by_column.items() if frame.height}
    whole: pl.DataFrame | None = None
    on = ["__user", *key]
    for name, frame in some.items():
        named = (
            frame.rename({"value": name}).with_columns(pl.lit(name).alias(f"is {name}")).select(*on, name, f"is {name}")
        )
        whole = named if whole is None else whole.join(named, on=on, how="full", coalesce=True)
    if whole is None:
        return []
    marks = [f"is {name}" for name in some]
    parts = whole.partition_by(marks, maintain_order=True)
    return [
        Update(key, part.select(*on, *(name for name in some if part[f"is {name}"][0] is not None))) for part in parts
    ]


def as_read(typed: pl.Series, kind: Kind) -> pl.Series:
    """A value as it is written, in the form in which it is read: times are texts, floats exact numbers."""
    if kind in _CLOCKS and typed.dtype != pl.String:
        return columns.text(typed).str.replace("T", " ", literal=True)
    if kind is Kind.FLOAT:
        return columns.parse_numbers(columns.text(typed))
    return typed


def _nulled(series: pl.Series, null_if: tuple[object, ...]) -> pl.Series:
    meant = [text for text in map(columns.literal_text, null_if) if text is not None]
    return joins.nulled(series, meant) if meant else series


def _alike(new: pl.Series, old: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Both in one type: the old one's where the new values are of it."""
    if new.dtype == old.dtype:
        return new, old
    if old.null_count() == len(old):
        return new, old.cast(pl.String).cast(new.dtype)
    if old.dtype.is_numeric() and new.dtype.is_numeric():
        cast = new.cast(old.dtype, strict=False)
        if cast.null_count() == new.null_count():
            return cast, old
    return columns.text(new), columns.text(old)
