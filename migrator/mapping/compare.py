"""Meant and written, said in one form: what differs, and one hash per user over all that is theirs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import polars as pl

from migrator.mapping import jsons, moments
from migrator.mapping import values as columns
from migrator.mapping.outcome import SourceRows
from migrator.mapping.schema import Column, Kind, Table

MISSING, EXTRA, VALUE = "missing", "extra", "value"
_SAID = ("column", "kind", "meant", "found")
_HASH_BYTES = 32
_BOOLEANS = {"true": True, "false": False, "t": True, "f": False, "1": True, "0": False}


def canonical(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """
    Say rows in the one form in which equal values are equal, whether they were computed or read back.

    Numbers by value, times at microseconds in UTC. A column with a value that is not of its kind is text as a whole.
    JSON stays as it is: who compares it parses only what differs.
    """
    known = table.columns
    return frame.with_columns(
        _canonical(series, known[series.name]) for series in frame.get_columns() if series.name in known
    )


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
    ours, theirs = canonical(meant.select(names), table), canonical(written.select(names), table)
    if _agree(ours, theirs, by, table):
        return pl.DataFrame(schema=dict.fromkeys([*by, *_SAID], pl.String))
    return _told(ours, theirs, by, table)


def _agree(ours: pl.DataFrame, theirs: pl.DataFrame, by: Sequence[str], table: Table) -> bool:
    """Whether nothing differs, the usual case: one look at rows in the same order, and no texts."""
    if ours.schema != theirs.schema or ours.height != theirs.height:
        return False
    ours, theirs = ours.sort(by), theirs.sort(by)
    return ours.select(by).equals(theirs.select(by)) and not any(
        _unlike(ours[name], theirs[name], table.columns[name]).any() for name in ours.columns if name not in by
    )


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
    unlike = both.filter(_unlike(both[name], both[f"{name} found"], column))
    return unlike.select(places).with_columns(
        pl.lit(name).alias("column"),
        pl.lit(VALUE).alias("kind"),
        columns.text(unlike[name]).alias("meant"),
        columns.text(unlike[f"{name} found"]).alias("found"),
    )


def _unlike(meant: pl.Series, found: pl.Series, column: Column) -> pl.Series:
    """Where two values are not the same; of JSON those that are not the same document."""
    if meant.dtype != found.dtype:
        meant, found = columns.text(meant), columns.text(found)
    unlike = meant.ne_missing(found)
    if column.kind is Kind.JSON and unlike.any():
        unlike = unlike & _json(columns.blank(meant, ~unlike)).ne_missing(_json(columns.blank(found, ~unlike)))
    return unlike


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
        back, in whatever order.

    Cost:
        Vectorised but for one hash per user, and one parse per distinct JSON text.
    """
    texts: dict[str, list[pl.DataFrame]] = {}
    for frame, table in rows.values():
        known = [name for name, column in table.columns.items() if name in frame.columns and not column.generated]
        said = canonical(frame.select(known), table)
        said = said.with_columns(_json(said[name]) for name in known if table.columns[name].kind is Kind.JSON)
        texts.setdefault(_heading(table.name, known), []).append(_of_users(frame["__user"], said))
    return _hashed(texts)


def source_hashes(sources: Mapping[str, SourceRows]) -> pl.DataFrame:
    """
    Hash all source rows of each user, as they were read and shaped.

    Returns:
        `user_key` and `hash`.
    """
    texts = {}
    for name, source in sources.items():
        said = source.frame.drop("__user", "__faults", strict=False)
        texts[_heading(name, said.columns)] = [_of_users(source.frame["__user"], said)]
    return _hashed(texts)


def _heading(name: str, names: Sequence[str]) -> str:
    return f"{name}({','.join(sorted(names))})"


def _of_users(users: pl.Series, said: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame({"user_key": users, "row": _row_texts(said)})


#: Between values, between rows, for null, and before what stands for one of these in a value; before a heading.
_VALUE, _ROW, _NULL, _ESCAPE = "\x1f", "\x1e", "\x1c", "\x1d"
_HEADING = f"{_ESCAPE}{_ROW}"  # what no escape is
_ESCAPED = {mark: f"{_ESCAPE}{place}" for place, mark in enumerate((_ESCAPE, _VALUE, _ROW, _NULL))}


def _row_texts(frame: pl.DataFrame) -> pl.Series:
    """Each row as one text, in which no two rows are one text."""
    texts = [_unmistakable(_text(frame[name])).fill_null(_NULL) for name in sorted(frame.columns)]
    if not texts:
        return pl.Series([""], dtype=pl.String).new_from_index(0, frame.height)
    named = pl.DataFrame([text.alias(str(place)) for place, text in enumerate(texts)])
    return named.select(pl.concat_str(pl.all(), separator=_VALUE)).to_series()


def _unmistakable(text: pl.Series) -> pl.Series:
    """Escape the few characters that mean something here; hardly ever one is there."""
    if not columns.is_true(text.str.contains("[\x1c-\x1f]")).any():
        return text
    for mark, escaped in _ESCAPED.items():  # the escape itself first
        text = text.str.replace_all(mark, escaped, literal=True)
    return text


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


def _hashed(texts: Mapping[str, Sequence[pl.DataFrame]]) -> pl.DataFrame:
    """Of each user the rows of all frames, those of one heading together and in order."""
    if not texts:
        return pl.DataFrame(schema={"user_key": pl.String, "hash": pl.String})
    told = [_told_of_users(heading, pl.concat(texts[heading])) for heading in sorted(texts)]
    users = pl.concat(told).group_by("user_key").agg(pl.col("said").str.join(_HEADING)).sort("user_key")
    hashes = [hashlib.blake2b(text.encode(), digest_size=_HASH_BYTES).hexdigest() for text in users["said"].to_list()]
    return pl.DataFrame({"user_key": users["user_key"], "hash": pl.Series(hashes, dtype=pl.String)})


def _told_of_users(heading: str, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.group_by("user_key").agg((heading + _ROW + pl.col("row").sort().str.join(_ROW)).alias("said"))
