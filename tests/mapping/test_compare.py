from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.mapping import compare
from migrator.mapping.outcome import SourceRows
from migrator.mapping.schema import Column, Kind
from migrator.mapping.values import text
from tests.mapping.engine import a_table

TABLE = a_table(
    "t", id="integer", total="decimal", ratio="float", flag="boolean", born="date", at="datetime", seen="timestamp",
    name="text", doc="json", ip="inet", uid="uuid", made=Column("made", Kind.TEXT, generated=True),
)  # fmt: skip

MEANT = pl.DataFrame(
    {
        "id": [1, 2],
        "total": pl.Series([Decimal("1.50"), None], dtype=pl.Decimal(38, 18)),
        "ratio": [0.1, None],
        "flag": [True, None],
        "born": [date(2020, 1, 2), None],
        "at": pl.Series([datetime(2020, 1, 2, 3, 4, 5), None], dtype=pl.Datetime("us")),  # noqa: DTZ001
        "seen": pl.Series([datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=UTC), None], dtype=pl.Datetime("us", "UTC")),
        "name": ["2020-01-02T03:04:05Z", None],
        "doc": ['{"a":1.50,"b":[]}', None],
        "ip": ["127.0.0.3", None],
        "uid": ["6ba7b810-9dad-11d1-80b4-00c04fd430c8", None],
    }
)
#: The same rows as databases print them.
FOUND = pl.DataFrame(
    {
        "id": [2, 1],
        "total": pl.Series([None, Decimal("1.5")], dtype=pl.Decimal(38, 18)),
        "ratio": pl.Series([None, Decimal("0.1")], dtype=pl.Decimal(38, 18)),
        "flag": [None, 1],
        "born": [None, "2020-01-02"],
        "at": [None, "2020-01-02 03:04:05"],
        "seen": [None, "2020-01-02 03:04:05.000006+00"],
        "name": [None, "2020-01-02T03:04:05Z"],
        "doc": [None, '{"b": [], "a": 1.5}'],
        "ip": [None, "127.0.0.3/32"],
        "uid": [None, "6BA7B810-9DAD-11D1-80B4-00C04FD430C8"],
        "made": ["anything", "else"],
    }
)


def lines(meant: pl.DataFrame, found: pl.DataFrame) -> list[tuple[Any, ...]]:
    return compare.differences(meant, found, TABLE, ["id"]).rows()


def owned(frame: pl.DataFrame, user: str = "u") -> pl.DataFrame:
    return frame.with_columns(pl.lit(user).alias("__user"))


def hashes(frame: pl.DataFrame, name: str = "m") -> list[str]:
    return compare.user_hashes({name: (frame, TABLE)})["hash"].to_list()


def test_what_was_computed_equals_what_a_database_prints_of_it() -> None:
    assert lines(MEANT, FOUND) == []
    assert hashes(owned(MEANT)) == hashes(owned(FOUND))


@pytest.mark.parametrize(
    ("column", "planted", "shown"),
    [
        ("total", pl.Series([None, Decimal("1.51")], dtype=pl.Decimal(38, 18)), ("1.5", "1.51")),
        ("flag", pl.Series([None, 0]), ("true", "false")),
        ("flag", pl.Series([None, "2"]), ("true", "2")),
        ("born", pl.Series([None, "2020-01-03"]), ("2020-01-02", "2020-01-03")),
        ("born", pl.Series([None, "0000-00-00"]), ("2020-01-02", "0000-00-00")),
        ("seen", pl.Series([None, "2020-01-02 03:04:05+00"]), ("2020-01-02T03:04:05.000006Z", "2020-01-02T03:04:05Z")),
        ("name", pl.Series([None, "2020-01-02T03:04:05Z "]), ("2020-01-02T03:04:05Z", "2020-01-02T03:04:05Z ")),
        ("doc", pl.Series([None, '{"b":[],"a":"1.5"}']), ('{"a":1.50,"b":[]}', '{"b":[],"a":"1.5"}')),
        ("name", pl.Series([None, None], dtype=pl.String), ("2020-01-02T03:04:05Z", None)),
    ],
    ids=str,
)  # fmt: skip
def test_one_changed_value_is_one_difference_and_another_hash(
    column: str, planted: pl.Series, shown: tuple[str, str]
) -> None:
    changed = FOUND.with_columns(planted.alias(column))

    assert lines(MEANT, changed) == [("1", column, "value", *shown)]
    assert hashes(owned(changed)) != hashes(owned(FOUND))


def test_a_missing_and_an_extra_row_are_one_line_each() -> None:
    found = FOUND.with_columns(pl.Series("id", [3, 1]))

    assert lines(MEANT, found) == [("2", None, "missing", None, None), ("3", None, "extra", None, None)]


def test_only_columns_that_were_meant_are_compared_and_generated_ones_never() -> None:
    meant = MEANT.select("id", "name").with_columns(pl.lit("x").alias("made"))

    assert lines(meant, FOUND) == []


def test_a_key_of_several_columns_keeps_its_parts() -> None:
    table = a_table("t", primary=("a", "b"), a="text", b="integer", c="text")
    meant = pl.DataFrame({"a": ["x", "x"], "b": [1, 2], "c": ["p", "q"]})
    found = pl.DataFrame({"a": ["x", "x"], "b": [1, 2], "c": ["p", "r"]})

    told = compare.differences(meant, found, table, ["a", "b"])

    assert told.columns == ["a", "b", "column", "kind", "meant", "found"]
    assert told.rows() == [("x", "2", "c", "value", "q", "r")]


def test_rows_are_compared_by_their_keys_in_whatever_order_they_come() -> None:
    table = a_table("t", id="integer", name="text", doc="json")
    meant = pl.DataFrame({"id": [3, 1, 2], "name": ["c", "a", "b"], "doc": ['{"n":3}', '{"n":1}', '{"n":2}']})
    printed = meant.with_columns(pl.col("doc").str.replace(":", ": ", literal=True))
    swapped = printed.with_columns(printed["doc"].reverse())

    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        assert compare.differences(meant, printed[order], table, ["id"]).height == 0
        assert sorted(compare.differences(meant, swapped[order], table, ["id"])["id"]) == ["2", "3"]


def test_nothing_against_nothing_is_no_difference() -> None:
    assert lines(MEANT.clear(), FOUND.clear()) == []
    assert compare.user_hashes({}).rows() == []


def test_a_value_cannot_move_from_one_column_or_row_into_the_next_unseen() -> None:
    table = a_table("t", a="text", b="text")

    def of(*rows: tuple[str | None, str | None]) -> str:
        frame = pl.DataFrame(rows, schema={"a": pl.String, "b": pl.String}, orient="row")
        return str(compare.user_hashes({"m": (owned(frame), table)})["hash"].item())

    told = [of(("ab", "c")), of(("a", "bc")), of(("a", "b"), ("c", "d")), of(("a", "bc"), ("", "d")), of((None, "")), of(("", None)), of(("-", "")), of(("-", None))]  # fmt: skip
    assert len(set(told)) == len(told)


#: Texts in which anything stands that could be mistaken for what stands between them.
TEXTS = st.text('ab0~\x1c\x1d\x1e\x1f\n",', max_size=3)
ROWS = st.lists(st.tuples(TEXTS | st.none(), TEXTS | st.none()), min_size=1, max_size=3)


@settings(deadline=None, max_examples=150)
@given(ROWS, ROWS)
def test_two_hashes_are_one_only_where_the_rows_are_the_same(
    one: list[tuple[str | None, str | None]], other: list[tuple[str | None, str | None]]
) -> None:
    def of(rows: list[tuple[str | None, str | None]]) -> tuple[str, str]:
        frame = owned(pl.DataFrame(rows, schema={"a": pl.String, "b": pl.String}, orient="row"))
        source = compare.source_hashes({"t": SourceRows(frame, frame.height)})
        return str(compare.user_hashes({"m": (frame, table)})["hash"].item()), str(source["hash"].item())

    table = a_table("t", a="text", b="text")

    (one_target, one_source), (other_target, other_source) = of(one), of(other)

    is_same = Counter(one) == Counter(other)
    assert (one_target == other_target) == (one_source == other_source) == is_same
    assert len(one_target) == len(one_source) == 32


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.sampled_from("uvw"), TEXTS, TEXTS | st.none()), min_size=1, max_size=8))
def test_a_hash_does_not_depend_on_who_else_is_in_the_batch(rows: list[tuple[str, str, str | None]]) -> None:
    table = a_table("t", a="text", b="text")
    frame = pl.DataFrame(rows, schema={"__user": pl.String, "a": pl.String, "b": pl.String}, orient="row")

    together = compare.user_hashes({"m": (frame, table)}).rows()

    for user, hash_ in together:
        alone = frame.filter(pl.col("__user") == user)
        assert compare.user_hashes({"m": (alone, table), "n": (alone.clear(), table)}).rows() == [(user, hash_)]


@pytest.mark.parametrize(
    ("column", "odd"),
    [
        ("total", "NaN"),
        ("ratio", "Infinity"),
        ("flag", "2"),
        ("born", "0000-00-00"),
        ("at", "0000-00-00 00:00:00"),
        ("seen", "-infinity"),
    ],
)
def test_a_value_that_is_not_of_its_columns_kind_changes_nobody_elses_hash(column: str, odd: str) -> None:
    texts = FOUND.with_columns(text(FOUND[column])).with_columns(pl.Series("__user", ["2", "1"]))
    beside = texts.with_columns(pl.Series(column, [odd, texts[column][1]]), pl.Series("__user", ["odd", "1"]))

    (_, alone), (_, with_it), (_, of_odd) = (
        compare.user_hashes({"m": (frame, TABLE)}).row(0) for frame in (texts, beside, beside.reverse())
    )
    odd_alone = compare.user_hashes({"m": (beside.head(1), TABLE)})["hash"].item()

    assert alone == with_it == of_odd == hashes(owned(MEANT.head(1)))[0]
    assert odd_alone not in (hashes(owned(FOUND.head(1)))[0], alone)


def test_a_text_that_is_no_date_is_never_taken_for_one() -> None:
    table = a_table("t", born="date")
    days = pl.DataFrame({"born": [date(2020, 1, 1)]})
    number = days.select(days["born"].to_physical().cast(pl.String))  # as days are counted

    told = [compare.user_hashes({"m": (owned(frame), table)})["hash"].item() for frame in (days, number)]

    assert told[0] != told[1]


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from("uv"), st.text(), st.none() | st.text()), min_size=1, max_size=8),
    st.randoms(use_true_random=False),
)
def test_a_hash_does_not_depend_on_the_order_of_rows_columns_or_mappings(
    rows: list[tuple[str, str, str | None]], chance: Any
) -> None:
    table, other = a_table("t", a="text", b="text"), a_table("s", a="text", b="text")
    frame = pl.DataFrame(rows, schema={"__user": pl.String, "a": pl.String, "b": pl.String}, orient="row")
    mixed = list(rows)
    chance.shuffle(mixed)
    shuffled = pl.DataFrame(mixed, schema=frame.schema, orient="row").select("b", "__user", "a")

    one = compare.user_hashes({"m": (frame, table), "n": (frame, other)})
    two = compare.user_hashes({"n": (shuffled, other), "m": (shuffled, table)})

    assert one.equals(two)
    assert one["user_key"].to_list() == sorted(set(frame["__user"]))


def test_a_source_hash_sees_every_value_lists_and_joined_rows_too() -> None:
    def of(frame: pl.DataFrame) -> str:
        return str(compare.source_hashes({"m": SourceRows(frame, frame.height)})["hash"].item())

    base = pl.DataFrame(
        {"__user": ["u"], "__key": ["1"], "id": [1], "tags": [["a", None]], "lines": [[{"x": 1, "y": "p"}]]}
    )
    others = [
        base.with_columns(pl.Series("id", [2])),
        base.with_columns(pl.Series("tags", [["a"]])),
        base.with_columns(pl.Series("tags", [["a", ""]])),
        base.with_columns(pl.Series("lines", [[{"x": 1, "y": None}]])),
        base.with_columns(pl.Series("lines", [[{"x": 1, "y": "p"}] * 2])),
        base.with_columns(pl.Series("tags", [["a\x1e\x1c"]])),
        base.with_columns(pl.Series("tags", [["a", "\x1c"]])),
    ]

    told = [of(frame) for frame in (base, *others)]
    assert len(set(told)) == len(told)
    assert of(base) == of(base.with_columns(pl.Series("id", ["1"])))
