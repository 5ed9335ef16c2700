"""What a proposal is made of: words, looks of values, likely columns, YAML that reads as it was meant."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.mapping.problems import Notes
from migrator.mapping.proposing import columns, rules, words, writing
from migrator.mapping.proposing.columns import Candidate
from migrator.mapping.proposing.facts import Seen
from migrator.mapping.proposing.wanted import meant
from migrator.mapping.reading.nodes import compose
from migrator.mapping.schema import Column, Kind


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("first_name", ("first", "name")),
        ("firstName", ("first", "name")),
        ("firstname", ("first", "name")),
        ("t_order_items", ("t", "order", "items")),
        ("categories", ("category",)),
        ("HTTPStatus2", ("http", "status", "2")),
    ],
)
def test_a_name_is_taken_apart_into_its_words(name: str, taken: tuple[str, ...]) -> None:
    assert words.words(name) == taken


def likely(wanted: str, there: str, around: str = "") -> float:
    return words.likeness(words.words(wanted), words.words(there), words.words(around))


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        ("phone", "mobile"),
        ("password_hash", "pwd"),
        ("created_at", "reg_time"),
        ("number", "order_sn"),
        ("quantity", "num"),
        ("birth_date", "dob"),
        ("postal_code", "zip"),
        ("family_name", "lastname"),
    ],
)
def test_different_words_for_one_thing_are_alike(wanted: str, there: str) -> None:
    assert likely(wanted, there, "order") > 0.5 > likely(wanted, "weight", "order")


def test_a_word_that_stands_in_every_second_name_makes_nothing_alike() -> None:
    assert likely("family_name", "product_name") < 0.42
    assert likely("updated_at", "created_at") < 0.42


@given(st.text("abcdefg_", min_size=1, max_size=12), st.text("abcdefg_", min_size=1, max_size=12))
def test_likeness_is_a_share_and_a_name_is_like_itself(one: str, other: str) -> None:
    assert 0 <= likely(one, other) <= 1
    if words.words(one):
        assert likely(one, one) > 0.99


def seen(values: list[Any], kind: Kind = Kind.TEXT, name: str = "column") -> Seen:
    return Seen.of(Column(name, kind), pl.Series(name, values))


@pytest.mark.parametrize(
    ("values", "kind", "look"),
    [
        ([1614556800, 0, 1714556800], Kind.INTEGER, "epoch_s"),
        ([1614556800000], Kind.INTEGER, "epoch_ms"),
        (["2021-03-01 08:00:00", "0000-00-00 00:00:00"], Kind.TEXT, "moment"),
        (["2021-03-01"], Kind.TEXT, "date"),
        (["a@b.co", "C.D@e.org"], Kind.TEXT, "email"),
        (['{"a": 1}', "[]"], Kind.TEXT, "json"),
        (['a:1:{s:1:"x";i:1;}'], Kind.TEXT, "php"),
        (["Y", "N", "Y"], Kind.TEXT, "flag"),
        ([0, 1, 1], Kind.INTEGER, "flag"),
        (["1,2", "3", "4, 5,"], Kind.TEXT, "listed"),
        (["5f4dcc3b5aa765d61d8327deb882cf99:xy"], Kind.TEXT, "hash"),
    ],
)
def test_values_say_what_they_are(values: list[Any], kind: Kind, look: str) -> None:
    assert look in seen(values, kind).looks


def test_ids_are_no_times_and_years_no_flags() -> None:
    assert seen([1, 2, 3], Kind.INTEGER).unit is None
    assert "flag" not in seen([2020, 2021], Kind.INTEGER).looks


def test_zero_dates_and_blanks_say_nothing() -> None:
    assert seen(["", "0000-00-00", None]).empty


def proposed(wanted: Column, values: list[Any], kind: Kind = Kind.TEXT, name: str = "column") -> rules.Proposed:
    return rules.rule(wanted, Candidate(name, seen(values, kind, name)))


def steps(wanted: Column, values: list[Any], kind: Kind = Kind.TEXT, name: str = "column") -> list[Any]:
    return list(proposed(wanted, values, kind, name).rule.get("transform", []))


def test_steps_follow_from_what_was_seen() -> None:
    moment, money = Column("paid_at", Kind.TIMESTAMP), Column("total", Kind.DECIMAL, scale=2)

    assert steps(moment, [0, 1614556800], Kind.INTEGER) == [{"null_if": 0}, {"epoch": "s"}]
    assert steps(moment, ["2021-03-01 08:00:00"]) == [{"datetime": {"timezone": "UTC"}}]
    assert steps(money, [1290], Kind.INTEGER, "total_fee") == [{"divide": 100}]
    assert steps(money, ["12.90"]) == ["trim", "decimal"]
    assert steps(Column("open", Kind.BOOLEAN), ["Y", "N"]) == [{"boolean": {"true": ["Y"], "false": ["N"]}}]
    assert steps(Column("extra", Kind.JSON), ["a:0:{}", 'a:1:{i:0;s:1:"x";}']) == ["php"]


def test_only_words_that_are_alike_are_mapped() -> None:
    status = Column("status", Kind.ENUM, values=("open", "cancelled"))
    found = proposed(status, ["canceled", "zz", "canceled"])

    assert found.rule["transform"] == [{"map": {"canceled": "cancelled", "zz": "???"}}]
    assert found.question == "? zz: open"


def test_a_flag_that_names_one_of_two_words_says_both() -> None:
    status = Column("status", Kind.ENUM, values=("disabled", "active"))

    assert steps(status, [0, 1], Kind.INTEGER, "is_active") == [{"map": {"0": "disabled", "1": "active"}}]


def test_what_no_value_fits_is_not_assigned_however_alike_the_name() -> None:
    wanted = Column("created_at", Kind.TIMESTAMP)

    assert columns.score(wanted, Candidate("created_at", seen(["no", "time"], name="created_at"))) == 0
    assert columns.score(wanted, Candidate("created_at", seen(["2021-03-01 08:00:00"], name="created_at"))) > 0.9


def test_each_column_is_given_once_to_the_likeliest() -> None:
    wanted = [Column("total", Kind.DECIMAL, scale=2), Column("paid", Kind.DECIMAL, scale=2)]
    there = [Candidate(name, seen([1.5, 2.5], Kind.FLOAT, name)) for name in ("money_paid", "total_fee")]

    assert {name: one.ref for name, one in columns.assign(wanted, there).items()} == {
        "total": "total_fee",
        "paid": "money_paid",
    }


def test_text_columns_are_meant_as_their_names_and_checks_say() -> None:
    assert meant(Column("created_at", Kind.TEXT)).kind is Kind.TIMESTAMP
    assert meant(Column("settings", Kind.TEXT)).kind is Kind.JSON
    assert meant(Column("status", Kind.TEXT, allowed=("a", "b"))).values == ("a", "b")
    assert meant(Column("status", Kind.TEXT)).kind is Kind.TEXT


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_every_text_is_written_so_that_it_is_read_again(text: str) -> None:
    notes = Notes()
    node = compose(f"k: {writing.word(text)}\n", "f", notes)

    assert notes.found == []
    assert node is not None and node.entries["k"].text == text  # type: ignore[union-attr]


def test_what_is_too_long_for_a_line_goes_under_its_key() -> None:
    rule = {"from": "a" * 60, "transform": [{"map": {f"value {n}": f"word {n}" for n in range(12)}}]}
    lines = writing.block("field", rule, indent=2, comment="? really")

    assert lines[0] == "  field:    # ? really"
    assert all(len(line) <= writing.WIDTH for line in lines)
