"""Dates and times as text, in and out: strictly ISO, years 1 to 9999, never a guess."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from migrator.mapping.schema import Kind

_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,6})?"
_OFFSET = r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
_IN_UTC = r"(Z|[+-]00(:?00)?)\z"
_SECONDS = len("2020-01-02 03:04:05")
_DATE = rf"\A{_DAY}\z"
_NAIVE = rf"\A{_DAY}[ T]{_CLOCK}\z"
_INSTANT = rf"\A{_DAY}[ T]{_CLOCK}{_OFFSET}\z"


def parse(text: pl.Series, kind: Kind) -> pl.Series:
    """Read ISO texts as *kind* (DATE, DATETIME or TIMESTAMP); null where a text is not exactly that."""
    if kind is Kind.DATE:
        return dates(text)
    return instants(text) if kind is Kind.TIMESTAMP else naive(text)


def dates(text: pl.Series) -> pl.Series:
    """`YYYY-MM-DD`, nothing else."""
    days = _where(text.str.contains(_DATE), text).str.to_date("%Y-%m-%d", strict=False)
    return in_years(days)


def naive(text: pl.Series) -> pl.Series:
    """`YYYY-MM-DD HH:MM:SS[.ffffff]`, also with a T, without a zone."""
    return in_years(_clock(_where(text.str.contains(_NAIVE), text)))


def instants(text: pl.Series) -> pl.Series:
    """The same with `Z` or an offset, in UTC."""
    whole = _where(text.str.contains(_INSTANT), text)
    clock = _clock(whole)
    if not (~whole.str.contains(_IN_UTC)).any():
        return in_years(clock.dt.replace_time_zone("UTC"))
    signs = whole.str.extract(r"([+-])[0-9]{2}(:?[0-9]{2})?\z", 1)
    hours = whole.str.extract(r"[+-]([0-9]{2}):?[0-9]{0,2}\z", 1).cast(pl.Int64)
    minutes = whole.str.extract(r"[+-][0-9]{2}:?([0-9]{2})\z", 1).cast(pl.Int64)
    seconds = hours.fill_null(0) * 3600 + minutes.fill_null(0) * 60
    ahead = pl.select(pl.duration(seconds=pl.when(signs == "-").then(-seconds).otherwise(seconds))).to_series()
    return in_years((clock - ahead).dt.replace_time_zone("UTC"))


def text(series: pl.Series) -> pl.Series:
    """`YYYY-MM-DDTHH:MM:SS`, with microseconds only where there are any, and a Z where the series has a zone."""
    zone = "Z" if getattr(series.dtype, "time_zone", None) else ""
    short = series.dt.strftime("%Y-%m-%dT%H:%M:%S" + zone)
    fine = is_true(series.dt.microsecond() != 0)
    if not fine.any():
        return short
    exact = series.dt.strftime("%Y-%m-%dT%H:%M:%S%.6f" + zone)
    return pl.select(pl.when(fine).then(exact).otherwise(short)).to_series().alias(series.name)


def instant(text_: str) -> datetime:
    """Read one ISO instant or date of a mapping or plan; without a zone it is UTC."""
    moment = datetime.fromisoformat(text_)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def is_iso(text_: object) -> bool:
    """Whether a literal is an ISO date or time."""
    if not isinstance(text_, str) or len(text_) < 10 or text_[4:5] != "-":
        return False
    try:
        instant(text_)
    except ValueError:
        return False
    return True


def as_instants(series: pl.Series) -> pl.Series:
    """Any column of times, or of their texts, as instants; what has no zone is taken as UTC, what is no time is null."""
    if series.dtype == pl.Date:
        return series.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if isinstance(series.dtype, pl.Datetime):
        return series if series.dtype.time_zone else series.dt.replace_time_zone("UTC")
    if series.dtype != pl.String:
        return pl.Series(series.name, [None], dtype=pl.Datetime("us", "UTC")).new_from_index(0, len(series))
    days = dates(series).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return naive(series).dt.replace_time_zone("UTC").fill_null(days).fill_null(instants(series))


def in_years(series: pl.Series) -> pl.Series:
    """Null where the year is not one of 1 to 9999, which neither Python nor the databases can hold."""
    years = series.dt.year()
    return _where((years >= 1) & (years <= 9999), series)


def is_true(mask: pl.Series) -> pl.Series:
    """A mask without nulls."""
    return mask.fill_null(False)


def _clock(text: pl.Series) -> pl.Series:
    """Read the time at the start of texts that look like one; whole seconds by themselves, which is the fast way."""
    spaced = text.str.head(_SECONDS).str.replace("T", " ", literal=True)
    clock = spaced.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
    if not text.str.contains(".", literal=True).any():
        return clock
    micros = text.str.extract(r"\.([0-9]+)", 1).str.pad_end(6, "0").cast(pl.Int64).fill_null(0)
    return clock + micros.cast(pl.Duration("us"))


def _where(mask: pl.Series, series: pl.Series) -> pl.Series:
    return pl.select(pl.when(mask).then(series)).to_series().alias(series.name)
