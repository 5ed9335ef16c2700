from __future__ import annotations

import random
from typing import Any

import polars as pl
import pytest

from migrator.errors import WrongInput
from migrator.mapping import shapes
from migrator.mapping.outcome import SourceRows
from migrator.mapping.query import Query
from tests.mapping.engine import PEOPLE, PLAN, Legacy, a_legacy, a_schema, a_set, a_table, findings, mapped, rows_of

PERSON = a_table("person", id="integer", name="text", level="integer", city_id="integer", seen="text")
TARGET = "target: {table: t, id: {fields: [a]}}\nfields: {a: %s}\n"


def a_mapping(source: str, field: str = "{from: id}") -> str:
    return f"mapping: m\nsource: {source}\n{TARGET % field}"


def read(legacy: Legacy, mapping: str, users: list[str], people: str = PEOPLE) -> SourceRows:
    set_ = a_set(mapping, people=people)
    return shapes.read(set_.mappings["m"], set_, legacy.schema, legacy.fetch, users, PLAN)


def people(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"id": place} | row for place, row in enumerate(rows, start=1)]


def faults(source: SourceRows) -> list[tuple[str, str, str, str | None]]:
    if "__faults" not in source.frame.columns:
        return []
    flat = source.frame.select("__key", "__faults").explode("__faults").drop_nulls().unnest("__faults")
    return sorted(flat.select("__key", "field", "rule", "value").rows())


def test_only_rows_of_the_users_asked_for_and_only_used_columns_are_read() -> None:
    legacy = a_legacy(PERSON, person=people({"name": "Ann"}, {"name": "Bob"}, {"name": "Eve"}))

    source = read(legacy, a_mapping("{table: person, key: id, user: id}", "{from: name}"), ["3", "1"])

    assert source.frame.columns == ["__user", "__key", "id", "name"]
    assert source.frame["name"].to_list() == ["Ann", "Eve"]
    assert (source.read, source.filtered) == (2, 0)


def test_a_user_key_is_its_exact_text() -> None:
    table = a_table("person", id="text")
    legacy = a_legacy(table, person=[{"id": "a"}, {"id": "A"}, {"id": "a "}, {"id": "01"}])

    strict, loose = legacy.fetch, Legacy(legacy.schema, legacy.rows)
    loose.fetch = lambda query: strict(Query(query.table, query.columns))  # type: ignore[method-assign]

    for database in (legacy, loose):  # some databases ignore case and blanks
        source = read(database, a_mapping("{table: person, key: id, user: id}"), ["a", "1"])

        assert source.frame["__user"].to_list() == ["a"]
        assert source.read == 1


def test_rows_that_where_leaves_out_are_counted_even_if_the_database_left_them_out() -> None:
    legacy = a_legacy(PERSON, person=people({"level": 1}, {"level": 2}, {"level": None}))

    source = read(legacy, a_mapping("{table: person, key: id, user: id, where: {level: [1, 3]}}"), ["1", "2", "3"])

    assert any(query.tests for query in legacy.asked)
    assert source.frame["__key"].to_list() == ["1"]
    assert (source.read, source.filtered) == (3, 2)


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("{name: ann}", ["1"]),
        ("{name: {not: ann}}", ["2", "3", "4"]),
        ("{name: [ann, null]}", ["1", "4"]),
        ("{name: {is_null: true}}", ["4"]),
        ("{name: {is_null: false}}", ["1", "2", "3"]),
        ("{name: {matches: '[a-z]+'}}", ["1"]),
        ("{level: {gte: 2}}", ["2", "3"]),
        ("{level: {gt: 2, lt: 10}}", ["3"]),
        ("{id: {same_as: level}}", ["2", "3"]),
        ("{any: [{name: ann}, {level: 3}]}", ["1", "3"]),
        ("{level: {not: null}, any: [{name: ann}, {level: 3}]}", ["3"]),
        ("{seen: {since: 30d}}", ["1"]),
        ("{seen: {lt: $plan.as_of}}", ["1", "2"]),
    ],
)
def test_a_condition_compares_by_code_point_and_null_satisfies_only_null_and_not(where: str, kept: list[str]) -> None:
    rows = people(
        {"name": "ann", "level": None, "seen": "2023-12-20 10:00:00"},
        {"name": "Ann", "level": 2, "seen": "2023-01-01 00:00:00"},
        {"name": "ann ", "level": 3, "seen": "soon"},
        {"name": None, "level": None},
    )
    legacy = a_legacy(PERSON, person=rows)

    source = read(legacy, a_mapping(f"{{table: person, key: id, user: id, where: {where}}}"), ["1", "2", "3", "4"])

    assert source.frame["__key"].to_list() == kept
    assert source.read == 4 == source.frame.height + source.filtered


def test_what_the_database_leaves_out_is_never_what_the_mask_would_keep() -> None:
    random.seed(7)
    rows = people(*({"level": random.choice([None, -1, 0, 1, 2, 3]), "name": random.choice("aA ")} for _ in range(60)))
    users = [str(row["id"]) for row in rows]
    for where in (
        "{level: 0}",
        "{level: {gt: 0}}",
        "{level: {is_null: true}}",
        "{level: {not: 1}, name: a}",
        "{level: [0, null]}",
    ):
        for null_if in ("[]", "[0]", "['']"):
            mapping = a_mapping(f"{{table: person, key: id, user: id, where: {where}, null_if: {null_if}}}")
            pushing = read(a_legacy(PERSON, person=rows), mapping, users)
            plain = Legacy(a_legacy(PERSON).schema, {"person": rows})
            fetch = plain.fetch
            plain.fetch = lambda query, fetch=fetch: fetch(type(query)(query.table, query.columns, (), query.among))  # type: ignore[method-assign]
            assert pushing.frame.equals(read(plain, mapping, users).frame), (where, null_if)


def test_null_if_comes_first() -> None:
    legacy = a_legacy(PERSON, person=people({"name": "", "level": 0}, {"name": "0", "level": 1}))

    source = read(
        legacy,
        a_mapping(
            "{table: person, key: id, user: id, null_if: ['', 0], where: {name: {is_null: true}}}", "{from: level}"
        ),
        ["1", "2"],
    )

    assert source.frame.select("name", "level").rows() == [(None, None), (None, 1)]


def test_a_condition_on_the_cut_off_needs_a_plan() -> None:
    legacy = a_legacy(PERSON, person=people({"seen": "2023-12-20 10:00:00"}))
    set_ = a_set(a_mapping("{table: person, key: id, user: id, where: {seen: {since: 1d}}}"))

    with pytest.raises(WrongInput):
        shapes.read(set_.mappings["m"], set_, legacy.schema, legacy.fetch, ["1"])


# ---- joins --------------------------------------------------------------------------------------------------------

CITY = a_table("city", id="integer", name="text", zip="text")
LETTER = a_table("letter", id="integer", person="integer", at="text", kind="text")


def test_a_one_row_join_stands_beside_its_row_and_makes_or_drops_none() -> None:
    legacy = a_legacy(
        PERSON, CITY, person=people({"city_id": 5}, {"city_id": 6}, {"city_id": None}), city=[{"id": 5, "name": "Bonn"}]
    )

    source = read(
        legacy,
        a_mapping(
            "{table: person, key: id, user: id, join: {c: {table: city, match: {id: city_id}}}}", "{from: c.name}"
        ),
        ["1", "2", "3"],
    )

    assert source.frame["c.name"].to_list() == ["Bonn", None, None]


def test_two_rows_where_one_is_joined_are_a_fault_of_that_row_alone() -> None:
    legacy = a_legacy(
        PERSON,
        LETTER,
        person=people({}, {}),
        letter=[{"id": 1, "person": 1, "kind": "a"}, {"id": 2, "person": 1, "kind": "b"}],
    )

    source = read(
        legacy,
        a_mapping(
            "{table: person, key: id, user: id, join: {l: {table: letter, match: {person: id}}}}", "{from: l.kind}"
        ),
        ["1", "2"],
    )

    assert faults(source) == [("1", "l", "join", "1")]
    assert source.frame.height == 2


@pytest.mark.parametrize(("how", "kept"), [("most_recent", "new"), ("oldest", "old")])
def test_keep_takes_one_of_several_rows_and_a_row_without_a_date_last(how: str, kept: str) -> None:
    letters = [
        {"id": 1, "person": 1, "at": "2020-01-01", "kind": "old"},
        {"id": 2, "person": 1, "at": "2021-01-01", "kind": "new"},
        {"id": 3, "person": 1, "at": None, "kind": "undated"},
    ]
    legacy = a_legacy(PERSON, LETTER, person=people({}), letter=letters)

    source = read(
        legacy,
        a_mapping(
            f"{{table: person, key: id, user: id, join: {{l: {{table: letter, match: {{person: id}}, keep: {{{how}: at}}}}}}}}",
            "{from: l.kind}",
        ),
        ["1"],
    )

    assert source.frame["l.kind"].to_list() == [kept]
    assert faults(source) == []


@pytest.mark.parametrize("beside", [3, "x", ""])
def test_the_order_of_numbers_does_not_depend_on_text_beside_them(beside: int | str) -> None:
    sent = a_table("sent", id="integer", person="integer", nr="integer")
    rows = [{"id": place, "person": 1, "nr": nr} for place, nr in enumerate((9, 10, 8), start=1)]
    legacy = a_legacy(PERSON, sent, person=people({}, {}), sent=[*rows, {"id": 4, "person": 2, "nr": beside}])
    set_ = a_set(
        "mapping: m\n"
        "source: {table: person, key: id, user: id, join: {"
        "last: {table: sent, match: {person: id}, keep: {most_recent: nr}},"
        " all: {table: sent, match: {person: id}, many: {order: nr}}}}\n"
        "target: {table: t, id: {fields: [id]}}\n"
        "fields: {id: id, last: last.id, high: {from: all.nr, aggregate: max}, low: {from: all.nr, aggregate: min},"
        " all: {of: all, collect: {id: {from: id}}}}\n",
        "mapping: places\nsource: {table: sent, key: id, user: person}\ntarget: {table: p, id: {keep: id}}\n"
        "fields: {place: {number: {within: person, order: nr, start: 1}}}\n",
    )
    target = a_schema(
        a_table("t", id="integer", last="integer", high="text", low="text", all="text"),
        a_table("p", id="integer", place="integer"),
    )

    made = mapped(set_, legacy, target)

    told = rows_of(made, "m", "id", "last", "low", "high", "all")
    assert told[0] == (1, 2, "8", "10", '[{"id":3},{"id":1},{"id":2}]')
    assert rows_of(made, "places", "id", "place")[:3] == [(1, 2), (2, 3), (3, 1)]


def test_a_many_join_is_a_list_in_its_order_and_where_applies_to_it() -> None:
    letters = [
        {"id": i, "person": p, "at": at, "kind": k}
        for i, p, at, k in [(1, 1, "b", "x"), (2, 1, "a", "x"), (3, 1, "c", "y")]
    ]
    legacy = a_legacy(PERSON, LETTER, person=people({}, {}), letter=letters)

    source = read(
        legacy,
        a_mapping(
            "{table: person, key: id, user: id, join: {l: {table: letter, match: {person: id}, where: {kind: x},"
            " many: {order: at, item_key: id}}}}",
            "{of: l, collect: {at: at}}",
        ),
        ["1", "2"],
    )

    assert source.frame["l"].to_list() == [[{"at": "a", "id": 2}, {"at": "b", "id": 1}], None]


ATTRIBUTE = a_table("attribute", id="integer", code="text", kind="integer")
TEXTS = a_table("texts", id="integer", owner="integer", attribute="integer", value="text")
NUMBERS = a_table("numbers", id="integer", owner="integer", attribute="integer", value="integer")
NAMES = "names: {from: attribute, table: attribute, match: id, take: code, where: {kind: 1}}, values: value"
CODES = [
    {"id": 10, "code": "nick", "kind": 1},
    {"id": 11, "code": "age", "kind": 1},
    {"id": 12, "code": "nick", "kind": 2},
]


def attributes(extra: str = "") -> str:
    join = f"{{table: [texts, numbers], match: {{owner: id}}, pivot: {{{NAMES}{extra}}}}}"
    return a_mapping(
        f"{{table: person, key: id, user: id, null_if: [''], join: {{a: {join}}}}}",
        "{object: {n: a.nick, g: a.age, u: a.unset}}",
    )


def test_attribute_rows_become_columns_by_the_names_of_another_table() -> None:
    legacy = a_legacy(
        PERSON, ATTRIBUTE, TEXTS, NUMBERS,
        person=people({}, {}),
        attribute=CODES,
        texts=[{"id": 1, "owner": 1, "attribute": 10, "value": "Annie"}, {"id": 2, "owner": 2, "attribute": 12, "value": "no"}],
        numbers=[{"id": 1, "owner": 2, "attribute": 11, "value": 30}],
    )  # fmt: skip

    source = read(legacy, attributes(), ["1", "2"])

    assert source.frame.select("a.nick", "a.age", "a.unset").rows() == [("Annie", None, None), (None, 30, None)]


def test_a_second_value_of_a_name_is_a_fault_in_one_table_or_in_two_but_null_is_no_value() -> None:
    legacy = a_legacy(
        PERSON, ATTRIBUTE, TEXTS, NUMBERS,
        person=people({}, {}, {}),
        attribute=CODES,
        texts=[
            {"id": 1, "owner": 1, "attribute": 10, "value": "a"},
            {"id": 2, "owner": 1, "attribute": 10, "value": "b"},
            {"id": 3, "owner": 2, "attribute": 11, "value": "30"},
            {"id": 4, "owner": 3, "attribute": 10, "value": "a"},
            {"id": 5, "owner": 3, "attribute": 10, "value": ""},
        ],
        numbers=[{"id": 1, "owner": 2, "attribute": 11, "value": 30}],
    )  # fmt: skip

    source = read(legacy, attributes(), ["1", "2", "3"])

    assert faults(source) == [("1", "a.nick", "pivot", "a | b"), ("2", "a.age", "pivot", "30 | 30")]
    assert source.frame["a.nick"].to_list() == [None, None, "a"]


def test_duplicates_says_which_value_of_a_name_wins() -> None:
    rows = [{"id": 2, "owner": 1, "attribute": 10, "value": "b"}, {"id": 1, "owner": 1, "attribute": 10, "value": "a"}]
    legacy = a_legacy(PERSON, ATTRIBUTE, TEXTS, NUMBERS, person=people({}), attribute=CODES, texts=rows)

    first = read(legacy, attributes(", duplicates: {oldest: id}"), ["1"])
    last = read(legacy, attributes(", duplicates: {most_recent: id}"), ["1"])

    assert (first.frame["a.nick"].item(), last.frame["a.nick"].item()) == ("a", "b")
    assert faults(first) == []


LINE = a_table("line", id="integer", letter="integer", text="text")


@pytest.mark.parametrize("key", ["id", ()], ids=["the other table promises one row", "it does not"])
def test_a_user_behind_a_join_is_found_by_it(key: Any) -> None:
    letter = a_table("letter", primary=key, id="integer", person="integer", at="text", kind="text")
    legacy = a_legacy(
        PERSON, letter, LINE,
        person=people({}, {}),
        letter=[{"id": 7, "person": 1, "kind": "x"}, {"id": 8, "person": 2}, {"id": 9, "person": None}],
        line=[{"id": 1, "letter": 7}, {"id": 2, "letter": 8}, {"id": 3, "letter": 9}, {"id": 4, "letter": None}],
    )  # fmt: skip
    mapping = a_mapping(
        "{table: line, key: id, user: l.person, join: {l: {table: letter, match: {id: letter}}}}", "{from: l.kind}"
    )

    source = read(legacy, mapping, ["1"])

    assert source.frame.select("__user", "__key", "l.kind").rows() == [("1", "1", "x")]
    set_ = a_set(mapping)
    nobody = shapes.unowned(set_.mappings["m"], set_, legacy.schema, legacy.fetch)
    assert (nobody.null, nobody.unknown, nobody.sample, nobody.excluded) == (2, 0, ("3", "4"), 0)
    assert shapes.rows(set_.mappings["m"], legacy.fetch) == 4


def test_a_user_in_one_of_two_columns_is_the_first_that_is_not_null() -> None:
    table = a_table("note", id="integer", owner="integer", writer="integer")
    notes = [{"id": 1, "owner": 1, "writer": 2}, {"id": 2, "writer": 1}, {"id": 3, "owner": 2, "writer": 1}]
    legacy = a_legacy(PERSON, table, person=people({}, {}), note=notes)

    source = read(legacy, a_mapping("{table: note, key: id, user: {coalesce: [owner, writer]}}"), ["1"])

    assert source.frame["__key"].to_list() == ["1", "2"]
    assert source.read == 2


# ---- shapes -------------------------------------------------------------------------------------------------------

SETTING = a_table("setting", id="integer", person="integer", skey="text", svalue="text", at="text")


def settings(*rows: tuple[int, int, str, str | None]) -> list[dict[str, Any]]:
    return [{"id": i, "person": p, "skey": k, "svalue": v, "at": str(i)} for i, p, k, v in rows]


def test_a_source_of_names_and_values_becomes_one_row_per_user_and_the_rest_is_kept() -> None:
    legacy = a_legacy(PERSON, SETTING, person=people({}, {}), setting=settings(
        (1, 1, "theme", "1"), (2, 1, "lang", "zh"), (3, 1, "odd", 'x"y'), (4, 2, "lang", "en"), (5, 1, "lang", "en"),
    ))  # fmt: skip

    source = read(
        legacy,
        a_mapping(
            "{table: setting, user: person, key: person,"
            " pivot: {by: person, names: skey, values: svalue, duplicates: {most_recent: at}}}",
            "{object: {t: theme, l: lang, r: {rest: true}}}",
        ),
        ["1", "2"],
    )

    assert source.frame.select("__key", "theme", "lang", "__rest").rows() == [
        ("1", "1", "en", '{"odd":"x\\"y"}'),
        ("2", None, "en", "{}"),
    ]
    assert (source.read, source.folded) == (5, 3)


def test_grouped_rows_become_one_row_of_lists() -> None:
    legacy = a_legacy(PERSON, LETTER, person=people({}), letter=[
        {"id": 1, "person": 1, "at": "b"}, {"id": 2, "person": 1, "at": "a"}, {"id": 3, "person": 1, "at": None},
    ])  # fmt: skip

    source = read(
        legacy,
        a_mapping(
            "{table: letter, user: person, key: person, group: {by: person, order: at, item_key: id}}",
            "{collect: {at: at}}",
        ),
        ["1"],
    )

    assert source.frame.select("__key", "id", "at").rows() == [("1", [2, 1, 3], ["a", "b", None])]
    assert (source.read, source.folded) == (3, 2)


FAVOURITE = a_table("favourite", id="integer", person="integer", goods="text")


def test_unnest_makes_a_row_of_each_part_and_nothing_of_empty_ones() -> None:
    rows = [
        {"id": 1, "person": 1, "goods": "7,8,"},
        {"id": 2, "person": 1, "goods": None},
        {"id": 3, "person": 1, "goods": "9"},
    ]
    legacy = a_legacy(PERSON, FAVOURITE, person=people({}), favourite=rows)

    source = read(
        legacy,
        a_mapping(
            "{table: favourite, user: person, key: [id, good], unnest: {column: goods, separator: ',', as: good, position: n}}",
            "{from: n}",
        ),
        ["1"],
    )

    assert source.frame.select("__key", "good", "n").rows() == [
        ("1\x1f7", "7", 0),
        ("1\x1f8", "8", 1),
        ("3\x1f9", "9", 0),
    ]
    assert (source.read, source.expanded, source.folded) == (3, 1, 1)


def test_unnest_cuts_at_a_pattern_where_one_mark_is_not_enough() -> None:
    rows = [{"id": 1, "person": 1, "goods": "7; 8,9 |;"}, {"id": 2, "person": 1, "goods": " , ;"}]
    legacy = a_legacy(PERSON, FAVOURITE, person=people({}), favourite=rows)
    unnest = r"unnest: {column: goods, separator: '\s*[,;|]\s*', regex: true, as: good, position: n}"

    source = read(
        legacy, a_mapping(f"{{table: favourite, user: person, key: [id, good], {unnest}}}", "{from: n}"), ["1"]
    )

    assert source.frame.select("good", "n").rows() == [("7", 0), ("8", 1), ("9", 2)]
    assert (source.read, source.expanded, source.folded) == (2, 2, 1)


def test_unnest_of_json_takes_keys_or_places_and_a_broken_text_stays_one_faulty_row() -> None:
    rows = [{"id": i, "person": 1, "goods": text} for i, text in enumerate(['{"a":1.50,"b":[2]}', '["x"]', "{bad"])]
    legacy = a_legacy(PERSON, FAVOURITE, person=people({}), favourite=rows)

    source = read(
        legacy,
        a_mapping(
            "{table: favourite, user: person, key: id, unnest: {column: goods, parse: json, key: k, as: v}}",
            "{object: {k: k, v: v}}",
        ),
        ["1"],
    )

    assert source.frame.select("k", "v").rows() == [("a", "1.5"), ("b", "[2]"), ("0", "x"), (None, None)]
    assert [fault[:3] for fault in faults(source)] == [("0", "id", "key"), ("0", "id", "key"), ("2", "goods", "unnest")]


def test_a_key_that_is_null_or_comes_twice_is_a_fault() -> None:
    table = a_table("note", primary=(), code="text", person="integer")
    rows = [{"code": code, "person": 1} for code in ("a", "b", "b", None, "c\x1fd")]
    legacy = a_legacy(PERSON, table, person=people({}), note=rows)

    source = read(legacy, a_mapping("{table: note, user: person, key: code}", "{from: code}"), ["1"])

    assert [key for key, _, rule, _ in faults(source) if rule == "key"] == ["", "b", "b", "c\x1fd"]


def test_rows_come_in_the_order_of_their_keys_and_the_same_from_any_order_in_the_database() -> None:
    letters = [{"id": i, "person": 1 + i % 2, "at": str(i % 3), "kind": "x"} for i in range(12)]
    mapping = a_mapping(
        "{table: person, key: id, user: id, join: {l: {table: letter, match: {person: id}, many: {order: at, item_key: id}}}}",
        "{of: l, collect: {at: at}}",
    )
    straight = read(a_legacy(PERSON, LETTER, person=people({}, {}), letter=letters), mapping, ["1", "2"])
    backwards = read(a_legacy(PERSON, LETTER, person=people({}, {})[::-1], letter=letters[::-1]), mapping, ["2", "1"])

    assert straight.frame.equals(backwards.frame)


def test_a_frame_survives_parquet_with_all_that_mapping_needs(tmp_path: Any) -> None:
    rows = [{"id": 1, "owner": 1, "attribute": 10, "value": "a"}, {"id": 2, "owner": 1, "attribute": 10, "value": "b"}]
    legacy = a_legacy(PERSON, ATTRIBUTE, TEXTS, NUMBERS, person=people({}), attribute=CODES, texts=rows)
    source = read(legacy, attributes(), ["1"])

    source.frame.write_parquet(tmp_path / "m.parquet")

    assert pl.read_parquet(tmp_path / "m.parquet").equals(source.frame)
    assert "__faults" in source.frame.columns


# ---- users and rows of nobody -------------------------------------------------------------------------------------


def test_users_are_all_rows_of_their_table_and_those_where_leaves_out_are_excluded() -> None:
    legacy = a_legacy(
        PERSON,
        CITY,
        person=people({"name": "Ann", "level": 0, "city_id": 5}, {"name": "Bob", "level": 1}),
        city=[{"id": 5, "name": "Bonn"}],
    )
    who = (
        "set: s\nusers: {table: person, key: id, email: name, name: c.name, where: {level: 0},"
        " join: {c: {table: city, match: {id: city_id}}}}\n"
    )
    set_ = a_set(a_mapping("{table: person, key: id, user: id}"), people=who)

    found = shapes.users(set_, legacy.schema, legacy.fetch)

    assert found.rows() == [("1", "Ann", "Bonn", None, False), ("2", "Bob", None, None, True)]


def test_rows_of_nobody_and_rows_of_excluded_users_are_counted_apart() -> None:
    legacy = a_legacy(PERSON, LETTER, person=people({"level": 0}, {"level": 1}), letter=[
        {"id": i, "person": person} for i, person in enumerate([1, 2, 3, None, 0, 0, 1])
    ])  # fmt: skip
    who = "set: s\nusers: {table: person, key: id, where: {level: 0}}\n"
    set_ = a_set(
        a_mapping("{table: letter, key: id, user: person, without_user: {values: [0], leave: guests}}"), people=who
    )
    mapping = set_.mappings["m"]

    nobody = shapes.unowned(mapping, set_, legacy.schema, legacy.fetch)

    assert (nobody.null, nobody.unknown, nobody.excluded, nobody.sample) == (3, 1, 1, ("2", "3", "4", "5"))
    owned = shapes.read(mapping, set_, legacy.schema, legacy.fetch, ["1"]).read
    assert shapes.rows(mapping, legacy.fetch) == owned + nobody.count + nobody.excluded


def test_bytes_are_read_as_the_text_that_they_are_when_they_are_taken_apart() -> None:
    table = a_table("person", id="integer", data="binary")
    rows = [b'a:1:{s:1:"a";i:1;}', b"b:0;", b"\xff", None]
    legacy = a_legacy(table, person=[{"id": place, "data": data} for place, data in enumerate(rows)])
    settings = """
mapping: settings
source: {table: person, key: [id, name], user: id, null_if: ['b:0;'], unnest: {column: data, parse: php, key: name, as: value}}
target: {table: settings, id: {fields: [person, name]}}
fields: {person: id, name: name, value: value}
"""
    target = a_schema(a_table("settings", primary=["person", "name"], person="integer", name="text", value="text"))

    made = mapped(a_set(settings), legacy, target)

    assert rows_of(made, "settings", "person", "name", "value") == [(0, "a", "1")]
    assert findings(made, "user", "rule") == [("2", "unnest")]


@pytest.mark.parametrize("said", ["false", "0"])
def test_a_condition_on_a_boolean_may_be_said_as_the_databases_say_it(said: str) -> None:
    table = a_table("person", id="integer", closed="boolean")
    legacy = a_legacy(table, person=[{"id": 1, "closed": False}, {"id": 2, "closed": True}, {"id": 3, "closed": None}])
    people = f"set: shop\nusers: {{table: person, key: id, where: {{closed: {said}}}}}\n"
    mapping = (
        "mapping: people\nsource: {table: person, key: id, user: id}\n"
        "target: {table: people, id: {keep: id}}\nfields: {closed: closed}\n"
    )

    everybody = shapes.users(a_set(mapping, people=people), legacy.schema, legacy.fetch)

    assert dict(everybody.select("key", "excluded").iter_rows()) == {"1": False, "2": True, "3": True}
