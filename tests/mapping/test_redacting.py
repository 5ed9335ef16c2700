"""Made-up values: of the same shape, the same every time, and nobody's."""

from __future__ import annotations

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.mapping import php
from migrator.mapping.redacting import Redactor, columns_kept
from tests.mapping.engine import a_set

RED = Redactor("seed", sensitive=frozenset({"birth", "phone"}), documents=frozenset({"ext"}))


def made(name: str, value: str) -> str:
    return str(RED.given({name: value})[name])


def test_an_address_stays_an_address_and_is_nobodys() -> None:
    assert re.fullmatch(r"[A-Z][a-z]{2}\.[A-Z][a-z]{2}@example\.(com|org)", made("email", "Ann.Lee@Real.CO"))


def test_the_blanks_around_a_value_stay() -> None:
    assert re.fullmatch(r"  [a-z]{3}\t", made("login", "  ann\t"))


@pytest.mark.parametrize("value", ["12.0.3.4", "fe80::1"])
def test_internet_addresses_become_ones_kept_for_examples(value: str) -> None:
    assert made("ip", value).startswith(("192.0.2.", "2001:db8:"))


def test_a_telephone_number_keeps_its_beginning() -> None:
    found = made("phone", "138 0013 8000")

    assert found.startswith("138 0013 ") and found != "138 0013 8000"


def test_a_name_is_a_name_of_the_same_length() -> None:
    found = made("firstname", "Hannah")

    assert found != "Hannah" and re.fullmatch(r"[A-Z][a-z]{5}", found)


def test_a_day_of_birth_is_another_day() -> None:
    found = made("birth", "1987-03-04")

    assert found != "1987-03-04" and date.fromisoformat(found)


def test_a_day_that_no_calendar_knows_stays_one() -> None:
    with pytest.raises(ValueError, match="day"):
        date.fromisoformat(made("birth", "1987-02-30"))


def test_text_that_was_decoded_wrongly_stays_so() -> None:
    found = made("name", "SchÃ¶n")

    assert found != "SchÃ¶n" and found.encode("cp1252").decode() != found


def test_a_document_keeps_its_keys_and_its_numbers() -> None:
    found = RED.given({"ext": '{"note":"ring Ann","gift":true,"kg":1.250}'})["ext"]

    assert re.fullmatch(r'\{"note":"[a-z]{4} [A-Z][a-z]{2}","gift":true,"kg":1\.250\}', found)
    assert "Ann" not in found


def test_serialized_text_still_parses() -> None:
    found = php.read(made("ext", 'a:2:{s:4:"name";s:3:"Ann";s:3:"qty";i:2;}'))

    assert found["qty"] == 2 and found["name"] != "Ann" and len(found["name"]) == 3


def test_a_document_that_was_cut_off_stays_so_and_tells_nothing() -> None:
    found = made("ext", '{"note": "ring Ann')

    assert found.startswith('{"') and "Ann" not in found and "ring" not in found


def test_what_a_mapping_goes_by_stays() -> None:
    set_ = a_set(
        "mapping: m\nsource: {table: t, key: id, user: id, where: {shut: 0}}\ntarget: {table: t, id: {keep: id}}\n"
        "fields:\n  a: {from: status, transform: [{map: {x: 1}}]}\n  b: {from: at, transform: [date]}\n"
        "  c: {choose: [{when: {kind: k}, value: 1}]}\n  d: {from: free}\n"
        "  e: {from: mail, transform: [{map: {x: 1}}], sensitive: true}\n"
    )

    assert columns_kept(set_.mappings["m"]) == {"id", "shut", "status", "at", "kind"}


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=40)


@given(TEXT)
def test_whatever_it_is_it_is_made_up_the_same_way_each_time(value: str) -> None:
    once = Redactor("seed").text("column", value)

    assert once == Redactor("seed").text("column", value)
    assert bool(once.strip()) == bool(value.strip())


@given(st.from_regex(r"[a-zA-Z]{12,30}", fullmatch=True))
def test_words_do_not_come_through(value: str) -> None:
    found = Redactor("seed").text("column", value)

    assert len(found) == len(value)
    assert sum(a == b for a, b in zip(found, value, strict=True)) < 0.8 * len(value)


@given(TEXT, TEXT)
def test_equal_values_of_a_row_stay_equal(one: str, other: str) -> None:
    found = Redactor("seed").given({"a": one, "b": other, "c": one})

    assert found["a"] == found["c"]
