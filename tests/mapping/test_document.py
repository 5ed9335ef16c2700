"""A folder of YAML becomes a MappingSet, or every mistake in it is told with its place."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.errors import MappingInvalid
from migrator.mapping import document, lint, problems
from migrator.mapping.model import (
    From,
    Id,
    Join,
    MappingSet,
    Names,
    OnConflict,
    Pivot,
    Predicate,
    Rule,
    Value,
    WithoutUser,
)
from migrator.mapping.problems import Problem

MAGENTO = Path(__file__).parents[2] / "mappings" / "magento1"

SET = "set: shop\nusers: {table: t_user, key: user_id}\n"
HEAD = """\
mapping: accounts
source: {table: t_user, key: user_id, user: user_id}
target: {table: accounts, id: {uuid5: user_id}}
"""
FIELDS = "fields: {name: nick}\n"


def folder(tmp_path: Path, **files: str) -> Path:
    """A folder with set.yaml and accounts.yaml, or what *files* put in their place."""
    for name, text in ({"set": SET, "accounts": HEAD + FIELDS} | files).items():
        (tmp_path / (name if "." in name else f"{name}.yaml")).write_text(text, encoding="utf-8")
    return tmp_path


def mistakes(tmp_path: Path, **files: str) -> list[Problem]:
    return list(document.read(folder(tmp_path, **files)).problems)


def mistake(tmp_path: Path, **files: str) -> Problem:
    (only,) = mistakes(tmp_path, **files)
    return only


def where(problem: Problem) -> tuple[str, int, int, int]:
    place = problem.place
    return Path(place.file).name, place.line, place.column, place.length


def rule(tmp_path: Path, text: str) -> Rule:
    """The rule that *text* spells, as field `x`."""
    return document.load(folder(tmp_path, accounts=f"{HEAD}fields:\n  x: {text}\n")).mappings["accounts"].fields["x"]


def literal(tmp_path: Path, text: str) -> Any:
    source = rule(tmp_path, f"{{value: {text}}}").source
    assert isinstance(source, Value)
    return source.literal


def source_of(tmp_path: Path, text: str) -> Any:
    mapping = f"mapping: a\nsource:\n{text}target: {{table: t, id: {{uuid5: id}}}}\nfields: {{x: x}}\n"
    return document.load(folder(tmp_path, accounts=mapping)).mappings["a"].source


# ---- values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("7", 7),
        ("-7", -7),
        ("0", 0),
        ("1.50", Decimal("1.50")),
        ("'7'", "7"),
        ('"true"', "true"),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("010", "010"),
        ("22:30", "22:30"),
        ("1e5", "1e5"),
        ("0x1F", "0x1F"),
        ("2011-12-10", "2011-12-10"),
        (".5", ".5"),
        ("127.0.0.3", "127.0.0.3"),
        ("[1, '1', {on: no}]", [1, "1", {"on": "no"}]),
    ],
)
def test_only_plain_words_that_look_like_values_are_values(tmp_path: Path, written: str, meant: object) -> None:
    found = literal(tmp_path, written)

    assert found == meant
    assert type(found) is type(meant)


def test_a_decimal_keeps_its_digits(tmp_path: Path) -> None:
    assert str(literal(tmp_path, "0.10")) == "0.10"


@pytest.mark.parametrize("written", ["True", "NULL", "False"])
def test_a_word_that_other_readers_take_for_a_value_must_be_quoted_or_small(tmp_path: Path, written: str) -> None:
    found = mistake(tmp_path, accounts=f"{HEAD}fields: {{x: {{value: {written}}}}}\n")

    assert found.code == "E105"
    assert f"'{written}'" in found.help


@settings(max_examples=100, deadline=None)
@given(
    st.text(st.characters(min_codepoint=32, max_codepoint=0xD7FF, blacklist_categories=("Cc", "Zl", "Zp")), min_size=1)
)
def test_a_quoted_text_is_that_text(text: str) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    made = document.parse({"set.yaml": SET, "a.yaml": f"{HEAD}fields: {{x: {{value: {quoted}}}}}\n"})

    assert made.mappings["accounts"].fields["x"].source == Value(text)


def test_keys_of_maps_are_always_text(tmp_path: Path) -> None:
    steps = rule(tmp_path, "{from: nick, transform: [{map: {0: a, on: b, true: c, '7': d, 010: e}}]}").steps

    assert steps[0].args == {"0": "a", "on": "b", "true": "c", "7": "d", "010": "e"}


# ---- YAML -------------------------------------------------------------------------------------------------------


def test_a_key_that_is_set_twice_is_refused_and_both_lines_are_named(tmp_path: Path) -> None:
    found = mistake(tmp_path, accounts=f"{HEAD}fields:\n  name: nick\n  mail: mail\n  name: login\n")

    assert (found.code, where(found)) == ("E104", ("accounts.yaml", 7, 3, 4))
    assert found.text == '"name" was already set on line 5'


def test_a_map_with_one_key_in_two_spellings_is_a_duplicate(tmp_path: Path) -> None:
    found = mistake(tmp_path, accounts=HEAD + "fields: {x: {from: nick, transform: [{map: {1: a, '1': b}}]}}\n")

    assert found.code == "E104"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("fields: {x: &here nick}\n", "anchor"),
        ("fields: {x: *here }\n", "alias"),
        ("fields: {<<: {x: nick}}\n", "merge keys"),
        ("fields: {x: !!str nick}\n", "tags"),
        ("fields: {? [x] : nick}\n", "a key must be a word"),
        (FIELDS + "---\nmapping: b\n", "one document"),
        ("fields: " + "[" * 25 + "]" * 25 + "\n", "deeper"),
    ],
)
def test_what_yaml_can_do_and_a_mapping_may_not_is_refused(tmp_path: Path, text: str, word: str) -> None:
    found = mistakes(tmp_path, accounts=HEAD + text)

    assert found[0].code == "E106"
    assert word in found[0].text


def test_an_alias_is_refused_even_where_it_would_explode(tmp_path: Path) -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"b{n}: [*a, *a, *a]\n" for n in range(50))
    found = mistakes(tmp_path, accounts=bomb)

    assert {problem.code for problem in found} == {"E106"}


def test_a_thousand_brackets_do_not_break_the_reader(tmp_path: Path) -> None:
    assert mistakes(tmp_path, accounts="[" * 100_000)[0].code == "E106"


def test_a_file_of_more_than_a_megabyte_is_refused(tmp_path: Path) -> None:
    assert mistake(tmp_path, accounts=HEAD + FIELDS + "#" * 1_000_000).code == "E106"


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        (HEAD + "fields: {name: nick\n", 5, 1),
        (HEAD + "about: one: two\n", 4, 11),
        ("\tmapping: accounts\n", 1, 1),
        (HEAD + "about: 'no end\n", 5, 1),
        (HEAD + "about: \0\n", 4, 8),
    ],
)
def test_text_that_is_no_yaml_is_told_with_its_place(tmp_path: Path, text: str, line: int, column: int) -> None:
    found = mistake(tmp_path, accounts=text)

    assert found.code == "E101"
    assert (found.place.line, found.place.column) == (line, column)


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n- b\n", "just words\n"])
def test_a_file_that_holds_no_map_is_no_mapping(tmp_path: Path, text: str) -> None:
    assert mistake(tmp_path, accounts=text).code == "E101"


def test_a_file_that_is_not_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "accounts.yaml").write_bytes(HEAD.encode() + "about: schön\n".encode("latin-1"))
    (found,) = document.read(tmp_path).problems

    assert (found.code, found.place.line, found.text) == ("E101", 4, "the file is not UTF-8")


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    assert mistakes(tmp_path, accounts="\ufeff" + HEAD + FIELDS) == []


# ---- slots ------------------------------------------------------------------------------------------------------


def test_an_unknown_key_with_a_near_name_says_which_was_meant(tmp_path: Path) -> None:
    found = mistake(tmp_path, accounts=HEAD + "fields: {x: {from: nick, requird: true}}\n")

    assert (found.code, where(found)) == ("E103", ("accounts.yaml", 4, 26, 7))
    assert found.help == 'did you mean "required"?'


def test_an_unknown_key_without_a_near_name_shows_those_there_are(tmp_path: Path) -> None:
    found = mistake(tmp_path, accounts=HEAD + FIELDS + "limits: {zzz: 1, abort_above: 5%}\n")

    assert found.help == "there is: abort_above"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (FIELDS, "mapping"),
        ("mapping: a\ntarget: {table: t, id: {uuid5: id}}\n" + FIELDS, "source"),
        ("mapping: a\nsource: {table: t, user: u}\ntarget: {table: t, id: {uuid5: id}}\n" + FIELDS, "key"),
        ("mapping: a\nsource: {table: t, key: k, user: u}\ntarget: {table: t}\n" + FIELDS, "id"),
        (HEAD, "fields"),
    ],
)
def test_a_missing_key_is_named(tmp_path: Path, text: str, key: str) -> None:
    found = mistakes(tmp_path, accounts=text)

    assert any(problem.code == "E102" and f'"{key}"' in problem.text for problem in found)


@pytest.mark.parametrize(
    "text",
    [
        "{x: {from: nick, required: maybe}}",
        "{x: {from: nick, on_error: retry}}",
        "{x: {from: nick, default: 1, value: 2}}",
        "{x: {from: nick, by: id}}",
        "{x: [a, b]}",
        "{x: {from: []}}",
        "{x: {from: nick, transform: trim}}",
        "{x: {from: nick, transform: [{trim: null, lower: null}]}}",
        "{x: {choose: [{else: {value: 1}}, {when: {a: 1}, value: 2}]}}",
        "{x: {choose: [{when: {a: {since: 2y}}, value: 2}]}}",
        "{x: {choose: [{when: {a: {matches: '('}}, value: 2}]}}",
        "{x: {choose: [{when: {a: {gt: [1]}}, value: 2}]}}",
        "{x: {choose: [{when: {a: {gt: 1, unit: s}}, value: 2}]}}",
        "{x: {number: {within: a, order: b, start: one}}}",
    ],
)
def test_a_value_of_the_wrong_kind_is_a_mistake(tmp_path: Path, text: str) -> None:
    assert mistake(tmp_path, accounts=f"{HEAD}fields: {text}\n").code == "E105"


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("{match: [id], action: fill_nulls}", None),
        ("{match: id, action: update, leave: [name]}", None),
        ("{match: [id], action: skip_if_equal, leave: {'*': {name: root}}}", None),
        ("{match: [id], action: update_if_newer, newer: changed}", None),
        ("{match: [id], action: update_if_newer}", "E102"),
        ("{match: [id], action: update, newer: changed}", "E105"),
        ("{match: [id], action: skip, leave: [name]}", "E105"),
        ("{match: [id], action: overwrite}", "E105"),
        ("{action: update}", "E102"),
        ("{match: [id], action: update, leave: {name: 7}}", "E101"),
    ],
)
def test_what_is_said_about_rows_that_are_there_is_read_or_is_a_mistake(
    tmp_path: Path, rule: str, code: str | None
) -> None:
    text = HEAD.replace("user_id}}\n", f"user_id}}, on_conflict: {rule}}}\n") + FIELDS

    assert [problem.code for problem in mistakes(tmp_path, accounts=text)] == ([code] if code else [])


@pytest.mark.parametrize(("way", "code"), [("sequence: true", None), ("sequence: false", "E105")])
def test_numbers_are_asked_for_or_not_at_all(tmp_path: Path, way: str, code: str | None) -> None:
    found = mistakes(tmp_path, accounts=HEAD.replace("uuid5: user_id", way) + FIELDS)

    assert [problem.code for problem in found] == ([code] if code else [])


@pytest.mark.parametrize(
    ("reason", "right"), [("???", False), ("", False), ("null", False), ("''", False), ("in profiles", True)]
)
def test_what_is_left_behind_needs_a_reason(tmp_path: Path, reason: str, right: bool) -> None:
    found = mistakes(tmp_path, accounts=f"{HEAD}{FIELDS}ignore:\n  bak1: {reason}\n")

    assert [problem.code for problem in found] == ([] if right else ["E209"])


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("move", WithoutUser(None, (), move=True)),
        ("{move: true, values: ['0', none]}", WithoutUser(None, ("0", "none"), move=True)),
        ("{leave: guests stay, values: [0]}", WithoutUser("guests stay", (0,))),
    ],
)
def test_rows_of_nobody_are_left_with_a_reason_or_move(tmp_path: Path, written: str, read: WithoutUser) -> None:
    text = HEAD.replace("user: user_id}", f"user: user_id, without_user: {written}}}") + FIELDS

    assert document.load(folder(tmp_path, accounts=text)).mappings["accounts"].source.without_user == read


@pytest.mark.parametrize(
    ("written", "codes"),
    [
        ("leave", ["E105"]),
        ("{values: [0]}", ["E102"]),
        ("{move: false}", ["E102"]),
        ("{move: true, leave: both}", ["E105"]),
        ("{leave: ''}", ["E209"]),
        ("{move: 1}", ["E105", "E102"]),
        ("{moves: true}", ["E103", "E102"]),
        ("[move]", ["E101"]),
    ],
)
def test_rows_of_nobody_that_nothing_clear_is_said_of(tmp_path: Path, written: str, codes: list[str]) -> None:
    text = HEAD.replace("user: user_id}", f"user: user_id, without_user: {written}}}") + FIELDS

    assert sorted(problem.code for problem in mistakes(tmp_path, accounts=text)) == sorted(codes)


@pytest.mark.parametrize("text", ["examples: {a: b}", "about: [a, b]", "on_reject: [hold_row]"])
def test_a_slot_of_the_document_takes_its_own_kind(tmp_path: Path, text: str) -> None:
    assert mistake(tmp_path, accounts=f"{HEAD}{FIELDS}{text}\n").code == "E105"


@pytest.mark.parametrize("text", ["'5'", "200%", "5 %", "-1%"])
def test_the_share_that_aborts_is_a_percentage(tmp_path: Path, text: str) -> None:
    assert mistake(tmp_path, accounts=f"{HEAD}{FIELDS}limits: {{abort_above: {text}}}\n").code == "E105"


@pytest.mark.parametrize(
    ("join", "code"),
    [
        ("{table: [a, b], match: {x: user_id}}", "E105"),
        ("{table: a, match: {x: user_id}, keep: {newest: at}}", "E103"),
        ("{table: a, match: {x: user_id}, keep: oldest}", "E105"),
        ("{table: a, match: {x: user_id}, keep: {oldest: at}, many: {}}", "E105"),
        ("{table: a, match: [x, user_id]}", "E101"),
        ("{table: a}", "E102"),
        ("{table: a, match: {x: user_id}, pivot: {names: n}}", "E102"),
        ("[a, b]", "E101"),
    ],
)
def test_a_join_is_one_of_its_kinds(tmp_path: Path, join: str, code: str) -> None:
    assert (
        mistake(
            tmp_path, accounts=HEAD.replace("user: user_id}", f"user: user_id, join: {{j: {join}}}}}") + FIELDS
        ).code
        == code
    )


@pytest.mark.parametrize("name", ["'a.b'", "$x"])
def test_the_name_of_a_join_can_stand_before_a_point(tmp_path: Path, name: str) -> None:
    join = f"join: {{{name}: {{table: a, match: {{x: user_id}}}}}}"

    assert (
        mistake(tmp_path, accounts=HEAD.replace("user: user_id}", f"user: user_id, {join}}}") + FIELDS).code == "E105"
    )


@pytest.mark.parametrize(
    ("unnest", "code"),
    [
        ("{column: ids, as: id}", "E102"),
        ("{column: ids, as: id, separator: ',', parse: json}", "E105"),
        ("{column: ids, as: id, separator: ',', key: k}", "E105"),
        ("{column: ids, separator: ','}", "E102"),
        ("{column: ids, as: id, parse: xml}", "E105"),
        ("{column: ids, as: id, separator: ''}", "E105"),
        ("{column: ids, as: id, separator: '[', regex: true}", "E105"),
        ("{column: ids, as: id, parse: json, regex: true}", "E105"),
    ],
)
def test_unnest_says_how_a_value_is_taken_apart(tmp_path: Path, unnest: str, code: str) -> None:
    text = HEAD.replace("user: user_id}", f"user: user_id, unnest: {unnest}}}") + FIELDS

    assert mistake(tmp_path, accounts=text).code == code


def test_a_source_has_one_shape(tmp_path: Path) -> None:
    shapes = "group: {by: user_id}, unnest: {column: a, as: b, separator: ','}"

    assert (
        mistake(tmp_path, accounts=HEAD.replace("user: user_id}", f"user: user_id, {shapes}}}") + FIELDS).code == "E105"
    )


@pytest.mark.parametrize(
    ("id", "code"),
    [
        ("{}", "E102"),
        ("{keep: a, uuid5: b}", "E105"),
        ("{lookup: other}", "E102"),
        ("{keep: a, by: b}", "E105"),
        ("a", "E101"),
    ],
)
def test_an_id_comes_about_in_one_way(tmp_path: Path, id: str, code: str) -> None:
    assert mistake(tmp_path, accounts=HEAD.replace("{uuid5: user_id}", id) + FIELDS).code == code


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("{lookup: other}", "E102"),
        ("{lookup: {table: t, match: {a: b}}}", "E102"),
        ("{lookup: {table: t, match: {a: b}, take: c}, by: d}", "E105"),
        ("{choose: []}", "E102"),
        ("{choose: [{value: 1}]}", "E102"),
        ("{choose: [{when: {a: {}}, value: 1}]}", "E102"),
        ("{choose: [{when: {a: {unit: s}}, value: 1}]}", "E102"),
        ("{choose: [{when: {a: 1}, review: no, value: 1}]}", "E105"),
        ("{rest: false}", "E105"),
        ("{of: lines, value: 1}", "E105"),
        ("{required: true}", "E102"),
        ("{from: null}", "E105"),
    ],
)
def test_a_rule_has_one_source_and_what_belongs_to_it(tmp_path: Path, rule: str, code: str) -> None:
    assert mistakes(tmp_path, accounts=f"{HEAD}fields: {{x: {rule}}}\n")[0].code == code


@pytest.mark.parametrize(
    ("example", "code"),
    [
        ("{name: a, given: {}}", "E102"),
        ("{name: a, given: {}, expect: {}, expect_review: []}", "E105"),
        ("{name: a, given: {}, expect_review: [{field: x}]}", "E102"),
        ("{given: {}, expect: {}}", "E102"),
    ],
)
def test_an_example_says_what_it_expects(tmp_path: Path, example: str, code: str) -> None:
    assert mistake(tmp_path, accounts=f"{HEAD}{FIELDS}examples: [{example}]\n").code == code


def test_the_name_of_a_mapping_is_a_plain_word(tmp_path: Path) -> None:
    assert mistake(tmp_path, accounts=HEAD.replace("accounts\n", "'a/b'\n", 1) + FIELDS).code == "E105"


# ---- steps ------------------------------------------------------------------------------------------------------


def test_a_misspelt_transform_is_told_with_the_right_name(tmp_path: Path) -> None:
    found = mistake(tmp_path, accounts=HEAD + "fields:\n  x: {from: nick, transform: [trimm, lower]}\n")

    assert (found.code, where(found)) == ("E110", ("accounts.yaml", 5, 31, 5))
    assert found.help == 'did you mean "trim"?'


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("static_map", "map"),
        ("migration_lookup", "lookup"),
        ("default_value", "default"),
        ("skip_on_empty", "skip"),
        ("strip", "trim"),
        ("cast", "integer"),
        ("nullif", "null_if"),
        ("to_int", "integer"),
        ("format_date", "datetime"),
        ("strptime", "datetime"),
        ("from_unixtime", "epoch"),
        ("uppercase", "upper"),
        ("explode", "split"),
        ("ifnull", "coalesce"),
    ],
)
def test_a_transform_by_the_name_of_another_tool_is_told_with_ours(tmp_path: Path, theirs: str, ours: str) -> None:
    found = mistake(tmp_path, accounts=f"{HEAD}fields: {{x: {{from: nick, transform: [{theirs}]}}}}\n")

    assert found.code == "E110"
    assert ours in found.help


def test_arguments_that_a_transform_does_not_take_are_told_where_they_stand(tmp_path: Path) -> None:
    found = mistake(tmp_path, accounts=HEAD + "fields: {x: {from: nick, transform: [{truncate: many}]}}\n")

    assert (found.code, where(found)) == ("E111", ("accounts.yaml", 4, 49, 4))


def test_an_aggregate_takes_one_column(tmp_path: Path) -> None:
    rule = "{from: [a, b], aggregate: max, transform: [coalesce]}"

    assert mistake(tmp_path, accounts=f"{HEAD}fields: {{x: {rule}}}\n").code == "E112"


@pytest.mark.parametrize("transform", ["", ", transform: [trim]", ", transform: [trim, coalesce]"])
def test_several_columns_need_a_first_step_that_combines_them(tmp_path: Path, transform: str) -> None:
    found = mistake(tmp_path, accounts=f"{HEAD}fields: {{x: {{from: [nick, login]{transform}}}}}\n")

    assert found.code == "E112"
    assert "coalesce" in found.help


# ---- the parts of a mapping -------------------------------------------------------------------------------------


def test_a_bare_column_is_a_copy(tmp_path: Path) -> None:
    assert rule(tmp_path, "nick").source == From(("nick",))


def test_on_missing_null_is_a_word_and_not_nothing(tmp_path: Path) -> None:
    assert rule(tmp_path, "{from: a, on_missing: null}").on_missing == "null"


def test_on_error_use_null_is_told_from_no_value(tmp_path: Path) -> None:
    found = rule(tmp_path, "{from: a, on_error: {use: null}}")

    assert (found.on_error, found.use) == ("use", None)


def test_a_user_through_another_table_is_a_one_row_join(tmp_path: Path) -> None:
    found = source_of(tmp_path, "  table: lines\n  key: id\n  user: {through: t_order, on: order_id, take: user_id}\n")

    assert found.user == ("t_order.user_id",)
    join = found.joins["t_order"]
    assert (join.tables, join.match, join.many, join.pivot) == (("t_order",), (("order_id", "order_id"),), False, None)


def test_a_user_through_a_table_that_is_a_join_already_is_refused(tmp_path: Path) -> None:
    user = "user: {through: t_order, on: order_id, take: user_id}, join: {t_order: {table: t_order, match: {a: b}}}}"
    found = mistake(tmp_path, accounts=HEAD.replace("user: user_id}", user) + FIELDS)

    assert (found.code, found.help) == ("E104", "write user: t_order.COLUMN")


def test_a_user_may_be_the_first_of_several_columns(tmp_path: Path) -> None:
    found = source_of(tmp_path, "  table: posts\n  key: id\n  user: {coalesce: [author, editor]}\n")

    assert found.user == ("author", "editor")


def test_a_condition_has_every_test_of_the_language(tmp_path: Path) -> None:
    where = "{a: 1, b: [x, null], c: {not: 5}, d: {is_null: true}, e: {is_null: false}, f: {gte: 1, lt: 9},"
    where += " g: {same_as: a}, h: {matches: '[0-9]+'}, i: {since: 730d, unit: ms}, any: [{j: 1}, {k: 2}]}"
    found = source_of(tmp_path, f"  table: t\n  key: id\n  user: u\n  where: {where}\n").where

    assert [(test.column, test.op, test.value, test.unit) for test in found.tests] == [
        ("a", "in", (1,), None),
        ("b", "in", ("x", None), None),
        ("c", "not_in", (5,), None),
        ("d", "null", None, None),
        ("e", "not_null", None, None),
        ("f", "gte", 1, None),
        ("f", "lt", 9, None),
        ("g", "same_as", "a", None),
        ("h", "matches", "[0-9]+", None),
        ("i", "since", 730, "ms"),
    ]
    assert [one.tests[0].column for one in found.any] == ["j", "k"]


def test_the_magento_set_is_read_with_all_its_parts() -> None:
    found = document.load(MAGENTO)

    accounts, lines = found.mappings["accounts"], found.mappings["order_lines"]
    attr = accounts.source.joins["attr"]
    assert isinstance(attr, Join)
    assert attr.pivot is not None
    names = attr.pivot.names
    assert (names.column, names.table, names.match, names.take) == (
        "attribute_id",
        "eav_attribute",
        "attribute_id",
        "attribute_code",
    )
    assert [(test.column, test.value) for test in names.where.tests] == [("entity_type_id", (1,))]
    assert accounts.source.joins["orders"].many
    assert accounts.target.id == Id("uuid5", ("entity_id",))
    assert accounts.target.on_conflict == OnConflict(("site", "email"), "review")
    assert lines.source.user == ("order.customer_id",)
    assert lines.sums == {"quantity": "qty_ordered"}
    assert found.mappings["wishlist_items"].target.id == Id("fields", ("account_id", "product_id"))
    assert found.mappings["events"].abort_above == 0.05
    assert found.set.users.name == "attr.firstname"
    assert len(found.set.activity) == 3
    assert found.files["countries.csv"][0] == ("name", "alpha2")
    assert ("EIRE", "IE") in found.files["countries.csv"][1]
    assert sum(len(mapping.examples) for mapping in found.mappings.values()) >= 17


def test_a_source_may_pivot_names_that_stand_in_its_own_table(tmp_path: Path) -> None:
    pivot = "{by: user_id, names: skey, values: svalue, duplicates: {most_recent: updated_at}}"
    found = source_of(tmp_path, f"  table: s\n  key: user_id\n  user: user_id\n  pivot: {pivot}\n")

    assert found.pivot == Pivot(Names("skey", where=Predicate()), "svalue", "user_id", ("most_recent", "updated_at"))


def test_parents_come_before_their_children() -> None:
    order = list(document.load(MAGENTO).mappings)

    assert order.index("accounts") < order.index("orders") < order.index("order_lines")


def test_a_circle_of_lookups_can_be_read_so_that_lint_can_name_it(tmp_path: Path) -> None:
    def circling(name: str, other: str) -> str:
        return f"{HEAD.replace('accounts', name)}fields: {{x: {{lookup: {other}, by: user_id}}}}\n"

    found = document.load(folder(tmp_path, accounts=circling("a", "b"), second=circling("b", "a")))

    assert list(found.mappings) == ["a", "b"]


# ---- folders, files, sets ---------------------------------------------------------------------------------------


def test_all_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(MappingInvalid) as raised:
        document.load(
            folder(
                tmp_path,
                set="set: shop\nusers: {table: t_user, key: user_id, mail: x}\n",
                accounts=HEAD + "fields: {x: {from: nick, transform: [trimm, {truncate: many}]}, y: {}}\n",
                broken="mapping: [\n",
            )
        )

    report = str(raised.value)
    assert [code for code in ("E101", "E102", "E103", "E110", "E111") if code in report] == [
        "E101",
        "E102",
        "E103",
        "E110",
        "E111",
    ]
    assert "5 errors in the mappings; nothing was touched" in report


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MappingInvalid, match=r"nowhere.*E100"):
        document.load(tmp_path / "nowhere")


def test_a_folder_without_set_yaml_is_told_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "accounts.yaml").write_text(HEAD + FIELDS)

    with pytest.raises(
        MappingInvalid, match=r"set\.yaml  error E100 not-found[\s\S]*users: \{table: TABLE, key: COLUMN\}"
    ):
        document.load(tmp_path)


def test_a_folder_without_any_mapping_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.yaml").write_text(SET)

    with pytest.raises(MappingInvalid, match="holds no mapping"):
        document.load(tmp_path)


def test_two_files_with_one_mapping_name_are_refused(tmp_path: Path) -> None:
    found = mistake(tmp_path, other=HEAD + FIELDS)

    assert found.code == "E104"
    assert "accounts.yaml" in found.text


@pytest.mark.parametrize(
    ("file", "content", "word"),
    [
        ("missing.csv", None, "there is no file"),
        ("../outside.csv", None, "leads out"),
        ("/etc/passwd", None, "leads out"),
        ("places.csv", "nom,code\nGermany,DE\n", 'no column "name"'),
        ("places.csv", "name,code\nGermany,DE\nGermany,DD\n", "twice: Germany"),
        ("places.csv", "name,code\nGermany\n", "row 2 has 1 values"),
        ("places.csv", "", "no header"),
        ("places.csv", 'name,code\n"Germany', "not CSV"),
    ],
)
def test_a_reference_file_must_be_there_and_fit(tmp_path: Path, file: str, content: str | None, word: str) -> None:
    step = f"{{lookup: {{file: {file}, match: name, take: code}}}}"
    files = {} if content is None else {file: content}
    found = mistakes(tmp_path, accounts=f"{HEAD}fields: {{x: {{from: nick, transform: [{step}]}}}}\n", **files)

    assert "E113" in {problem.code for problem in found}
    assert any(word in problem.text for problem in found)


def test_a_reference_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "places.csv").mkdir()
    step = "{lookup: {file: places.csv, match: name, take: code}}"
    found = mistakes(tmp_path, accounts=f"{HEAD}fields: {{x: {{from: nick, transform: [{step}]}}}}\n")

    assert "E100" in {problem.code for problem in found}


def test_a_reference_file_of_more_than_sixteen_megabytes_is_refused(tmp_path: Path) -> None:
    step = "{lookup: {file: places.csv, match: name, take: code}}"
    text = f"{HEAD}fields: {{x: {{from: nick, transform: [{step}]}}}}\n"
    found = mistakes(tmp_path, accounts=text, **{"places.csv": "name,code\n" + "x" * 16_000_000})

    assert "E106" in {problem.code for problem in found}


def test_a_set_made_again_from_its_texts_is_the_same_set(tmp_path: Path) -> None:
    copy = shutil.copytree(MAGENTO, tmp_path / "magento1")
    loaded = document.load(copy)

    assert document.parse(loaded.texts, prefix=f"{copy.as_posix()}/") == loaded


def test_places_are_told_as_they_would_be_typed_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path)
    monkeypatch.chdir(tmp_path.parent)

    assert document.load(tmp_path).set.place.file == f"{tmp_path.name}/set.yaml"


def test_the_hash_changes_with_any_file_of_the_set_and_with_no_other(tmp_path: Path) -> None:
    step = "{lookup: {file: places.csv, match: name, take: code}}"
    text = f"{HEAD}fields: {{x: {{from: nick, transform: [{step}]}}}}\n"
    files = {"accounts": text, "places.csv": "name,code\nGermany,DE\n"}
    first = document.load(folder(tmp_path, **files)).hash

    assert document.load(folder(tmp_path, **files, **{"notes.txt": "x", "other.csv": "a\n"})).hash == first
    assert document.load(folder(tmp_path, **files | {"places.csv": "name,code\nGermany,DD\n"})).hash != first
    assert document.load(folder(tmp_path, **files | {"accounts": text + "# more\n"})).hash != first


# ---- how mistakes are shown -------------------------------------------------------------------------------------


def test_a_mistake_is_shown_with_its_line_carets_sentence_and_help(tmp_path: Path) -> None:
    found = document.read(folder(tmp_path, accounts=HEAD + "fields:\n  x: {from: nick}\n  x: {from: nick}\n"))

    assert problems.render(found.problems, found.texts) == (
        f"{tmp_path.as_posix()}/accounts.yaml:6:3  error E104 duplicate-key\n"
        "     6 |   x: {from: nick}\n"
        '       |   ^ "x" was already set on line 5\n'
        "  help: YAML keeps only the last one, so the first would be lost without a word"
    )


def test_carets_stand_under_the_word_behind_wide_letters(tmp_path: Path) -> None:
    found = document.read(folder(tmp_path, accounts=HEAD + "fields: {名前: {frm: nick, value: 1}}\n"))
    line, carets = problems.render(found.problems, found.texts).splitlines()[1:3]

    assert carets.index("^") == line.index("frm") + 2  # two letters that are two cells wide


def test_mistakes_for_tools_are_flat_maps(tmp_path: Path) -> None:
    (found,) = problems.as_json(mistakes(tmp_path, accounts=HEAD + "fields: {x: {from: nick, requird: true}}\n"))

    assert (found["code"], found["level"], found["line"], found["column"]) == ("E103", "error", 4, 26)


# ---- whatever stands in a file ----------------------------------------------------------------------------------


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, str]:
    """The Magento set with one stretch of one file taken out, doubled, or replaced."""
    texts = dict(_sound().texts)
    name = draw(st.sampled_from(sorted(texts)))
    text = texts[name]
    start = draw(st.integers(0, len(text)))
    end = min(len(text), start + draw(st.integers(0, 40)))
    put = draw(
        st.sampled_from(["", text[start:end] * 2, "{", "[", "*a", "&a ", ": ", "null", "'", "\n- ", "\0", "[[]]", "{}"])
    )
    return texts | {name: text[:start] + put + text[end:]}


def _sound() -> MappingSet:
    return document.load(MAGENTO)


@settings(max_examples=60, deadline=None)
@given(damaged())
def test_a_damaged_set_is_read_or_refused_and_never_breaks_the_reader(texts: dict[str, str]) -> None:
    try:
        made = document.parse(texts)
    except MappingInvalid as refused:
        assert refused.count > 0
        assert " error E" in refused.report
    else:
        lint.lint(made, None, None)
