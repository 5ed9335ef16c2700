"""An example is added to a file: everything that stands there stays, and what is added is read as it was meant."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.errors import Refused
from migrator.mapping.appending import appended
from tests.mapping.engine import a_set

HEAD = """\
# at the top
mapping: m      # a name
source: {table: t, key: id, user: id}
target: {table: t, id: {keep: id}}
fields:
  a: {from: a}
"""
EXAMPLES = """\
examples:
  - name: one     # the first
    given: {id: 1, a: x}
    expect:
      a: |
        two
        lines
# between
limits: {abort_above: 5%}   # at the end
"""
NEW = {"name": "another", "given": {"id": 2, "a": "it's: 'so'"}, "expect": {"a": None}}


def test_it_goes_behind_the_last_one_and_nothing_else_changes() -> None:
    text = appended(HEAD + EXAMPLES, NEW)
    before, after = EXAMPLES.split("# between")

    assert text.startswith(HEAD + before + "  - name: another\n")
    assert text.endswith("# between" + after)


def test_a_file_without_examples_gets_them_at_its_end() -> None:
    assert appended(HEAD, NEW).startswith(HEAD + "\nexamples:\n  - name: another\n")


def test_a_list_that_is_not_indented_is_gone_on_with_as_it_is() -> None:
    text = appended(HEAD + "examples:\n- name: one\n  given: {id: 1}\n  expect: {a: null}\n", NEW)

    assert "\n- name: another\n  given: {id: 2" in text
    assert len(a_set(text).mappings["m"].examples) == 2


@pytest.mark.parametrize("written", ["examples: []\n", "examples: [{name: x, given: {id: 1}, expect: {a: null}}]\n"])
def test_a_list_in_one_line_is_left_to_a_person(written: str) -> None:
    with pytest.raises(Refused, match="one entry per line"):
        appended(HEAD + written, NEW)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-1000, max_value=1000)
    | st.text(st.characters(codec="utf-8"), max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_every_value_is_read_as_it_was_meant(value: object) -> None:
    text = appended(HEAD + EXAMPLES, {"name": "any", "given": {"id": 2, "a": value}, "expect": {"a": None}})

    assert plain(a_set(text).mappings["m"].examples[-1].given["a"]) == plain(value)


def plain(value: object) -> object:
    """Numbers by value; everything else with its type."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
        return Decimal(value)
    return (type(value).__name__, value)
