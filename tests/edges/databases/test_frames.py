from __future__ import annotations

import datetime as dt
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from migrator.edges.databases import frames
from migrator.mapping.schema import Kind

FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@example([0.5, 2**53 + 1])
@given(st.lists(st.none() | FLOATS | st.integers(-(2**63), 2**63 - 1)))
def test_a_number_is_read_to_its_last_digit(values: list[float | int | None]) -> None:
    series = frames.from_driver("n", values, Kind.DECIMAL)

    read = [None if value is None else Decimal(str(value)) for value in series]
    assert read == [None if value is None else Decimal(repr(value)) for value in values]
    assert series.dtype in (frames.EXACT, pl.String)


@given(st.lists(st.floats(0.01, 9e19), min_size=1))
def test_everyday_floats_fit_the_exact_type(values: list[float]) -> None:
    assert frames.from_driver("n", values, Kind.FLOAT).dtype == frames.EXACT


@given(st.lists(st.none() | st.decimals(allow_nan=False, allow_infinity=False, places=25), min_size=1))
def test_canonical_text_has_no_exponent_and_no_trailing_zero(values: list[Decimal | None]) -> None:
    for value in values:
        text = frames.canonical(value)
        if text is not None and value is not None:
            assert Decimal(text) == value
            assert "E" not in text.upper()
            assert not ("." in text and text.endswith("0"))
            assert text != "-0"


@settings(max_examples=40)
@given(st.lists(st.none() | st.text() | st.integers(-(2**63), 2**63 - 1) | FLOATS | st.binary()))
def test_no_mixture_of_values_is_too_much_for_any_kind(values: list[object]) -> None:
    for kind in Kind:
        try:
            series = frames.from_driver("n", values, kind)
        except UnicodeEncodeError:  # a lone surrogate cannot come out of a database
            continue
        assert len(series) == len(values)
        assert series.dtype in (frames.read_type(kind), pl.String)
        assert series.is_null().to_list() == [value is None for value in values]


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (5, pl.Int64, "5"),
        (Decimal(100), pl.Decimal(38, 18), "100"),
        (Decimal("-0.5"), pl.Decimal(38, 18), "-0.5"),
        (Decimal(100), pl.Decimal(38, 0), "100"),
        (1e-7, pl.Float64, "0.0000001"),
        (True, pl.Boolean, "true"),
        (b"\x00\xff", pl.Binary, "\\x00ff"),
        (dt.date(987, 1, 2), pl.Date, "0987-01-02"),
        (dt.datetime(2011, 12, 10), pl.Datetime("us"), "2011-12-10 00:00:00"),  # noqa: DTZ001
        (
            dt.datetime(2011, 12, 10, 0, 0, 0, 500, tzinfo=dt.UTC),
            pl.Datetime("us", "UTC"),
            "2011-12-10 00:00:00.0005+00",
        ),
        ("0100.0", pl.String, "0100.0"),
    ],
)
def test_keys_are_matched_by_the_text_that_the_database_prints(value: object, dtype: pl.DataType, text: str) -> None:
    assert frames.text(pl.Series([value, None], dtype=dtype)).to_list() == [text, None]


def test_sums_of_values_that_are_no_numbers_are_refused() -> None:
    from migrator.edges.databases.totals import grouped
    from migrator.errors import Refused

    with pytest.raises(Refused, match="column n cannot be added up"):
        grouped(pl.DataFrame({"by": [1], "n": ["many"]}), "by", ["n"])
