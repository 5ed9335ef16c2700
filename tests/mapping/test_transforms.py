from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid5 as standard_uuid5

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.edges.keys import ProjectKey
from migrator.errors import WrongInput
from migrator.mapping import ids, jsons, php
from migrator.mapping.environment import Env
from migrator.mapping.outcome import Context
from migrator.mapping.registry import TRANSFORMS
from migrator.mapping.schema import Kind
from tests.mapping.engine import PLAN, outcome, stepped

FAILED = "FAILED"

#: One good set of arguments for every word of one column.
SAMPLES: dict[str, Any] = {
    "trim": None,
    "collapse_spaces": None,
    "lower": None,
    "upper": None,
    "replace": {"find": "a", "with": "b"},
    "extract": {"regex": "([a-z])"},
    "split": {"separator": ",", "take": "all"},
    "concat": {"separator": " "},
    "coalesce": "warn",
    "truncate": 3,
    "format": "U-{}",
    "normalize": None,
    "strip_control": None,
    "repair_encoding": None,
    "unescape_html": None,
    "null_if": ["", 0],
    "matches": "[a-z]+",
    "one_of": ["a", 1],
    "between": [0, 100],
    "email": None,
    "phone": "CN",
    "integer": None,
    "decimal": {"thousands": ",", "rounding": "half_up", "scale": 2},
    "boolean": None,
    "multiply": Decimal("1.5"),
    "divide": 3,
    "round": {"digits": 1},
    "date": {"time": "drop"},
    "datetime": {"timezone": "Europe/London", "overlap": "earlier", "gap": "shift"},
    "epoch": {"unit": "ms", "between": ["2005-01-01", "$plan.as_of"]},
    "json": None,
    "php": None,
    "json_get": "a.0",
    "map": {"a": 1, "b": None, "else": "keep"},
    "lookup": {"file": "c.csv", "match": "name", "take": "code"},
    "hash": "sha256",
    "call": "names:title",
    "password_hash": {"forms": {"md5": "(?<hash>[0-9a-f]{32})"}},
    "uuid5": "people",
    "range": {"bounds": "[]"},
}
COUNTRIES = {"c.csv": (("name", "code"), (("EIRE", "IE"), ("Germany", "DE")))}


def test_every_word_has_a_sample_a_sentence_and_an_argument_check() -> None:
    assert set(SAMPLES) == set(TRANSFORMS)
    for name, transform in TRANSFORMS.items():
        assert transform.about.endswith("."), name
        assert transform.check_args(SAMPLES[name]) is None, name
        assert isinstance(transform.check_args({} if name == "map" else {"nonsense": 1}), str), name


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(sorted(SAMPLES)),
    st.lists(
        st.one_of(
            st.none(),
            st.text(),
            st.from_regex(r"\A[-+]?[0-9]{1,25}(\.[0-9]{0,20})?\Z"),
            st.dates().map(str),
            st.datetimes().map(str),
            st.sampled_from(
                ["0000-00-00 00:00:00", "a:1:{", "{", "NaN", "1e999", '"\\ud800"', "\x00", "９", "s:9999999999:"]
            ),
        ),
        max_size=6,
    ),
)
def test_no_text_whatever_makes_a_step_raise_and_null_stays_null(name: str, texts: list[str | None]) -> None:
    series = pl.Series(texts, dtype=pl.String)
    columns = [series, series] if name == "range" else [series]

    made = stepped(name, SAMPLES[name], *columns, **COUNTRIES)

    assert len(made) == len(texts)
    for place, before in enumerate(texts):
        failed = made.failed is not None and made.failed[place]
        assert not (failed and before is None)
        assert not (failed and made.values[place] is not None)
        if before is None:
            assert made.values[place] is None


@pytest.mark.parametrize(
    "series",
    [
        pl.Series([2**63 - 1, -(2**63), None]),
        pl.Series([Decimal("99999999999999999999.999999999999999999"), None]).cast(pl.Decimal(38, 18)),
        pl.Series([True, None]),
        pl.Series([b"\xff\x00", None]),
        pl.Series([date(1, 1, 1), date(9999, 12, 31), None]),
        pl.Series([datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59), None], dtype=pl.Datetime("us")),  # noqa: DTZ001
        pl.Series([datetime(9999, 12, 31, tzinfo=UTC), None], dtype=pl.Datetime("us", "UTC")),
        pl.Series([], dtype=pl.String),
        pl.Series([None, None]),
    ],
    ids=lambda series: str(series.dtype),
)
def test_no_typed_value_makes_a_step_raise(series: pl.Series) -> None:
    for name, args in SAMPLES.items():
        columns = [series, series] if name == "range" else [series]
        assert len(stepped(name, args, *columns, **COUNTRIES)) == len(series)


@pytest.mark.parametrize(
    ("name", "args", "given", "made"),
    [
        ("trim", None, ["\u00a0 a\u3000\n"], ["a"]),
        ("collapse_spaces", None, ["a \t\n b"], ["a b"]),
        ("replace", {"find": "a", "with": "$1"}, ["banana"], ["b$1n$1n$1"]),
        ("replace", {"find": "(a)n", "with": "<$1>", "regex": True}, ["banana"], ["b<a><a>a"]),
        ("extract", {"regex": "([0-9]+)"}, ["a12", "b"], ["12", FAILED]),
        ("split", {"separator": " ", "take": "first"}, ["a b c"], ["a"]),
        ("split", {"separator": " ", "take": "rest"}, ["a b c", "a"], ["b c", None]),
        ("split", {"separator": " ", "take": "last"}, ["a b c"], ["c"]),
        ("split", {"separator": " ", "take": 1}, ["a b c", "a"], ["b", None]),
        ("split", {"separator": "\n"}, ['1 "High" St\nFlat 2', None], ['["1 \\"High\\" St","Flat 2"]', None]),
        ("format", "USR-{}", [7], ["USR-7"]),
        ("normalize", None, ["e\u0301"], ["\u00e9"]),
        ("unescape_html", None, ["A&amp;B", "&"], ["A&B", "&"]),
        ("null_if", [0, ""], ["0", "", "x"], [None, None, "x"]),
        ("null_if", 0, [0, 1], [None, 1]),
        ("matches", "a|ab", ["ab", "abc"], ["ab", FAILED]),
        ("one_of", [1, "b"], ["1", "b", "c"], ["1", "b", FAILED]),
        ("between", [0, 10], [0, 10, 11], [0, 10, FAILED]),
        ("between", [0, None], ["12.5", "-1", "x"], ["12.5", FAILED, FAILED]),
        ("between", ["2010-01-01", "$plan.as_of"], ["2010-01-01", "2024-01-02"], ["2010-01-01", FAILED]),
        ("round", {"digits": 0}, ["99999999999999999999.9", "-2.5"], [FAILED, "-3"]),
        ("round", {"digits": 1, "mode": "down"}, ["-2.59", "2.59"], ["-2.5", "2.5"]),
        ("decimal", {"rounding": "half_up", "scale": 0}, ["99999999999999999999.9"], [FAILED]),
        (
            "multiply",
            Decimal("0.1"),
            ["0.000000000000000001", "99999999999999999999"],
            [FAILED, "9999999999999999999.9"],
        ),
        ("multiply", 10, ["99999999999999999999", "1"], [FAILED, "10"]),
        ("divide", 3, ["9", "10", "99999999999999999999"], ["3", FAILED, "33333333333333333333"]),
        ("divide", Decimal("0.25"), ["1", "99999999999999999999"], ["4", FAILED]),
        ("epoch", {"unit": "s", "between": ["2023-11-14T22:13:20.5", None]}, [1_700_000_000], [FAILED]),
        ("collapse_spaces", None, ["a b", "\u3000a\t", ""], ["a b", " a ", ""]),
        ("email", None, ["a@b.co", "not-an-email", "a@b", " a@b.co"], ["a@b.co", FAILED, FAILED, FAILED]),
        ("phone", "CN", ["13812345678", "+49 30 123456", "abc"], ["+8613812345678", "+4930123456", FAILED]),
        ("integer", None, ["12", "1.0", "1.5", "9" * 20, " 1"], [12, 1, FAILED, FAILED, FAILED]),
        ("decimal", None, ["12.50", "1e5", "1,5"], ["12.5", FAILED, FAILED]),
        ("decimal", {"thousands": ","}, ["1,234.5", "1,23"], ["1234.5", FAILED]),
        ("boolean", None, ["Yes", "0", "maybe"], [True, False, FAILED]),
        ("boolean", {"true": ["J"], "false": ["N"]}, ["J", "N", "1"], [True, False, FAILED]),
        ("divide", 100, [12345], ["123.45"]),
        ("divide", 3, [9, 10], ["3", FAILED]),
        ("multiply", 10, [Decimal(99999999999999999999), Decimal("0.1")], [FAILED, "1"]),
        ("round", {"digits": 1}, ["1.25", "-1.25"], ["1.3", "-1.3"]),
        ("round", {"digits": 1, "mode": "half_even"}, ["1.25"], ["1.2"]),
        ("json_get", "a.1", ['{"a":[1,2.50]}', "{}"], ["2.5", None]),
        ("map", {"1": "on", "0": None}, [1, 0, 2, None], ["on", None, FAILED, None]),
        ("map", {"1": "on", "else": "off"}, [1, 2, None], ["on", "off", None]),
        ("map", {"1": "on", "else": "keep"}, [1, 2], ["on", "2"]),
        ("lookup", SAMPLES["lookup"], ["EIRE", "Atlantis", None], ["IE", FAILED, None]),
    ],
)
def test_a_word_does_what_it_says(name: str, args: Any, given: list[Any], made: list[Any]) -> None:
    assert outcome(stepped(name, args, given, **COUNTRIES)) == made


def test_concat_leaves_nulls_out_and_nothing_but_nulls_is_null() -> None:
    made = stepped("concat", {"separator": " "}, ["Ann", None, None], ["Lee", "Lee", None])

    assert outcome(made) == ["Ann Lee", "Lee", None]


def test_coalesce_warn_names_the_column_a_value_came_from() -> None:
    made = stepped("coalesce", "warn", ["a", None], ["b", "c"])

    assert outcome(made) == ["a", "c"]
    assert made.changed is not None and made.changed.to_list() == [False, True]
    assert made.note[1] == "taken from column 2"


def test_a_repair_that_changes_a_value_is_a_warning_and_what_is_right_is_left_alone() -> None:
    made = stepped("repair_encoding", None, ["schÃ¶n", "Müller", "文字化け", "“quoted”", "A&amp;B"])

    assert outcome(made) == ["schön", "Müller", "文字化け", "“quoted”", "A&amp;B"]
    assert made.changed is not None and made.changed.to_list() == [True, False, False, False, False]


def test_truncate_warns_only_where_something_was_cut_off() -> None:
    made = stepped("truncate", 2, ["ab", "abc"])

    assert outcome(made) == ["ab", "ab"]
    assert made.changed is not None and made.changed.to_list() == [False, True]


# ---- dates and times ----------------------------------------------------------------------------------------------


def test_a_date_takes_midnight_and_no_other_time_of_day() -> None:
    given = [
        "1953-06-06",
        "1953-06-06 00:00:00",
        "1953-06-06 10:00:00",
        "0000-00-00",
        "2-3-0",
        " 1980-02-03",
        "2011-02-30",
    ]

    assert outcome(stepped("date", None, given)) == [date(1953, 6, 6), date(1953, 6, 6)] + [FAILED] * 5
    assert outcome(stepped("date", {"time": "drop"}, given))[2] == date(1953, 6, 6)


def test_a_local_time_becomes_an_instant() -> None:
    made = stepped(
        "datetime", {"timezone": "Asia/Shanghai"}, ["2021-03-01 08:00:00", "2021-03-01T08:00:00.5", "2021-03-01"]
    )

    assert outcome(made) == [
        datetime(2021, 3, 1, tzinfo=UTC),
        datetime(2021, 3, 1, microsecond=500_000, tzinfo=UTC),
        FAILED,
    ]


def test_an_hour_that_comes_twice_or_never_fails_unless_the_mapping_says_which() -> None:
    given = ["2011-10-30 01:30:00", "2011-03-27 01:30:00"]

    assert outcome(stepped("datetime", {"timezone": "Europe/London"}, given)) == [FAILED, FAILED]
    later = stepped("datetime", {"timezone": "Europe/London", "overlap": "later", "gap": "shift"}, given)
    assert outcome(later) == [datetime(2011, 10, 30, 1, 30, tzinfo=UTC), datetime(2011, 3, 27, 1, 30, tzinfo=UTC)]


def test_milliseconds_in_a_column_of_seconds_fail_instead_of_landing_in_the_year_55840() -> None:
    assert outcome(stepped("epoch", "s", [1_700_000_000_000, 1_700_000_000])) == [
        FAILED,
        datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
    ]


def test_an_epoch_has_to_lie_in_its_window() -> None:
    window = {"unit": "ms", "between": ["2005-01-01", "$plan.as_of"]}

    made = outcome(stepped("epoch", window, [1_300_000_000_000, 1_300_000_000, 1_800_000_000_000]))

    assert made == [datetime(2011, 3, 13, 7, 6, 40, tzinfo=UTC), FAILED, FAILED]


# ---- JSON and PHP -------------------------------------------------------------------------------------------------


def test_json_keeps_its_digits_and_one_row_never_gets_the_keys_of_another() -> None:
    given = [
        '{"a": 1.50, "b": 12345678901234567890.123456789}',
        '{"theme":"dark"},{"lang":"en"',
        '{"a":1,"a":2}',
        "NaN",
    ]

    made = stepped("json", None, given)

    assert made.kind is Kind.JSON
    assert outcome(made) == ['{"a":1.50,"b":12345678901234567890.123456789}', FAILED, FAILED, FAILED]


def test_half_of_a_character_in_json_fails_alone() -> None:
    assert outcome(stepped("json", None, ['"\\ud800"', '"\\ud83d\\ude00"'])) == [FAILED, '"😀"']


def _serialized(value: Any) -> str:
    if value is None:
        return "N;"
    if isinstance(value, bool):
        return f"b:{int(value)};"
    if isinstance(value, int):
        return f"i:{value};"
    if isinstance(value, str):
        return f's:{len(value.encode())}:"{value}";'
    pairs = enumerate(value) if isinstance(value, list) else value.items()
    inner = "".join(_serialized(key) + _serialized(item) for key, item in pairs)
    return f"a:{len(value)}:{{{inner}}}"


_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text().filter(lambda key: not key.isdigit()), inner, min_size=1),
)


@settings(deadline=None, max_examples=50)
@given(_TREES)
def test_what_php_serialized_is_read_as_it_was(tree: Any) -> None:
    assert php.read(_serialized(tree)) == tree


@settings(deadline=None, max_examples=50)
@given(_TREES, st.integers(0, 200))
def test_php_that_was_cut_off_anywhere_fails(tree: Any, cut: int) -> None:
    text = _serialized(tree)
    if cut >= len(text):
        return

    with pytest.raises(ValueError):
        php.read(text[:cut])


@pytest.mark.parametrize(
    "text", ['O:1:"a":0:{}', "a:1:{i:0;R:1;}", "N;N;", 's:3:"é";', "d:NAN;", "b:2;", "i:;", "a:2:{i:0;N;}", ""]
)
def test_objects_references_and_broken_php_fail(text: str) -> None:
    with pytest.raises(ValueError):
        php.read(text)


def test_php_keys_from_zero_in_order_make_a_list_and_others_an_object() -> None:
    given = ["a:2:{i:0;i:5;i:1;d:0.10;}", "a:1:{i:1;i:5;}", "a:0:{}"]

    assert outcome(stepped("php", None, given)) == ["[5,0.10]", '{"1":5}', "[]"]


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text(), st.integers() | st.decimals(allow_nan=False, allow_infinity=False, places=3)))
def test_equal_json_is_one_text_whatever_the_order_of_its_keys(tree: dict[str, Any]) -> None:
    backwards = dict(reversed(tree.items()))

    assert jsons.canonical(jsons.write(tree)) == jsons.canonical(jsons.write(backwards))


def test_numbers_in_json_are_compared_by_value_and_not_as_floats() -> None:
    assert jsons.canonical('{"a": 1.50}') == jsons.canonical('{"a":1.5}')
    assert jsons.canonical("1.0") == jsons.canonical("1")
    assert jsons.canonical("0.1000000000000000000001") != jsons.canonical("0.1")
    assert jsons.canonical('"1"') != jsons.canonical("1")


@settings(deadline=None, max_examples=50)
@given(st.text())
def test_a_json_text_is_quoted_as_the_standard_library_does(text: str) -> None:
    from migrator.mapping.values import quoted

    assert quoted(pl.Series([text])).item() == json.dumps(text, ensure_ascii=False)


# ---- secrets ------------------------------------------------------------------------------------------------------

MD5 = "0002ea9c1df1f3f838fc74675672c978"
FORMS = {"forms": {"md5-salted": "(?<hash>[0-9a-f]{32}):(?<salt>.+)", "md5": "(?<hash>[0-9a-f]{32})"}}


def test_the_first_form_that_fits_names_the_scheme_of_a_password_hash() -> None:
    made = outcome(stepped("password_hash", FORMS, [f"{MD5}:ca", MD5, f"{MD5}:c$a", "$2y$10$abc", None]))

    assert made == [f"$legacy$md5-salted$ca${MD5}", f"$legacy$md5$${MD5}", FAILED, FAILED, None]


def test_hash_and_salt_in_two_columns_are_tagged_with_their_scheme() -> None:
    made = stepped("password_hash", {"scheme": "md5-salted"}, [MD5, "short"], ["ab", "cd"])

    assert outcome(made) == [f"$legacy$md5-salted$ab${MD5}", FAILED]


def test_reset_puts_a_mark_in_the_place_of_an_unknown_hash_with_a_warning() -> None:
    made = stepped("password_hash", FORMS | {"on_unsupported": "reset"}, ["$2y$10$abc"])

    assert outcome(made) == ["$legacy$reset$$"]
    assert made.changed is not None and made.changed.to_list() == [True]


def test_a_keyed_hash_is_the_same_for_the_same_text_and_another_for_another_purpose_or_key() -> None:
    (one, again, other, nothing) = outcome(stepped("hash", "sha256", ["ann", "ann", "bob", None]))
    (elsewhere,) = outcome(stepped("hash", {"sha256": "newsletter"}, ["ann"]))
    (theirs,) = outcome(stepped("hash", "sha256", ["ann"], env=Env(replace(PLAN, keyed=ProjectKey(b"k" * 32).digest))))

    assert one == again and nothing is None
    assert len({one, other, elsewhere, theirs}) == 4
    assert all(re.fullmatch("[0-9a-f]{64}", text) for text in (one, other, elsewhere, theirs))
    assert one != hashlib.sha256(b"ann").hexdigest()


def test_without_the_projects_key_nothing_is_hashed_with_a_key_that_everybody_knows() -> None:
    with pytest.raises(WrongInput, match="project's key"):
        stepped("hash", "sha256", ["ann"], env=Env(Context("p", "2024-01-01T00:00:00Z")))


# ---- ids ----------------------------------------------------------------------------------------------------------


def test_ids_are_frozen_for_ever() -> None:
    assert str(ids.NAMESPACE) == "277f3f6b-e42e-5eac-85e7-fc04929fd78d"
    assert ids.uuid5("accounts", [pl.Series(["7"])]).item() == "ebdebe17-1b4c-5104-b7c2-5ae690e2f660"
    assert ids.uuid5("lines", [pl.Series(["7"]), pl.Series(["é"])]).item() == "c9fa5f2c-de17-59d0-a53d-a72d3bc162da"


@settings(deadline=None, max_examples=50)
@given(st.text(), st.lists(st.text(), min_size=1, max_size=3))
def test_an_id_is_what_the_standard_library_makes_of_name_and_key(name: str, parts: list[str]) -> None:
    made = ids.uuid5(name, [pl.Series([part]) for part in parts]).item()

    assert made == str(standard_uuid5(ids.NAMESPACE, "\x1f".join([name, *parts])))


def test_a_key_with_a_null_part_has_no_id() -> None:
    assert ids.uuid5("x", [pl.Series(["1"]), pl.Series([None], dtype=pl.String)]).item() is None
    assert ids.is_broken([pl.Series(["1", "a\x1fb", None])]).to_list() == [False, True, True]


def test_a_range_needs_its_lower_bound_first_and_null_is_open() -> None:
    assert outcome(stepped("range", None, [1, None, 3, None], [2, 5, 1, None])) == ["[1,2)", "[,5)", FAILED, None]
