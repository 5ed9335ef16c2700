"""What lint mends says the same as before, but for reasons that a person must give."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrator.mapping import document, fixing, problems
from migrator.mapping.lint import lint
from migrator.mapping.problems import Notes
from migrator.mapping.reading.nodes import compose, literal
from migrator.mapping.schema import Schema
from tests.mapping.engine import a_schema, a_table

FOLDER = Path(__file__).parents[2] / "mappings"
PEOPLE = "set: shop\nusers: {table: person, key: id}\n"
MAPPING = """\
# yaml-language-server: $schema=../schema.json
# People, as they came.
target: {table: accounts, id: {keep: id}}    # the new table

# where they come from
source:
  key: id
  # the table of people
  table: person   # all of them
  user: id
mapping: accounts

fields:
  b: {from: "b"}    # quoted
  a: a
"""
LEGACY = a_schema(
    a_table("person", id="integer not null", a="text", b="text", c="text", d__e="text"), a_table("old", id="integer")
)


def fixed(texts: dict[str, str], legacy: Schema | None = LEGACY) -> dict[str, str]:
    return texts | fixing.fixed(document.parse(texts), legacy)


def test_keys_come_in_order_with_their_comments_and_quotes() -> None:
    made = fixed({"set.yaml": PEOPLE, "m.yaml": MAPPING}, None)

    assert (
        made["m.yaml"]
        == """\
# yaml-language-server: $schema=../schema.json
# People, as they came.
mapping: accounts

# where they come from
source:
  # the table of people
  table: person   # all of them
  key: id
  user: id
target: {table: accounts, id: {keep: id}}    # the new table

fields:
  b: {from: "b"}    # quoted
  a: a
"""
    )


def test_the_block_that_is_missing_is_written_and_refused_until_there_are_reasons() -> None:
    made = fixed({"set.yaml": PEOPLE, "m.yaml": MAPPING})

    assert made["m.yaml"].endswith("  a: a\n\nignore:\n  c: ???\n  d__e: ???\n")
    assert made["set.yaml"] == "set: shop\nusers: {table: person, key: id}\n\ntables:\n  old: ???\n"
    notes = Notes()
    for name in made:
        compose(made[name], name, notes)
    found = document._read(made, "", made.get, Notes()).problems
    assert [problem.code for problem in found] == ["E209", "E209", "E209"]


@pytest.mark.parametrize(
    ("ignore", "wanted"),
    [
        ("ignore:\n  c: gone\n\n\n", "ignore:\n  c: gone\n  d__e: ???\n\n\n"),
        ("ignore:\n      c: gone  # {really}\nlimits: {abort_above: 5%}\n", "ignore:\n      c: gone  # {really}\n      d__e: ???\nlimits: {abort_above: 5%}\n"),
        ("ignore: {c: gone}   # {why}\n", "ignore: {c: gone, d__e: '???'}   # {why}\n"),
        ("ignore: {}\n", "ignore: { c: '???', d__e: '???'}\n"),
        ("ignore:\n  'x_*': gone\n  c: gone", "ignore:\n  'x_*': gone\n  c: gone\n  d__e: ???"),
    ],
)  # fmt: skip
def test_a_block_that_is_there_grows(ignore: str, wanted: str) -> None:
    texts = {"set.yaml": PEOPLE + "tables: {old: gone}\n", "m.yaml": MAPPING + ignore}

    made = fixed(texts)

    assert made["m.yaml"].endswith(wanted)
    assert made["set.yaml"] == texts["set.yaml"]


def test_lines_that_end_as_on_windows_stay_so() -> None:
    made = fixed({"set.yaml": PEOPLE, "m.yaml": MAPPING.replace("\n", "\r\n")})

    assert made["m.yaml"].count("\n") == made["m.yaml"].count("\r\n") > MAPPING.count("\n")


def test_what_was_mended_is_mended_no_more() -> None:
    texts = {"set.yaml": PEOPLE + "tables: {old: gone}\n", "m.yaml": MAPPING + "ignore: {c: gone, d__e: gone}\n"}
    made = fixed(texts)

    assert fixed(made) == made
    assert problems.errors(lint(document.parse(made), LEGACY, None)) == []


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*/*.yaml")), ids=lambda file: f"{file.parent.name}/{file.name}")
def test_the_bundled_files_say_the_same_in_any_order(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    turned = _turned(text)

    mended = fixing._mended(turned, [])

    assert _tree(mended) == _tree(text)
    if turned != text:
        assert mended == fixing._mended(mended, [])


def _turned(text: str) -> str:
    """The same with its last block first."""
    blocks = fixing._blocks(text, ())
    if len(blocks) < 2:
        return text
    lines = text.split("\n")
    last = blocks[-1]
    moved = lines[last.start : last.last + 1]
    first = blocks[0].start
    return "\n".join([*lines[:first], *moved, *lines[first : last.start], *lines[last.last + 1 :]])


def _tree(text: str) -> object:
    notes = Notes()
    node = compose(text, "", notes)
    assert node is not None and not notes.found
    return literal(node, notes)
