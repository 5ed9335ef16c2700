"""Meant and written, said in one form: what differs, and one hash per user over all that is theirs."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from migrator.mapping import jsons, moments
from migrator.mapping import values as columns
from migrator.mapping.outcome import SourceRows
from migrator.mapping.schema import Column, Kind, Table

MISSING, EXTRA, VALUE = "missing", "extra", "value"
_SAID = ("column", "kind", "meant", "found")
_HASH_BYTES, _HEADING_BYTES = 16, 8
#: How values of a kind are held once they are canonical, if each of them is of the kind.
_HELD_AS = {
    Kind.DECIMAL: columns.NUMBER,
    Kind.FLOAT: columns.NUMBER,
    Kind.BOOLEAN: pl.Boolean(),
    Kind.DATE: pl.Date(),
    Kind.DATETIME: columns.MOMENT,
    Kind.TIMESTAMP: columns.INSTANT,
}
_BOOLEANS = {"true": True, "false": False, "t": True, "f": False, "1": True, "0": False}


def canonical(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """
    Say rows in the one form in which equal values are equal, whether they were computed or read back.

    Numbers by value, times at microseconds in UTC. A column with a value that is not of its kind is text as a whole.
    JSON stays as it is: who compares it parses only what differs.
    """
    known = table.columns
    return _changed(frame, lambda series: _canonical(series, known[series.name]) if series.name in known else series)


def _changed(frame: pl.DataFrame, how: Callable[[pl.Series], pl.Series]) -> pl.DataFrame:
    """Change the columns that *how* changes; most stay as they are."""
    were = frame.get_columns()
    made = [how(series) for series in were]
    if all(one is was for one, was in zip(made, were, strict=True)):
        return frame
    return pl.DataFrame([one.alias(was.name) for one, was in zip(made, were, strict=True)])


def _canonical(series: pl.Series, column: Column) -> pl.Series:
    if column.kind in (Kind.DECIMAL, Kind.FLOAT):
        return _numbers(series)
    if column.kind is Kind.INTEGER and series.dtype == pl.Boolean:
        return series.cast(pl.Int64)
    if column.kind is Kind.BOOLEAN and series.dtype != pl.Boolean:
        text = columns.text(series)
        return _whole(text, text.replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean))
    if column.kind in (Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP) and series.dtype == pl.String:
        return _whole(series, moments.parse(series, column.kind))
    if column.kind is Kind.UUID and series.dtype == pl.String:
        return series.str.to_lowercase()
    if column.kind is Kind.INET and series.dtype == pl.String:
        return series.str.replace(r"\A([0-9.]+)/32\z", "$1").str.replace(r"\A([^/]*:[^/]*)/128\z", "$1")
    if series.dtype == pl.Null:
        return series.cast(columns.dtype_of(column.kind))
    return series


def _numbers(series: pl.Series) -> pl.Series:
    if series.dtype == columns.NUMBER:
        return series
    if series.dtype.is_decimal() or series.dtype.is_integer():
        return series.cast(columns.NUMBER)
    text = columns.text(series)
    return _whole(text, columns.parse_numbers(text))


def _whole(text: pl.Series, parsed: pl.Series) -> pl.Series:
    return parsed if parsed.null_count() == text.null_count() else text


# ---- differences ------------------------------------------------------------------------------------------------


def differences(meant: pl.DataFrame, written: pl.DataFrame, table: Table, key: Sequence[str]) -> pl.DataFrame:
    """
    Find what differs between rows that were meant and rows that are there.

    Args:
        meant: Rows to be written, after *fit*. Only its columns are compared, and generated ones never.
        written: Rows read back, all of whose columns may be there.
        key: Columns that name a row; none means all columns.

    Returns:
        The key columns as text, `column`, `kind` (missing, extra, value), `meant` and `found` as text. A missing or
        extra row is one line without a column.
    """
    names = [str(c) for c in meant.columns if c in table.columns and not table.columns[c].generated]
    by = [str(name) for name in key] or names
    ours, theirs = canonical(meant[names], table), canonical(written[names], table)
    if _agree(ours, theirs, by, table):
        return pl.DataFrame(schema=dict.fromkeys([*by, *_SAID], pl.String))
    return _told(ours, theirs, by, table)


def _agree(ours: pl.DataFrame, theirs: pl.DataFrame, by: Sequence[str], table: Table) -> bool:
    """Whether nothing differs, the usual case: one look at rows in the same order, and no texts."""
    if ours.schema != theirs.schema or ours.height != theirs.height:
        return False
    trees = [name for name in ours.columns if table.columns[name].kind is Kind.JSON and name not in by]
    plain = [name for name in ours.columns if name not in trees]
    if not ours[plain].equals(theirs[plain]):
        ours, theirs = ours.sort(by), theirs.sort(by)
        if not ours[plain].equals(theirs[plain]):
            return False
    return not any(unlike(ours[name], theirs[name], table.columns[name]).any() for name in trees)


def _told(ours: pl.DataFrame, theirs: pl.DataFrame, by: Sequence[str], table: Table) -> pl.DataFrame:
    names = ours.columns
    ours, theirs = _keyed(ours, by), _keyed(theirs, by)
    places = [f"key {place}" for place in range(len(by))]
    missing = ours.join(theirs, on=places, how="anti", nulls_equal=True)
    extra = theirs.join(ours, on=places, how="anti", nulls_equal=True)
    both = ours.join(theirs, on=places, how="inner", suffix=" found", nulls_equal=True, maintain_order="left")
    values = [_values(both, name, table.columns[name], places) for name in names if name not in by]
    whole = [_lines(rows, places, kind) for rows, kind in ((missing, MISSING), (extra, EXTRA))]
    found = pl.concat([*whole, *values])
    return found.rename(dict(zip(places, by, strict=True)))


def _keyed(frame: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    keys = [columns.text(frame[name]).alias(f"key {place}") for place, name in enumerate(by)]
    return frame.with_columns(keys)


def _lines(rows: pl.DataFrame, places: Sequence[str], kind: str) -> pl.DataFrame:
    nothing = pl.lit(None, dtype=pl.String)
    return rows.select(
        *places, nothing.alias("column"), pl.lit(kind).alias("kind"), nothing.alias("meant"), nothing.alias("found")
    )


def _values(both: pl.DataFrame, name: str, column: Column, places: Sequence[str]) -> pl.DataFrame:
    differing = both.filter(unlike(both[name], both[f"{name} found"], column))
    return differing.select(places).with_columns(
        pl.lit(name).alias("column"),
        pl.lit(VALUE).alias("kind"),
        columns.text(differing[name]).alias("meant"),
        columns.text(differing[f"{name} found"]).alias("found"),
    )


def unlike(meant: pl.Series, found: pl.Series, column: Column) -> pl.Series:
    """Where two values are not the same; of JSON those that are not the same document."""
    if meant.dtype != found.dtype:
        meant, found = columns.text(meant), columns.text(found)
    differs = meant.ne_missing(found)
    if column.kind is Kind.JSON and differs.any():
        differs = differs & _json(columns.blank(meant, ~differs)).ne_missing(_json(columns.blank(found, ~differs)))
    return differs


def _json(series: pl.Series) -> pl.Series:
    return columns.per_distinct(columns.text(series), jsons.canonical)


# ---- hashes -----------------------------------------------------------------------------------------------------


def user_hashes(rows: Mapping[str, tuple[pl.DataFrame, Table]]) -> pl.DataFrame:
    """
    Hash all target rows of each user.

    Args:
        rows: Under any name, rows with `__user` and their table; columns that are not of the table do not count.

    Returns:
        `user_key` and `hash` (BLAKE2b, hexadecimal): the same for rows that were computed and for the same rows read
        back, in whatever order, and whoever else's rows stand beside them.

    Cost:
        Vectorised but for one sort and one hash per user, and one parse per distinct JSON text.
    """
    told = []
    for frame, table in rows.values():
        there = set(frame.columns)
        known = sorted(name for name, column in table.columns.items() if name in there and not column.generated)
        said = _counted(canonical(frame[known], table), table)
        told.append(_Told(table.name, frame["__user"], _changed(said, _printable)))
    return _hashed(told)


def changed_rows(
    before: Mapping[str, tuple[pl.DataFrame, Table]], now: Mapping[str, tuple[pl.DataFrame, Table]]
) -> frozenset[str]:
    """
    Users of whose target rows one is not what it was, or is there at one time only.

    Args:
        before, now: Under the same names, rows with `__user` and their table.
    """
    changed = frozenset[str]()
    for name, (_, table) in before.items():
        then, found = (canonical(_of_table(*at[name]), table) for at in (before, now))
        if not _agree(then, found, table.key, table):
            changed |= _unlike_users(*(user_hashes({name: at[name]}) for at in (before, now)))
    return changed


def _of_table(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    return rows[sorted(name for name in rows.columns if name in table.columns and not table.columns[name].generated)]


def _unlike_users(one: pl.DataFrame, other: pl.DataFrame) -> frozenset[str]:
    told, found = (dict(hashes.iter_rows()) for hashes in (one, other))
    return frozenset(user for user in told.keys() | found.keys() if told.get(user) != found.get(user))


def source_hashes(sources: Mapping[str, SourceRows]) -> pl.DataFrame:
    """
    Hash all source rows of each user, as they were read and shaped.

    Returns:
        `user_key` and `hash`.
    """
    told = []
    for name, source in sources.items():
        said = source.frame[sorted(set(source.frame.columns) - {"__user", "__faults"})]
        told.append(_Told(name, source.frame["__user"], _changed(said, _printable)))
    return _hashed(told)


def changed_users(before: Mapping[str, SourceRows], now: Mapping[str, SourceRows]) -> frozenset[str]:
    """Users whose source rows, as they were read and shaped, are not the same at two times."""
    return _unlike_users(source_hashes(before), source_hashes(now))


def _counted(said: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Canonical numbers and times as the integers in which they are held: nothing prints faster. JSON in one form."""
    return _changed(said, lambda series: _as_held(series, table.columns[series.name]))


def _as_held(series: pl.Series, column: Column) -> pl.Series:
    """No value depends on those that stand beside it, as the type of a column does."""
    if column.kind is Kind.JSON:
        return _json(series)
    dtype = _HELD_AS.get(column.kind)
    if dtype is None:
        return series
    if series.dtype == dtype:
        return series.to_physical()
    text = columns.text(series)
    parsed = _parsed(text, column.kind)
    return columns.pick(parsed.is_not_null(), parsed.to_physical().cast(pl.String), _NONE_SUCH + text)


def _parsed(text: pl.Series, kind: Kind) -> pl.Series:
    if kind is Kind.BOOLEAN:
        return text.replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean)
    return columns.parse_numbers(text) if kind in (Kind.DECIMAL, Kind.FLOAT) else moments.parse(text, kind)


def _printable(series: pl.Series) -> pl.Series:
    """As what is printed is the canonical text of each value."""
    if series.dtype == pl.String or series.dtype == pl.Boolean or series.dtype.is_integer():
        return series
    return _text(series)


#: Between values, between rows, and for null, which also stands before what stands for one of these in a value.
_VALUE, _ROW, _NULL = "\x1f", "\x1e", "\x1c"
_ESCAPED = {mark: f"{_NULL}{place}" for place, mark in enumerate((_NULL, _VALUE, _ROW))}  # the escape itself first
_MARKS = f"[{''.join(_ESCAPED)}]"
_NONE_SUCH = "~"  # before a value that is not of the kind of its column


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """Rows to be hashed: of which table or mapping, whose, and their columns by name, each printable."""

    name: str
    users: pl.Series
    said: pl.DataFrame

    @property
    def heading(self) -> str:
        """What stands before each row: no row is one of another table, or of other columns."""
        return _digest(f"{self.name}({','.join(self.said.columns)})".encode(), _HEADING_BYTES)

    def lines(self) -> list[bytes]:
        """Each row as one text, in which no two rows are one text."""
        if not self.said.width:
            return [self.heading.encode()] * len(self.users)
        said = _changed(self.said, _unmistakable) if _has_marks(self.said) else self.said
        out = io.BytesIO(self.heading.encode())
        out.seek(0, io.SEEK_END)
        said.write_csv(
            out,
            include_header=False,
            quote_style="never",
            separator=_VALUE,
            line_terminator=f"{_ROW}{self.heading}",
            null_value=_NULL,
        )
        return out.getvalue().split(_ROW.encode())[:-1]


def _digest(content: bytes, size: int) -> str:
    return hashlib.blake2b(content, digest_size=size).hexdigest()


def _hashed(told: Sequence[_Told]) -> pl.DataFrame:
    """Of each user the rows of all frames, those of one heading together and in order."""
    some = sorted((one for one in told if len(one.users)), key=lambda one: one.heading)
    if not some:
        return pl.DataFrame(schema={"user_key": pl.String, "hash": pl.String})
    lines: list[bytes] = []
    for one in some:
        lines += one.lines()
    owners = pl.concat([one.users for one in some]).alias("user_key").to_frame().with_row_index("row")
    of_user = owners.group_by("user_key", maintain_order=True).agg("row")
    lines = [lines[row] for row in of_user["row"].explode().to_list()]
    ends = of_user["row"].list.len().cum_sum().to_list()
    together = _ROW.encode().join
    hashes = [_digest(together(sorted(lines[start:end])), _HASH_BYTES) for start, end in pairwise([0, *ends])]
    return of_user.select("user_key", pl.Series("hash", hashes, dtype=pl.String)).sort("user_key")


def _has_marks(frame: pl.DataFrame) -> bool:
    """Whether some text holds what means something here; one look at all texts together is enough."""
    texts = frame.select(pl.col(pl.String).str.join("")).with_columns(pl.all().str.contains(_MARKS))
    return any(texts.row(0)) if texts.width else False


def _unmistakable(series: pl.Series) -> pl.Series:
    """Escape the few characters that mean something here."""
    if series.dtype != pl.String or not columns.is_true(series.str.contains(_MARKS)).any():
        return series
    for mark, escaped in _ESCAPED.items():
        series = series.str.replace_all(mark, escaped, literal=True)
    return series


def _text(series: pl.Series) -> pl.Series:
    if isinstance(series.dtype, pl.List):
        return _list_text(series)
    return columns.text(series)


def _list_text(series: pl.Series) -> pl.Series:
    numbered = series.alias("item").to_frame().with_row_index("row")
    flat = numbered.filter(pl.col("item").list.len() > 0).explode("item")
    items = flat.drop("row").unnest("item") if isinstance(flat.schema["item"], pl.Struct) else flat.drop("row")
    texts = pl.DataFrame({"row": flat["row"], "text": _row_texts(items)})
    joined = texts.group_by("row", maintain_order=True).agg(pl.col("text").str.join(_ROW))
    return numbered.select("row").join(joined, on="row", how="left", maintain_order="left")["text"]


def _row_texts(frame: pl.DataFrame) -> pl.Series:
    """Each item of a list as one text, in which no two items are one text."""
    texts = [_unmistakable(_text(frame[name])).fill_null(_NULL) for name in sorted(frame.columns)]
    if not texts:
        return pl.Series([""], dtype=pl.String).new_from_index(0, frame.height)
    named = pl.DataFrame([text.alias(str(place)) for place, text in enumerate(texts)])
    return named.select(pl.concat_str(pl.all(), separator=_VALUE)).to_series()
