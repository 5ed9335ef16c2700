from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from migrator.errors import MappingInvalid
from migrator.mapping import document
from migrator.mapping.environment import Env
from migrator.mapping.schema import Kind
from tests.mapping.engine import (
    PLAN,
    a_legacy,
    a_schema,
    a_set,
    a_table,
    code,
    findings,
    mapped,
    outcome,
    rows_of,
    stepped,
)

HEAD = "from migrator.mapping.custom import transform\n"
PEOPLE = (
    "mapping: people\nsource: {table: person, key: id, user: id}\ntarget: {table: people, id: {uuid5: id}}\nfields:\n"
)
TARGET = a_schema(a_table("people", id="uuid not null", name="text"))


def called(text: str, *inputs: Any, name: str = "own:f") -> Any:
    return stepped("call", name, *inputs, env=Env(PLAN, functions=code(HEAD + text, "own")))


def test_a_function_is_called_once_with_the_distinct_values_and_never_with_null() -> None:
    text = "@transform(takes=str, gives=int)\ndef f(values):\n    return [len(values) * 100 + len(v) for v in values]\n"

    made = called(text, ["a", "bb", "a", None])

    assert outcome(made) == [201, 202, 201, None]
    assert made.kind is Kind.INTEGER


def test_an_impure_function_gets_the_value_of_every_row() -> None:
    text = "@transform(takes=str, gives=int, pure=False)\ndef f(values):\n    return [len(values)] * len(values)\n"

    assert outcome(called(text, ["a", "bb", "a", None])) == [3, 3, 3, None]


def test_one_bad_value_does_not_spoil_the_others_and_its_exception_is_named_without_its_words() -> None:
    text = "@transform(takes=str, gives=str)\ndef f(values):\n    return [str(1 // len(v)) for v in values]\n"

    made = called(text, ["a", "", "b"])

    assert outcome(made) == ["1", "FAILED", "1"]
    assert made.note.to_list() == [None, "the function raised ZeroDivisionError", None]


@pytest.mark.parametrize(
    ("gives", "body", "note"),
    [
        ("str", "[1]", "the function gave int where it promised str"),
        ("int", "[True]", "the function gave bool where it promised int"),
        ("int", "[2 ** 63]", "the function gave a int that cannot be held exactly"),
        ("str", "['\\ud800']", "the function gave a str that cannot be held exactly"),
        ("Decimal", "[Decimal('NaN')]", "the function gave a Decimal that cannot be held exactly"),
        ("Decimal", "[Decimal('1e-19')]", "the function gave a Decimal that cannot be held exactly"),
        ("datetime", "[datetime(2024, 1, 1)]", "the function gave a datetime that cannot be held exactly"),
        ("dict", "[{'a': 1.5}]", "the function gave a dict that cannot be held exactly"),
        ("list", "[{'a': 1}]", "the function gave dict where it promised list"),
        ("str", "None", "the function gave no list as long as the one it got"),
        ("str", "['a', 'b']", "the function gave no list as long as the one it got"),
        ("str", "'ab'", "the function gave no list as long as the one it got"),
    ],
)
def test_what_is_not_as_promised_fails_and_stops_nothing(gives: str, body: str, note: str) -> None:
    text = (
        "from decimal import Decimal\nfrom datetime import datetime\n"
        f"@transform(takes=str, gives={gives})\ndef f(values):\n    return {body}\n"
    )

    made = called(text, ["a"])

    assert outcome(made) == ["FAILED"]
    assert made.note.to_list() == [note]


def test_values_come_and_go_in_the_types_that_the_function_names() -> None:
    text = (
        "from datetime import date, datetime, timedelta\nfrom decimal import Decimal\n"
        "@transform(takes=(int, Decimal, date, dict), gives=dict)\n"
        "def f(values):\n"
        "    return [{'n': n + 1, 'd': d * 2, 'day': str(day), **tree} for n, d, day, tree in values]\n"
    )

    made = called(text, ["41"], ["1.50"], ["2024-02-29"], ['{"x": [0.10]}'])

    assert outcome(made) == ['{"n":42,"d":3.00,"day":"2024-02-29","x":[0.10]}'] or outcome(made) == [
        '{"n":42,"d":3.000000000000000000,"day":"2024-02-29","x":[0.10]}'
    ]


def test_a_value_of_another_type_than_the_function_takes_fails_unseen() -> None:
    text = "@transform(takes=int, gives=int)\ndef f(values):\n    return [v + 1 for v in values]\n"

    assert outcome(called(text, ["1", "1.5", "x", None])) == [2, "FAILED", "FAILED", None]


def test_several_columns_come_as_tuples_and_a_row_without_any_value_is_null() -> None:
    text = "@transform(takes=(str, str), gives=str)\ndef f(values):\n    return [f'{a}+{b}' for a, b in values]\n"

    assert outcome(called(text, ["a", None, None], ["b", "c", None])) == ["a+b", "None+c", None]


def test_a_function_that_spoils_the_list_it_gets_spoils_nothing_else() -> None:
    text = (
        "@transform(takes=list, gives=list)\n"
        "def f(values):\n"
        "    for value in values:\n"
        "        value.append(1 // len(value))\n"
        "    return values\n"
    )

    assert outcome(called(text, ["[]", "[7]"])) == ["FAILED", "[7,1]"]


def test_a_mapping_calls_code_beside_it_and_a_failing_value_is_a_case_under_its_field() -> None:
    set_ = a_set(
        PEOPLE + "  name: {from: name, transform: [trim, {call: 'own:f'}]}\n",
        own_py=HEAD
        + "@transform(takes=str, gives=str)\ndef f(values):\n    return [{'ann': 'Ann'}[v] for v in values]\n",
    )
    legacy = a_legacy(
        a_table("person", id="integer", name="text"), person=[{"id": 1, "name": " ann"}, {"id": 2, "name": "x"}]
    )

    made = mapped(set_, legacy, TARGET)

    assert rows_of(made, "people", "name") == ["Ann"]
    assert findings(made, "user", "field", "rule", "value", "note") == [
        ("2", "name", "call", "x", "the function raised KeyError")
    ]


def test_the_text_of_the_code_is_part_of_the_set_and_of_its_hash() -> None:
    text = HEAD + "@transform(takes=str, gives=str)\ndef f(values):\n    return values\n"
    mapping = PEOPLE + "  name: {from: name, transform: [{call: 'own:f'}]}\n"

    one, other = a_set(mapping, own_py=text), a_set(mapping, own_py=text + "# another version\n")

    assert one.texts["own.py"] == text
    assert one.hash != other.hash
    assert document.parse(one.texts).hash == one.hash


def test_two_versions_of_one_module_live_side_by_side() -> None:
    body = HEAD + "@transform(takes=str, gives=str)\ndef f(values):\n    return [v + '{}' for v in values]\n"
    old, new = (code(body.format(version), "own") for version in ("1", "2"))

    assert old["own:f"].run(["v"]) == ["v1"] and new["own:f"].run(["v"]) == ["v2"]


WRONG = [
    ("own:g", HEAD + "@transform(takes=str, gives=str)\ndef f(values):\n    return values\n", "m0.yaml", 5, 'has no function g'),
    ("own:f", "def f(values):\n    return values\n", "m0.yaml", 5, "marked with @transform"),
    ("other:f", "", "m0.yaml", 5, "there is no other.py beside the mappings"),
    ("own:f", "def f(:\n", "own.py", 1, "this is no Python"),
    ("own:f", "import os\n\nimport no_such_module\n", "own.py", 3, "ModuleNotFoundError"),
    ("own:f", HEAD + "@transform(takes=float, gives=str)\ndef f(values): ...\n", "own.py", 2, "is none of str, int"),
    ("own:f", HEAD + "@transform(takes=(str, str), gives=str)\ndef f(values): ...\n", "m0.yaml", 5, "takes 2 column(s), and gets 1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "file", "line", "words"), WRONG)
def test_code_that_cannot_be_called_is_told_with_its_place(
    name: str, text: str, file: str, line: int, words: str
) -> None:
    with pytest.raises(MappingInvalid) as wrong:
        a_set(PEOPLE + f"  name: {{from: name, transform: [{{call: '{name}'}}]}}\n", own_py=text)

    told = str(wrong.value)
    assert f"{file}:{line}:" in told and "E114" in told and words in told


@pytest.mark.parametrize("name", ["own", "own:f.g", "../own:f", "own: f", ":f"])
def test_what_names_no_function_is_refused_when_it_is_read(name: str) -> None:
    with pytest.raises(MappingInvalid, match="E111"):
        a_set(PEOPLE + f"  name: {{from: name, transform: [{{call: '{name}'}}]}}\n", own_py="")


def test_an_installed_module_is_called_only_where_the_settings_list_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "acme_names.py").write_text(
        HEAD + "@transform(takes=str, gives=str)\ndef f(values): return values\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    folder = tmp_path / "mappings"
    folder.mkdir()
    (folder / "set.yaml").write_text("set: shop\nusers: {table: person, key: id}\n")
    (folder / "people.yaml").write_text(PEOPLE + "  name: {from: name, transform: [{call: 'acme_names:f'}]}\n")

    found = document.load(folder, ("acme_names",))

    assert "acme_names:f" in found.functions and "acme_names.py" in found.texts
    assert "acme_names" not in sys.modules
    with pytest.raises(MappingInvalid, match="E114"):
        document.load(folder)
