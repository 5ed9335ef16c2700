"""An editor knows the language: the committed schema is the one of the code, and says what the reader says."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from migrator.mapping import editor
from migrator.mapping.problems import Notes
from migrator.mapping.reading.nodes import compose, literal
from migrator.mapping.registry import TRANSFORMS
from tests.mapping.broken.cases import KEYS, STEPS, VALUES, Case
from tests.mapping.broken.test_broken import _edited

FOLDER = Path(__file__).parents[2] / "mappings"
FILES = sorted(FOLDER.glob("*/*.yaml"))
VALIDATOR = jsonschema.Draft7Validator(editor.schema())
#: Mistakes that a JSON Schema cannot see.
UNSEEN = (
    "a time zone that is none",  # which there are, the machine knows
    "a password scheme nobody knows",  # their names have free parts
)


def document_of(text: str) -> Any:
    notes = Notes()
    node = compose(text, "", notes)
    assert node is not None
    return _plain(literal(node, notes))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {str(key): _plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def test_the_schema_in_the_folder_is_the_one_of_the_code() -> None:
    assert (FOLDER / editor.FILE).read_text(encoding="utf-8") == editor.text(), "run `migrator mapping schema`"


def test_it_is_a_schema_of_draft_7() -> None:
    jsonschema.Draft7Validator.check_schema(editor.schema())


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_bundled_file_is_valid_and_names_the_schema(file: Path) -> None:
    text = file.read_text(encoding="utf-8")

    assert text.split("\n", 1)[0] == "# yaml-language-server: $schema=../schema.json"
    assert [error.message for error in VALIDATOR.iter_errors(document_of(text))] == []


def test_every_transform_is_offered_with_what_it_does() -> None:
    step = editor.schema()["definitions"]["step"]
    offered = step["anyOf"][1]["properties"]

    assert set(offered) == set(TRANSFORMS)
    assert all(offered[name]["description"] for name in TRANSFORMS)
    assert "trim" in step["anyOf"][0]["enum"] and "truncate" not in step["anyOf"][0]["enum"]


SHAPES = ("E101", "E102", "E103", "E110", "E111")
TYPOS = [case for case in (*KEYS, *VALUES, *STEPS) if case[4] in SHAPES and case[0] not in UNSEEN]


@pytest.mark.parametrize("case", TYPOS, ids=[f"{case[1].removesuffix('.yaml')}: {case[0]}" for case in TYPOS])
def test_what_the_reader_refuses_for_its_shape_the_editor_underlines(case: Case) -> None:
    texts, _ = _edited(case)

    assert not VALIDATOR.is_valid(document_of(texts[case[1]]))
