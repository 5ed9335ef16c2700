"""Every step of the language that has a way back: what comes back through it comes out of it as it was wanted."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.mapping import ids
from migrator.mapping.backward.lenses import LENSES, WITHOUT
from migrator.mapping.registry import TRANSFORMS
from tests.mapping.backward.looking_back import Round
from tests.mapping.engine import a_legacy, a_schema, a_set, a_table

WORDS = st.text(st.sampled_from("aB é<&ß-.,9\t\n\u00a0"), max_size=8)
TIDY = st.text(st.sampled_from("abcé&<9"), min_size=1, max_size=8)
NUMBERS = st.decimals(-99999, 99999, places=2)
MOMENTS = st.integers(10**9 // 3, 2 * 10**9).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
DAYS = st.dates(date(1900, 1, 1), date(2100, 1, 1))

#: step(s) -> legacy type, what stands there, target type, what the new system may write
STEPS: dict[str, tuple[str, st.SearchStrategy[Any], str, st.SearchStrategy[Any]]] = {
    "trim": ("text", WORDS, "text", WORDS),
    "trim, lower": ("text", WORDS, "text", WORDS),
    "collapse_spaces, upper": ("text", WORDS, "text", WORDS),
    "normalize, strip_control": ("text", WORDS, "text", WORDS),
    "unescape_html": ("text", WORDS, "text", WORDS),
    "{replace: {find: '-', with: ''}}": ("text", WORDS, "text", WORDS),
    "{truncate: 4}": ("text", WORDS, "text", WORDS),
    "{format: 'USR-{}'}": ("text", WORDS, "text", WORDS.map("USR-{}".format) | WORDS),
    "{null_if: ['a', 'b']}, trim": ("text", st.sampled_from("abc"), "text", st.sampled_from("abcd")),
    "{split: {separator: ',', take: first}}": ("text", WORDS, "text", WORDS),
    "{split: {separator: ',', take: last}}, trim": ("text", WORDS, "text", WORDS),
    "{split: {separator: ',', take: 1}}": ("text", WORDS, "text", WORDS),
    "trim, {split: {separator: ',', take: rest}}": ("text", WORDS, "text", WORDS),
    "{map: {a: x, b: y, c: y, d: null, else: keep}}": (
        "text", st.sampled_from("abcde"), "text", st.sampled_from("abcdexyz"),
    ),
    "integer, {multiply: 3}": ("integer", st.integers(-99, 99), "integer", st.integers(-99, 99)),
    "{divide: 100}": ("integer", st.integers(-9999, 9999), "decimal", NUMBERS | st.just(Decimal("1.005"))),
    "{decimal: {thousands: ','}}, {round: {digits: 1}}": ("text", st.just("1,234.5"), "decimal", NUMBERS),
    "boolean": ("text", st.sampled_from(["Y", "n", "yes", "FALSE", "1"]), "boolean", st.booleans()),
    "{boolean: {'true': J, 'false': [N, X]}}": ("text", st.sampled_from("JNX"), "boolean", st.booleans()),
    "{date: {format: '%d.%m.%Y'}}": ("text", st.just("24.12.1999"), "date", DAYS),
    "{date: {time: drop}}": ("text", st.sampled_from(["2001-02-03 04:05:06", "2001-02-03"]), "date", DAYS),
    "{datetime: {timezone: Europe/Berlin}}": ("datetime", st.just("2021-07-01 12:00:00"), "timestamp", MOMENTS),
    "{datetime: {timezone: Asia/Kathmandu, format: '%d/%m/%y %H:%M:%S'}}": (
        "text", st.just("01/07/21 12:00:00"), "timestamp", MOMENTS,
    ),
    "{epoch: s}": ("integer", st.integers(0, 10**9), "timestamp", MOMENTS | st.just(datetime(2020, 1, 1, 0, 0, 0, 1, UTC))),
    "{epoch: ms}": ("integer", st.integers(0, 10**12), "timestamp", MOMENTS),
    "{json_get: a.b}": ("text", st.sampled_from(['{"a":{"b":1,"c":[2]}}', '{"a":{"b":"x"}}', "{}"]), "text", TIDY | st.just("7")),
    "json": ("text", st.just('{"a": 1.50}'), "json", st.sampled_from(['{"b":[1,2.50]}', "[]", '"x"'])),
    "{lookup: {file: names.csv, match: name, take: code}}": (
        "text", st.sampled_from(["Eire", "Ireland", "Spain"]), "text", st.sampled_from(["IE", "ES", "FR", "XX"]),
    ),
}  # fmt: skip


def a_round(cases: dict[str, tuple[Any, ...]], stands: list[Any]) -> Round:
    """One column for each of *cases*, and as many users, each with *stands* in all of them."""
    kinds = {f"c{place}": case[0] for place, case in enumerate(cases.values())}
    made = {f"c{place}": case[-2] for place, case in enumerate(cases.values())}
    fields = "".join(
        f"  c{place}: {{from: c{place}, transform: [{steps}], on_error: {{use: null}}}}\n"
        for place, steps in enumerate(cases)
    )
    rows = [{"id": user} | {f"c{place}": value for place, value in enumerate(stands)} for user in range(len(cases))]
    return Round(
        a_set(
            "mapping: m\nsource: {table: person, key: id, user: id}\ntarget: {table: t, id: {uuid5: id}}\nfields:\n"
            + fields,
            names_csv="name,code\nEire,IE\nIreland,IE\nSpain,ES\nFrance,FR\n",
        ),
        a_legacy(a_table("person", id="integer not null", **kinds), person=rows),
        a_schema(a_table("t", id="uuid not null", **made)),
        [str(user) for user in range(len(cases))],
    )


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_whoever_is_not_refused_has_in_legacy_what_gives_the_new_value(data: st.DataObject) -> None:
    """Each user changes one column, or two that are side by side."""
    cases = list(STEPS.values())
    round_ = a_round(STEPS, [data.draw(stands | st.none()) for _, stands, _, _ in cases])
    changed: dict[int, set[str]] = {}
    for user in range(len(cases)):
        mine = {user, (user + 1) % len(cases)} if data.draw(st.booleans()) else {user}
        round_.sets("m", str(user), **{f"c{place}": data.draw(cases[place][3] | st.none()) for place in mine})
        changed[user] = {f"c{place}" for place in mine}
    before = [dict(row) for row in round_.legacy.rows["person"]]

    done = round_.carried()
    round_.write(done)

    stay = {round_.written["m"]["id"][int(user)] for user in done.refused}
    assert {row[0] for row in round_.unlike()} <= stay
    for user, row in enumerate(round_.legacy.rows["person"]):
        may = set() if str(user) in done.refused else changed[user]
        assert {name for name, value in row.items() if value != before[user][name]} <= may


ALWAYS: dict[str, tuple[str, Any, str, st.SearchStrategy[Any]]] = {
    "trim, lower": ("text", None, "text", TIDY.map(str.lower)),
    "unescape_html": ("text", None, "text", TIDY),
    "{format: 'USR-{}'}": ("text", None, "text", TIDY.map("USR-{}".format)),
    "{divide: 100}": ("integer", None, "decimal", NUMBERS),
    "{date: {format: '%d.%m.%Y'}}": ("text", None, "date", DAYS),
    "{datetime: {timezone: Asia/Tokyo}}": ("datetime", None, "timestamp", MOMENTS),
    "{epoch: ms}": ("integer", None, "timestamp", MOMENTS),
    "boolean": ("integer", None, "boolean", st.booleans()),
    "{map: {a: x, b: y}}": ("text", None, "text", st.sampled_from("xy")),
}


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_a_value_that_the_steps_can_give_always_goes_back(data: st.DataObject) -> None:
    round_ = a_round(ALWAYS, [None] * len(ALWAYS))
    for user, case in enumerate(ALWAYS.values()):
        round_.sets("m", str(user), **{f"c{user}": data.draw(case[3])})

    done = round_.carried()
    round_.write(done)

    assert not done.refused
    assert not round_.unlike()


def test_every_step_has_a_way_back_or_a_reason_why_not() -> None:
    assert LENSES.keys() | WITHOUT.keys() == TRANSFORMS.keys()
    assert not LENSES.keys() & WITHOUT.keys()


def test_an_id_of_another_row_leads_to_the_key_of_that_row() -> None:
    people = "mapping: p\nsource: {table: person, key: id, user: id}\ntarget: {table: p, id: {uuid5: id}}\nfields: {name: name}\n"
    address = "mapping: a\nsource: {table: address, key: aid, user: pid}\ntarget: {table: a, id: {uuid5: aid}}\nfields: {city: city}\n"
    order = (
        "mapping: o\nsource: {table: ord, key: oid, user: pid}\ntarget: {table: o, id: {uuid5: oid}}\n"
        "fields: {sent_to: {lookup: a, by: address}}\n"
    )
    round_ = Round(
        a_set(people, address, order),
        a_legacy(
            a_table("person", id="integer not null", name="text"),
            a_table("address", primary="aid", aid="integer not null", pid="integer", city="text"),
            a_table("ord", primary="oid", oid="integer not null", pid="integer", address="integer"),
            person=[{"id": 1, "name": "ann"}, {"id": 2, "name": "bob"}],
            address=[{"aid": 5, "pid": 1, "city": "Ulm"}, {"aid": 6, "pid": 1, "city": "Bonn"}, {"aid": 7, "pid": 2}],
            ord=[{"oid": 9, "pid": 1, "address": 5}, {"oid": 10, "pid": 2, "address": 7}],
        ),
        a_schema(
            a_table("p", id="uuid not null", name="text"),
            a_table("a", id="uuid not null", city="text"),
            a_table("o", id="uuid not null", sent_to="uuid"),
        ),
        ["1", "2"],
    )
    sixth = ids.uuid5("a", [pl.Series(["6"])])[0]
    round_.sets("o", "9", sent_to=sixth)
    round_.sets("o", "10", sent_to=sixth)  # of somebody else

    done = round_.carried()
    round_.write(done)

    assert [row["address"] for row in round_.legacy.rows["ord"]] == [6, 7]
    assert done.refused == {"2": "o.sent_to: no row of this user in a has this id (step lookup)"}
