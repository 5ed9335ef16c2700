from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.mapping import fit
from migrator.mapping.schema import Column, Kind
from migrator.mapping.values import Values, dtype_of, literal, of, text
from tests.mapping.engine import outcome

FAILED = "FAILED"
NOON = datetime(2020, 1, 2, 12, 0, tzinfo=UTC)
MIDNIGHT = datetime(2020, 1, 2, tzinfo=UTC)


def a_column(kind: str, **facts: Any) -> Column:
    return Column("c", Kind(kind), **facts)


def fitted(value: Any, column: Column, dialect: str = "postgresql") -> Any:
    return outcome(fit.fit(value if isinstance(value, Values) else of(pl.Series([value])), column, dialect))[0]


@pytest.mark.parametrize(
    ("value", "column", "made"),
    [
        (32_767, a_column("integer", bits=16), 32_767),
        (32_768, a_column("integer", bits=16), FAILED),
        (-(2**31) - 1, a_column("integer", bits=32), FAILED),
        (255, a_column("integer", bits=8, unsigned=True), 255),
        (256, a_column("integer", bits=8, unsigned=True), FAILED),
        (-1, a_column("integer", bits=64, unsigned=True), FAILED),
        (2**63 - 1, a_column("integer", bits=64, unsigned=True), 2**63 - 1),
        (Decimal("2.0"), a_column("integer"), 2),
        (Decimal("2.5"), a_column("integer"), FAILED),
        ("12", a_column("integer"), 12),
        ("012", a_column("integer"), FAILED),
        (" 12", a_column("integer"), FAILED),
        ("9223372036854775808", a_column("integer"), FAILED),
        (True, a_column("integer"), 1),
        (Decimal("12.34"), a_column("decimal", precision=12, scale=2), "12.34"),
        (Decimal("12.345"), a_column("decimal", precision=12, scale=2), FAILED),
        (Decimal("9999999999.99"), a_column("decimal", precision=12, scale=2), "9999999999.99"),
        (10**10, a_column("decimal", precision=12, scale=2), FAILED),
        (-(10**10), a_column("decimal", precision=12, scale=2), FAILED),
        ("1.50", a_column("decimal", precision=12, scale=2), "1.5"),
        ("1e5", a_column("decimal"), FAILED),
        (7, a_column("decimal", precision=3), "7"),
        (Decimal("7.5"), a_column("decimal", precision=3), FAILED),
        (Decimal("0.1"), a_column("float"), 0.1),
        (Decimal("0.30000000000000004"), a_column("float"), 0.1 + 0.2),
        (Decimal("0.30000000000000004"), a_column("float", declared="real"), FAILED),
        (Decimal("0.300000000000000041"), a_column("float"), FAILED),
        (0, a_column("boolean"), False),
        (2, a_column("boolean"), FAILED),
        ("yes", a_column("boolean"), FAILED),
        ("äöü", a_column("text", length=3), "äöü"),
        ("äöü ", a_column("text", length=3), FAILED),
        ("a\x00b", a_column("text"), FAILED),
        ("a ", a_column("text", length=2, declared="character(2)"), FAILED),
        ("a ", a_column("text", length=2, declared="character varying(2)"), "a "),
        (12, a_column("text"), "12"),
        (Decimal("12.50"), a_column("text"), "12.5"),
        (NOON, a_column("text"), "2020-01-02T12:00:00Z"),
        (NOON.replace(microsecond=5), a_column("text"), "2020-01-02T12:00:00.000005Z"),
        (date(2020, 1, 2), a_column("text"), "2020-01-02"),
        (b"a", a_column("text"), FAILED),
        ("a", a_column("binary"), FAILED),
        (b"a", a_column("binary"), b"a"),
        ("red", a_column("enum", values=("red",)), "red"),
        ("Red", a_column("enum", values=("red",)), FAILED),
        ("6BA7B810-9DAD-11D1-80B4-00C04FD430C8", a_column("uuid"), "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ("6ba7b8109dad11d180b400c04fd430c8", a_column("uuid"), FAILED),
        ("127.0.0.3", a_column("inet"), "127.0.0.3"),
        ("10.0.0.0/8", a_column("inet"), "10.0.0.0/8"),
        ("::1/128", a_column("inet"), "::1"),
        ("127.0.0.300", a_column("inet"), FAILED),
        ("unknown", a_column("inet"), FAILED),
        ('{"a": 1.50}', a_column("json"), '{"a":1.50}'),
        ("{bad", a_column("json"), FAILED),
        ('"\\u0000"', a_column("json"), FAILED),
        ('"\\\\u0000"', a_column("json"), '"\\\\u0000"'),
        ("2020-01-02", a_column("date"), date(2020, 1, 2)),
        ("2020-01-02 00:00:00", a_column("date"), date(2020, 1, 2)),
        ("2.1.2020", a_column("date"), FAILED),
        (MIDNIGHT, a_column("date"), date(2020, 1, 2)),
        (NOON, a_column("date"), FAILED),
        ("2020-01-02 12:00:00", a_column("datetime"), NOON.replace(tzinfo=None)),
        ("2020-01-02 12:00:00+00", a_column("timestamp"), NOON),
        ("2020-01-02 12:00:00", a_column("timestamp"), FAILED),
        (date(2020, 1, 2), a_column("timestamp"), FAILED),
        (NOON, a_column("timestamp"), NOON),
        ("23:59:59", a_column("time"), "23:59:59"),
        ("23:59", a_column("time"), "23:59:00"),
        ("12:34:56.500", a_column("time"), "12:34:56.5"),
        ("12:34:56.5", a_column("time", scale=0), FAILED),
        ("24:00:00", a_column("time"), "24:00:00"),
        ("24:00:00.1", a_column("time"), FAILED),
        ("-01:00:00", a_column("time"), FAILED),
        ("[1,2)", a_column("other"), "[1,2)"),
    ],
)  # fmt: skip
def test_a_value_fits_only_if_nothing_is_lost(value: Any, column: Column, made: Any) -> None:
    assert fitted(value, column) == made


def test_a_list_or_an_object_fits_into_json_and_into_text() -> None:
    tree = literal([1, {"a": Decimal("1.50")}])

    assert fitted(tree, a_column("json")) == fitted(tree, a_column("text")) == '[1,{"a":1.50}]'
    assert fitted(tree, a_column("text", length=3)) == FAILED


@pytest.mark.parametrize(
    ("value", "column", "dialect", "made"),
    [
        ("18446744073709551615", a_column("integer", unsigned=True), "mysql", 2**64 - 1),
        (Decimal(2**64 - 1), a_column("integer", unsigned=True), "mysql", 2**64 - 1),
        ("18446744073709551616", a_column("integer", unsigned=True), "mysql", FAILED),
        ("18446744073709551615", a_column("integer"), "mysql", FAILED),
        ("838:59:59", a_column("time"), "mysql", "838:59:59"),
        ("-838:59:59.0", a_column("time"), "mysql", "-838:59:59"),
        ("838:59:59.1", a_column("time"), "mysql", FAILED),
        ("-00:00:00", a_column("time"), "mysql", "00:00:00"),
        ("1" * 30, a_column("decimal", precision=30, scale=0), "postgresql", "1" * 30),
        ("1" * 31, a_column("decimal", precision=30, scale=0), "postgresql", FAILED),
        (f"0.{'1' * 25}0", a_column("decimal", precision=30, scale=25), "mysql", f"0.{'1' * 25}"),
        (f"0.{'1' * 26}", a_column("decimal", precision=30, scale=25), "mysql", FAILED),
        ("1" * 30, a_column("decimal"), "sqlite", FAILED),
        ("NaN", a_column("decimal", precision=9), "postgresql", "NaN"),
        ("Infinity", a_column("decimal", precision=9), "postgresql", FAILED),
        ("Infinity", a_column("decimal"), "postgresql", "Infinity"),
        ("NaN", a_column("decimal", precision=9), "mysql", FAILED),
        ("1" + "0" * 300, a_column("float"), "postgresql", 1e300),
        ("1" * 18, a_column("float"), "postgresql", FAILED),
        ("1" + "0" * 309, a_column("float"), "postgresql", FAILED),
        ("-Infinity", a_column("float"), "sqlite", -math.inf),
        ("-Infinity", a_column("float"), "mysql", FAILED),
        ("0.1", a_column("float", declared="float"), "mysql", 0.1),
        ("16777217", a_column("float", declared="float"), "mysql", FAILED),
        ("a\x00b", a_column("text"), "mysql", "a\x00b"),
        ('"\\u0000"', a_column("json"), "sqlite", '"\\u0000"'),
        ("123456789012345678901", a_column("json"), "sqlite", FAILED),
        ("[123456789012345678901]", a_column("json"), "sqlite", "[123456789012345678901]"),
    ],
)  # fmt: skip
def test_what_fits_is_what_this_database_holds(value: Any, column: Column, dialect: str, made: Any) -> None:
    assert fitted(value, column, dialect) == made


def test_sqlite_keeps_decimals_as_binary_floats_so_sixteen_digits_do_not_fit() -> None:
    column = a_column("decimal", precision=30, scale=4)

    assert fitted(Decimal("12345678901.2345"), column, "sqlite") == "12345678901.2345"
    assert fitted(Decimal("123456789012.3456"), column, "sqlite") == FAILED
    assert fitted(Decimal("123456789012.3456"), column, "postgresql") == "123456789012.3456"


def test_one_value_that_does_not_fit_leaves_the_others_alone() -> None:
    made = fit.fit(of(pl.Series(["1", "x", None, "3"])), a_column("integer"), "sqlite")

    assert outcome(made) == [1, FAILED, None, 3]
    assert made.note == "it is no whole number of 64 bits"


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize(
    "series",
    [
        pl.Series([2**63 - 1, None]),
        pl.Series([Decimal("99999999999999999999.999999999999999999"), None], dtype=pl.Decimal(38, 18)),
        pl.Series([True, None]),
        pl.Series([b"\xff", None]),
        pl.Series([date(1, 1, 1), None]),
        pl.Series([NOON.replace(tzinfo=None), None]),
        pl.Series([NOON, None]),
        pl.Series(["\x00{", "٣", "99999999999999999999999999999999999999999", "0000-00-00", None]),
        pl.Series([None]),
        pl.Series([], dtype=pl.String),
    ],
    ids=lambda series: str(series.dtype),
)
def test_whatever_meets_whatever_column_gives_its_frame_type_and_never_an_error(kind: Kind, series: pl.Series) -> None:
    column = a_column(kind, precision=12, scale=2, length=5, bits=16, values=("a",))

    made = fit.fit(of(series), column, "sqlite")

    assert made.values.dtype == dtype_of(kind)
    assert made.values[-1] is None if len(series) else len(made) == 0


@settings(deadline=None, max_examples=40)
@given(st.decimals(-(10**12), 10**12, places=6), st.integers(1, 18), st.integers(0, 6))
def test_a_decimal_that_fits_is_the_same_number_and_one_that_does_not_would_have_lost_digits(
    number: Decimal, precision: int, scale: int
) -> None:
    if scale > precision:
        return
    made = fitted(number, a_column("decimal", precision=precision, scale=scale))

    fits = number == round(number, scale) and abs(number) < Decimal(10) ** (precision - scale)
    assert (made != FAILED) == fits
    if fits:
        assert Decimal(made) == number


@settings(deadline=None, max_examples=40)
@given(st.decimals(-(10**19), 10**19, places=4))
def test_what_fits_sqlite_comes_back_from_a_binary_float_unchanged(number: Decimal) -> None:
    made = fitted(number, a_column("decimal", precision=38, scale=4), "sqlite")

    if made != FAILED:
        assert Decimal(repr(float(made))) == number


@settings(deadline=None, max_examples=40)
@given(st.lists(st.none() | st.text() | st.from_regex(r"\A-?[0-9]{1,4}(\.[0-9]{1,3})?\Z"), min_size=1))
def test_a_text_that_fits_a_number_column_is_canonical_text_of_that_number(texts: list[str | None]) -> None:
    series = pl.Series(texts, dtype=pl.String)

    made = fit.fit(of(series), a_column("integer"), "sqlite")

    for before, after in zip(texts, text(made.values).to_list(), strict=True):
        assert after is None or after == before or before == "-0"


@pytest.mark.parametrize(
    ("places", "micros", "fits"), [(0, 0, True), (0, 500_000, False), (3, 500, False), (3, 5_000, True)]
)
def test_a_time_is_never_rounded_to_what_its_column_keeps(places: int, micros: int, fits: bool) -> None:
    moment = NOON.replace(microsecond=micros)

    for kind, value in (("timestamp", moment), ("datetime", moment.replace(tzinfo=None))):
        made = fitted(value, a_column(kind, scale=places, declared="datetime"), "mysql")
        assert (made != FAILED) == fits
