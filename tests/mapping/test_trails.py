"""Somebody looks on while rules are carried out: every step is told, and nothing comes out otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from migrator.mapping import compile as compiler
from migrator.mapping import trails
from tests.mapping import engine
from tests.mapping.engine import PLAN, Legacy, a_legacy, a_schema, a_set, a_table

ACCOUNTS = """
mapping: accounts
source:
  table: person
  key: id
  user: id
  null_if: ['']
  join:
    pets: {table: pet, match: {owner: id}, many: {order: id, item_key: id}}
target: {table: account, id: {keep: id}}
vars:
  shown: {from: [nick, name], transform: [coalesce]}
fields:
  name: {from: $shown, transform: [trim, lower], required: true}
  level: {from: level, transform: [{map: {1: low, 2: high}}], default: none}
  age: {from: age, transform: [integer], on_error: {use: 0}}
  kind:
    choose:
      - {when: {level: 2}, value: gold}
      - {else: {from: name, transform: [upper]}}
  pets:
    of: pets
    collect:
      name: {from: name, transform: [trim]}
"""
PERSON = a_table("person", id="integer not null", name="text", nick="text", level="integer", age="text")
PET = a_table("pet", id="integer not null", owner="integer", name="text")
ACCOUNT = a_table(
    "account", id="integer not null", name="text not null", level="text", age="integer", kind="text", pets="json"
)
ANN = {"id": 7, "name": " Ann ", "nick": "", "level": 2, "age": "x"}
BOB = {"id": 8, "name": "Bob", "level": None, "age": "41"}
PETS = [{"id": 1, "owner": 7, "name": " Rex"}, {"id": 2, "owner": 7, "name": "Kit"}]


def a_shop() -> Legacy:
    return a_legacy(PERSON, PET, person=[ANN, BOB], pet=PETS)


def told(row: int) -> dict[str, dict[str, Any]]:
    """What is told of each field of one row (0: Ann, 1: Bob)."""
    set_, recorder = a_set(ACCOUNTS), trails.Recorder("accounts")
    engine.mapped(set_, a_shop(), a_schema(ACCOUNT), context=replace(PLAN, watch=recorder))
    return {name: trails.told(trail, row) for name, trail in recorder.trails.items()}


def steps(way: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(step["step"], step["out"]) for step in way["steps"]]


def test_each_step_is_told_with_what_came_out_of_it() -> None:
    assert steps(told(0)["name"]) == [("from: $shown", " Ann "), ("trim", "Ann"), ("lower", "ann"), ("fit", "ann")]


def test_a_var_has_a_trail_of_its_own_and_shows_all_its_columns() -> None:
    var = told(0)["shown"]

    assert var["steps"][0]["in"] == "nick=null, name= Ann "
    assert steps(var)[-1] == ("coalesce", " Ann ")


def test_a_default_is_told_only_where_it_came_in() -> None:
    assert ("default", "none") in steps(told(1)["level"])
    assert all(step != "default" for step, _ in steps(told(0)["level"]))


def test_what_stands_in_for_a_failure_is_told_with_the_reason() -> None:
    age = told(0)["age"]

    assert [step["step"] for step in age["steps"]] == ["from: age", "integer", "on_error", "fit"]
    assert "warning" in age["steps"][1]["said"] and "0 instead" in age["steps"][1]["said"]
    assert age["value"] == "0"


def test_the_branch_that_was_taken_is_named_and_only_it_is_told() -> None:
    ann, bob = told(0)["kind"], told(1)["kind"]

    assert (ann["branch"]["number"], ann["branch"]["when"], ann["value"]) == (1, "level in 2", "gold")
    assert (bob["branch"]["number"], bob["branch"]["when"], bob["value"]) == (2, "else", "BOB")
    assert [part["steps"][0]["step"] for part in bob["parts"]] == ["from: name"]


def test_items_are_told_one_by_one_under_their_keys() -> None:
    pets = told(0)["pets"]

    assert [(part["field"], part["value"]) for part in pets["parts"]] == [
        ("pets[1].name", "Rex"),
        ("pets[2].name", "Kit"),
    ]
    assert told(1)["pets"]["parts"] == []


def test_the_id_is_told_too() -> None:
    assert steps(told(0)["id"]) == [("id", "7")]


def test_a_mapping_comes_out_the_same_whoever_looks_on() -> None:
    set_, target = a_set(ACCOUNTS), a_schema(ACCOUNT)
    rows = engine.sources(set_, a_shop(), ["7", "8"])
    alone = compiler.apply(set_, target, rows, PLAN)
    watched = compiler.apply(set_, target, rows, replace(PLAN, watch=trails.Recorder("accounts")))

    assert watched.rows["accounts"].equals(alone.rows["accounts"])
    assert watched.findings.equals(alone.findings)
    assert watched.books == alone.books
