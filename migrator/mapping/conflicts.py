"""Rows that meet rows already in the target: what becomes of them, as the mapping says. Default: a person decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from migrator.mapping import groups, secrecy, walk
from migrator.mapping.books import Book
from migrator.mapping.identities import id_column
from migrator.mapping.model import Mapping as Document
from migrator.mapping.model import MappingSet, OnConflict
from migrator.mapping.outcome import FINDINGS, Context, Mapped
from migrator.mapping.pairs import ROW, Pairs
from migrator.mapping.schema import Schema

RULE = "on_conflict"
WRITES_OVER = ("update", "update_if_newer", "fill_nulls")
#: Ids that may give way to that of a row which is there; the others are made of other rows or of the fields.
_OF_ITS_OWN = ("uuid5", "keep", "sequence")


@dataclass(frozen=True, slots=True)
class Meeting:
    """A set of columns that may be taken already: primary key, a unique key, or what `on_conflict.match` says."""

    mapping: str
    table: str
    columns: tuple[str, ...]


def meetings(set_: MappingSet, target: Schema) -> Iterator[Meeting]:
    """Every key of every mapping whose columns the mapping sets: where to look before writing."""
    for name, document in set_.mappings.items():
        table = target.tables[document.target.table]
        # a unique key around the primary key meets nothing that the primary key does not
        wanted = [table.key, *(key for key in table.uniques if not set(table.key) <= set(key))]
        if document.target.on_conflict:
            wanted.append(document.target.on_conflict.match)
        for columns in dict.fromkeys(tuple(key) for key in wanted if key):
            yield Meeting(name, table.name, columns)


def shared_tables(set_: MappingSet) -> frozenset[str]:
    """The tables in which a row may be written over, so that it must be known whose rows stand there."""
    rules = ((one.target.table, one.target.on_conflict) for one in set_.mappings.values())
    return frozenset(str(table) for table, rule in rules if rule is not None and rule.action in WRITES_OVER)


def give_way(
    set_: MappingSet, target: Schema, mapped: Mapped, found: Mapping[Meeting, pl.DataFrame], context: Context
) -> dict[str, pl.DataFrame]:
    """
    Find our rows that are in the target already under another id: theirs is the one that counts, for children, too.

    Returns:
        Per mapping `__user`, `__key`, `id` (theirs, as text) and `stays` (their row is not touched): what
        `Context.standing` takes. Empty when every row has the id it is to have.
    """
    ways = {}
    for meeting, there in found.items():
        document, table = set_.mappings[meeting.mapping], target.tables[meeting.table]
        rule, column = document.target.on_conflict, id_column(document, table)
        if rule is None or rule.action == "review" or meeting.columns != rule.match or not there.height:
            continue
        if document.target.id.how not in _OF_ITS_OWN or table.key != (column,):
            continue
        pairs = Pairs.of(mapped.rows[meeting.mapping].with_row_index(ROW), there, table, meeting.columns)
        pairs = pairs.only(~pairs.rows.is_in(list(pairs.several)) & ~pairs.is_ours)
        if pairs.height:
            left = pairs.left(rule, context)
            stays = pairs.nothing_left_to_write(left) if rule.action in WRITES_OVER else None
            ways[meeting.mapping] = pairs.frame.select("__user", "__key").with_columns(
                pairs.keys.alias("id"), (pl.lit(True) if stays is None else stays).alias("stays")
            )
    return ways


def decide(
    set_: MappingSet,
    target: Schema,
    mapped: Mapped,
    found: Mapping[Meeting, pl.DataFrame],
    owners: Mapping[str, pl.DataFrame] | None = None,
    context: Context | None = None,
) -> Mapped:
    """
    Take out the rows that must not be written because others are there, and say which values of the others stay.

    Args:
        found: per meeting, all columns of the target rows whose key equals that of a row to be written.
        owners: per table `key` and `user_key` of the rows there which users of ours have written.

    Returns:
        The batch without skipped rows, held rows and held users; books still balance.
    """
    hit = {meeting: rows for meeting, rows in found.items() if rows.height}
    if not hit:
        return mapped
    rows = {name: frame.with_row_index(ROW) for name, frame in mapped.rows.items()}
    verdicts: dict[str, _Verdict] = {}
    for name in dict.fromkeys(meeting.mapping for meeting in hit):
        document = set_.mappings[name]
        table = target.tables[str(document.target.table)]
        met = [
            _Met(at, Pairs.of(rows[name], there, table, at.columns)) for at, there in hit.items() if at.mapping == name
        ]
        whose = (owners or {}).get(table.name)
        looked_up = any(wait.parent == name for other in set_.mappings.values() for wait in walk.waits(other))
        verdicts[name] = _judged(document, rows[name], met, whose, context, looked_up=looked_up)
    return _without(set_, mapped, rows, verdicts)


@dataclass(frozen=True, slots=True)
class _Met:
    """The pairs of one meeting."""

    at: Meeting
    pairs: Pairs


@dataclass(slots=True)
class _Verdict:
    """What becomes of the rows of one mapping: some are skipped, some held, and of some a part stays as it is there."""

    skip: set[int] = field(default_factory=set)
    findings: list[pl.DataFrame] = field(default_factory=list)
    left: pl.DataFrame | None = None  # ROW, column

    def hold(self, document: Document, rows: pl.DataFrame, hold: set[int], at: Meeting, note: str) -> None:
        """A person decides about these rows."""
        if hold:
            self.findings.append(_findings(document, rows, hold, at, note))


def _judged(
    document: Document,
    rows: pl.DataFrame,
    met: list[_Met],
    owners: pl.DataFrame | None,
    context: Context | None,
    *,
    looked_up: bool,
) -> _Verdict:
    rule, verdict = document.target.on_conflict, _Verdict()
    if rule is not None and rule.action in WRITES_OVER:
        _write_over(document, rule, rows, met, owners, context, verdict)
        return verdict
    for one in met:
        held = one.pairs.met
        if rule is not None and rule.action in ("skip", "skip_if_equal"):
            skip = held if rule.action == "skip" else _equal(rule, one, context)
            # children would not know which of several rows is meant
            doubtful = one.pairs.several if looked_up else set[int]()
            verdict.skip |= skip - doubtful
            verdict.hold(document, rows, doubtful, one.at, _several(one.at))
            held = held - skip - doubtful
        verdict.hold(document, rows, held, one.at, _is_there(one.at) + _perhaps_handed_over(document, one.at))
    return verdict


def _is_there(at: Meeting) -> str:
    return f"a row with this {', '.join(at.columns)} is already in {at.table}"


def _perhaps_handed_over(document: Document, at: Meeting) -> str:
    """An id that comes of a legacy row is nobody's but that row's: whoever had the row before was moved with it."""
    if document.target.id.how not in ("uuid5", "keep") or len(at.columns) != 1 or at.columns[0] in document.fields:
        return ""
    return (
        "; if another user had the row when he was moved, `migrator sync` brings him over without it, "
        "and sends this one again"
    )


def _several(at: Meeting) -> str:
    return f"several rows of {at.table} have this {', '.join(at.columns)}"


def _equal(rule: OnConflict, one: _Met, context: Context | None) -> set[int]:
    """Rows that stand in the target just so, the id aside (the new system may have given its own)."""
    pairs, key = one.pairs, one.pairs.table.key
    names = [*pairs.written, *(name for name in key if name in one.at.columns)]
    return set(pairs.only(pairs.same(names, pairs.left(rule, context))).rows.to_list())


def _write_over(
    document: Document,
    rule: OnConflict,
    rows: pl.DataFrame,
    met: list[_Met],
    owners: pl.DataFrame | None,
    context: Context | None,
    verdict: _Verdict,
) -> None:
    """Rows found by `match` are written over; whatever else is in the way, or another user's, is for a person."""
    of_match = [one for one in met if one.at.columns == rule.match]
    meant = of_match[0].pairs if of_match else None
    stand = dict(zip(meant.rows.to_list(), meant.keys.to_list(), strict=True)) if meant else {}
    for one in met:
        pairs, several = one.pairs, one.pairs.several
        verdict.hold(document, rows, several, one.at, _several(one.at))
        keys = dict(zip(pairs.rows.to_list(), pairs.keys.to_list(), strict=True))
        other = {row for row, key in keys.items() if stand.get(row) != key} - several
        verdict.hold(document, rows, other, one.at, _is_there(one.at))
    if meant is None:
        return
    at = of_match[0].at
    elsewhere = set(meant.only(~meant.is_ours).rows.to_list()) - meant.several
    verdict.hold(document, rows, elsewhere, at, f"the row of {at.table} that has it is another one, by its key")
    strangers = _of_another(meant, owners)
    verdict.hold(document, rows, strangers - elsewhere, at, f"another user of ours wrote this row of {at.table}")
    left = meant.left(rule, context)
    untouched = set(meant.only(meant.nothing_left_to_write(left)).rows.to_list())
    verdict.skip |= untouched - meant.several - elsewhere
    verdict.left = _cells(meant, left)


def _of_another(pairs: Pairs, owners: pl.DataFrame | None) -> set[int]:
    if owners is None or not owners.height:
        return set()
    told = pl.DataFrame({ROW: pairs.rows, "key": pairs.keys, "mine": pairs.frame["__user"]}).join(owners, on="key")
    return set(told.filter(pl.col("mine") != pl.col("user_key"))[ROW].to_list())


def _cells(pairs: Pairs, left: pl.DataFrame) -> pl.DataFrame | None:
    """ROW and column of every value that stays as it is there."""
    some = [name for name in left.columns if left[name].any()]
    if not some:
        return None
    parts = [
        pl.DataFrame({ROW: pairs.rows.filter(left[name])}).with_columns(pl.lit(str(name)).alias("column"))
        for name in some
    ]
    return pl.concat(parts)


def _findings(document: Document, rows: pl.DataFrame, hold: set[int], meeting: Meeting, note: str) -> pl.DataFrame:
    place = document.target.place
    rule = document.fields.get(meeting.columns[-1])
    if rule is not None:
        place = rule.place
    secret, covered = secrecy.fields(document)
    sensitive = not covered.isdisjoint(meeting.columns)
    told = [pl.col(name).cast(pl.String) for name in meeting.columns if name not in secret]
    shown = pl.concat_str(told, separator=", ", ignore_nulls=True) if told else pl.lit(None, pl.String)
    return (
        rows.filter(pl.col(ROW).is_in(hold))
        .select(
            pl.col("__user").alias("user"),
            pl.lit(document.name).alias("mapping"),
            pl.col("__key").alias("key"),
            pl.lit(None, pl.String).alias("item_key"),
            pl.lit(", ".join(meeting.columns)).alias("field"),
            pl.lit(RULE).alias("rule"),
            shown.alias("value"),
            pl.lit(None, pl.String).alias("after"),
            pl.lit("review").alias("outcome"),
            pl.lit(None, pl.String).alias("waits_for"),
            pl.lit(note).alias("note"),
            pl.lit(sensitive).alias("sensitive"),
            pl.lit(place.file).alias("file"),
            pl.lit(place.line, pl.Int64).alias("line"),
            pl.lit(place.column, pl.Int64).alias("column"),
        )
        .cast(FINDINGS)
    )


def _without(
    set_: MappingSet,
    mapped: Mapped,
    rows: Mapping[str, pl.DataFrame],
    verdicts: Mapping[str, _Verdict],
) -> Mapped:
    """The batch that is left: skipped rows gone, held rows gone, all rows of newly held users blocked."""
    held_rows = {name: pl.concat(one.findings) for name, one in verdicts.items() if one.findings}
    held = {
        user
        for name, findings in held_rows.items()
        if set_.mappings[name].on_reject == "hold_user"
        for user in findings["user"].to_list()
    }
    held = set(groups.closed(held, mapped.groups))
    kept, left, books = {}, {}, dict(mapped.books)
    for name, frame in rows.items():
        verdict = verdicts.get(name, _Verdict())
        refused = set(held_rows[name]["key"].to_list()) if name in held_rows else set()
        skip = pl.col(ROW).is_in(list(verdict.skip))
        review = pl.col("__key").is_in(refused)
        blocked = pl.col("__user").is_in(held)
        sizes = frame.select(
            written=(~skip & ~review & ~blocked).sum(),
            skipped=(skip & ~review & ~blocked).sum(),
            review=review.sum(),
            blocked=(~review & blocked).sum(),
        ).row(0, named=True)
        staying = frame.filter(~skip & ~review & ~blocked)
        kept[name] = staying.drop(ROW)
        if verdict.left is not None:
            left[name] = (
                staying.select(ROW, "__user", "__key").join(verdict.left, on=ROW, maintain_order="left").drop(ROW)
            )
        books[name] = _shifted(books[name], frame.height, sizes)
    return replace(
        mapped,
        rows=kept,
        findings=pl.concat([mapped.findings, *held_rows.values()]),
        books=books,
        held=mapped.held | held,
        left=left,
    )


def _shifted(book: Book, were_written: int, sizes: Mapping[str, int]) -> Book:
    return replace(
        book,
        written=book.written - were_written + sizes["written"],
        skipped=book.skipped + sizes["skipped"],
        review=book.review + sizes["review"],
        blocked=book.blocked + sizes["blocked"],
    )
