from __future__ import annotations

from pathlib import Path

import pytest

from migrator.mapping import document, examples
from tests.mapping.engine import a_schema, a_set, a_table

PERSON = a_table("person", id="integer", name="text", level="text", paid="decimal", born="text")
LETTER = a_table("letter", id="integer", person="integer", at="text")
LEGACY = a_schema(PERSON, LETTER)
TARGET = a_schema(a_table("account", id="uuid", name="text", level="text", total="decimal", at="timestamp", doc="json"))

MAPPING = """mapping: accounts
source:
  table: person
  key: id
  user: id
  null_if: ['']
  join: {letters: {table: letter, match: {person: id}, many: {order: at, item_key: id}}}
target: {table: account, id: {uuid5: id}}
fields:
  name: {from: name, transform: [trim], required: true}
  level: {from: level, transform: [{map: {1: low}}]}
  total: {from: paid, transform: [decimal]}
  at: {from: born, transform: [{datetime: {timezone: UTC}}]}
  doc: {of: letters, collect: {at: at, n: {value: 1.50}}, default: []}
examples:
  - name: it
"""


def told(example: str, *, typed: bool = True) -> str:
    (result,) = examples.run(a_set(MAPPING + example), LEGACY if typed else None, TARGET if typed else None)
    assert result.passed == (not result.diff)
    assert (result.name, result.mapping, result.place.file) == ("it", "accounts", "m0.yaml")
    return result.diff


GOOD = "    given: {id: 7, name: ' Ann ', level: 1, paid: 2.50, born: '2020-01-02 03:04:05', letters: [{at: b}, {at: a}]}\n"


@pytest.mark.parametrize("typed", [True, False])
def test_what_is_expected_is_part_of_the_row_and_exact_below(typed: bool) -> None:
    expect = "    expect: {name: Ann, level: low, total: '2.5', at: '2020-01-02T03:04:05Z', doc: [{at: a, n: 1.5}, {at: b, n: 1.50}]}\n"

    assert told(GOOD + expect, typed=typed) == ""


@pytest.mark.parametrize(
    ("expect", "diff"),
    [
        ("{name: Bob}", 'name: expected "Bob", found "Ann"'),
        ("{total: 2.51}", "total: expected 2.51, found 2.5"),
        ("{level: null}", 'level: expected null, found "low"'),
        ("{at: '2020-01-02T03:04:06Z'}", 'at: expected "2020-01-02T03:04:06Z", found 2020-01-02T03:04:05Z'),
        ("{doc: [{at: a, n: 1.5}]}", 'doc: expected [{"at":"a","n":1.5}], found [{"at":"a","n":1.5},{"at":"b","n":1.5}]'),
        ("{doc: [{at: a, n: '1.5'}, {at: b, n: 1.5}]}", 'doc: expected [{"at":"a","n":"1.5"},{"at":"b","n":1.5}], found [{"at":"a","n":1.5},{"at":"b","n":1.5}]'),
    ],
)  # fmt: skip
def test_a_failure_says_field_by_field_what_is_not_as_expected(expect: str, diff: str) -> None:
    assert told(f"{GOOD}    expect: {expect}\n") == diff


def test_an_expected_review_names_field_rule_and_value_and_no_other_may_come() -> None:
    row = "    given: {id: 8, name: '', level: 9}\n"

    assert (
        told(
            row
            + "    expect_review: [{field: name, rule: required, value: null}, {field: level, rule: map, value: 9}]\n"
        )
        == ""
    )
    diff = told(row + "    expect_review: [{field: name, rule: required}, {field: level, rule: map, value: 8}]\n")
    assert diff.splitlines()[0] == "expected review  field: level, rule: map, value: 8"
    assert diff.splitlines()[1].startswith("found review     field: level, rule: map, value: 9")


def test_a_row_that_should_be_written_and_is_not_says_why() -> None:
    assert told("    given: {id: 8, level: 1}\n    expect: {level: low}\n").startswith(
        "found review     field: name, rule: required"
    )


def test_columns_that_are_not_given_are_null() -> None:
    assert told("    given: {id: 8, name: x}\n    expect: {level: null, total: null, doc: []}\n") == ""


@pytest.mark.parametrize(
    "folder",
    sorted(path.parent for path in (Path(__file__).parents[2] / "mappings").glob("*/set.yaml")),
    ids=lambda folder: folder.name,
)
def test_the_examples_of_the_bundled_mappings_pass(folder: Path) -> None:
    set_ = document.load(folder)

    results = examples.run(set_, None, None)

    assert results and [result for result in results if not result.passed] == []
