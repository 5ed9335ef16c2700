"""Documents made to eat memory or time, or to run something: refused with a place, in moments."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from migrator.errors import MappingInvalid
from migrator.mapping import document
from migrator.mapping.reading import nodes
from migrator.mapping.suggest import suggest

SHOP = Path(__file__).parents[2] / "mappings" / "shop"
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(SHOP.glob("*.yaml"))}
MANY = range(15_000)
BOMBS = {
    "a billion laughs": ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "{file}:1:4", "is an anchor"),
    "an alias": ("a: *a\n", "{file}:1:4", "is an alias"),
    "an object of Python": ("a: !!python/object/apply:os.system ['id']\n", "{file}:1:4", "tags such as"),
    "a merge key": ("<<: {a: 1}\n", "{file}:1:1", "merge keys"),
    "brackets": ("a: " + "[" * 400_000, "{file}:1:23", "deeper than 20"),
    "braces": ("a: " + "{a: " * 200_000, "{file}:1:77", "deeper than 20"),
    "questions": ("? " * 400_000, "{file}:1:41", "deeper than 20"),
    "depth by indentation": ("".join(" " * depth + "a:\n" for depth in range(900)), "{file}:20:20", "deeper than 20"),
    "the same key": ("a: 1\n" * 190_000, "{file}:2:1", '"a" was already set on line 1'),
    "lines that are none": ("a: 1\u2028" * 60_000, "{file}:1:6", "already set"),
    "many keys": ("".join(f"k{number}: 1\n" for number in MANY), "{file}:10000:", "more than 20,000 words"),
    "many fields": (
        TEXTS["accounts.yaml"].partition("fields:")[0] + "fields:\n" + "".join(f"  c{number}: $v{number}\n" for number in MANY),
        "{file}:", "more than 20,000 words",
    ),
    "many items": ("-\n" * 400_000, "{file}:20000:", "more than 20,000 words"),
    "many documents": ("---\n" * 200_000, "{file}:3:1", "one file holds one document"),
    "a huge file": ("x" * 1_000_001, "{file}:1:1", "larger than 1 MB"),
    "a NUL": ("a: \x00\n", "{file}:1:4", "control characters"),
    "an escape": ("a: \x1b[31m\n", "{file}:1:4", "control characters"),
    "a huge key": ("a" * 900_000 + ": 1\n", "{file}:1:", ""),
    "a huge word": ("a: " + "x" * 990_000, "{file}:1:1", "unknown key"),
}  # fmt: skip


@pytest.mark.parametrize("file", ["accounts.yaml", "set.yaml"])
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_document_that_is_a_bomb_is_refused_with_its_place(bomb: str, file: str) -> None:
    text, place, said = BOMBS[bomb]
    begun = time.process_time()

    with pytest.raises(MappingInvalid) as refused:
        document.parse({**TEXTS, file: text})

    took, report = time.process_time() - begun, str(refused.value)
    assert place.format(file=file) in report
    assert said in report or bomb == "a huge word"
    assert len(report) < 200_000, "what nobody can read is cut"
    assert took < 8  # it took minutes before; no figure


def test_a_file_that_is_no_utf8_or_too_large_is_told(tmp_path: Path) -> None:
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "broken.yaml").write_bytes(b"mapping: a\nabout: \xff\n")
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate(20_000_000)

    found = [
        f"{problem.place.file}:{problem.place.line} {problem.text}" for problem in document.read(tmp_path).problems
    ]

    assert any("broken.yaml:2 the file is not UTF-8" in one for one in found)
    assert any("large.yaml:0 the file is larger than 16 MB" in one for one in found)


def test_the_bounds_leave_room_for_mappings_as_they_are() -> None:
    largest = max(len(path.read_bytes()) for path in SHOP.parent.rglob("*.yaml"))

    assert largest * 100 < nodes._MOST_BYTES


def test_a_word_that_is_no_slip_of_the_pen_is_like_nothing() -> None:
    assert suggest("emial", ["email", "name"]) == 'did you mean "email"?'
    assert suggest("e" * 100_000, ["email", "e" * 99_999]).startswith("there is: ")
