"""Whatever happens to a good file, it is a valid set again or refused with places inside the file: never a traceback."""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrator.errors import MappingInvalid
from migrator.mapping import document, problems
from migrator.mapping.lint import lint
from migrator.mapping.model import Place
from migrator.mapping.schema import Schema

SHOP = Path(__file__).parents[3] / "mappings" / "shop"
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(SHOP.glob("*.yaml"))}
NAMES = sorted(TEXTS)
PIECES = [
    "", " ", "\n", "\t", ":", "-", "{", "}", "[", "]", "'", '"', "#", "&a", "*a", "!!str ", "|", ">", "?", ",", "%", "@", "`",
    "~", "null", "true", "no", "on", "010", "22:30", "1e9", "-1", "0", "9" * 40, "\x00", "\x85", "\ufeff", "ß", "𝔘", "<<", "---\n",
    "...", "{}", "[]", "$plan.as_of", "$x", "a.b", "uuid4", "now", "{from: }", "[[]]",
]  # fmt: skip


def refused_or_sound(texts: dict[str, str]) -> None:
    """Read and lint; every place must lie in its file."""
    try:
        made = document.parse(texts)
    except MappingInvalid:
        pass
    else:
        for found in lint(made, None, None, warnings=False):
            inside(texts, found.place)
    folder_read = document._read(texts, "", texts.get, problems.Notes())
    for found in folder_read.problems:
        inside(texts, found.place)
    if folder_read.set is not None:
        for found in lint(folder_read.set, Schema("sqlite"), Schema("sqlite"), whole=folder_read.whole, covering=False):
            inside(texts, found.place)


def inside(texts: dict[str, str], place: Place) -> None:
    if not place.line:
        return
    lines = texts[place.file].split("\n")
    assert 1 <= place.line <= len(lines) + 1
    width = len(lines[place.line - 1]) if place.line <= len(lines) else 0
    assert 1 <= place.column <= width + 2


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    name=st.sampled_from(NAMES),
    at=st.floats(0, 1, exclude_max=True),
    gone=st.integers(0, 12),
    piece=st.sampled_from(PIECES) | st.text(max_size=3),
)
def test_characters_may_be_lost_and_others_come(name: str, at: float, gone: int, piece: str) -> None:
    text = TEXTS[name]
    start = int(at * len(text))
    refused_or_sound({**TEXTS, name: text[:start] + piece + text[start + gone :]})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 10**9), piece=st.sampled_from(PIECES))
def test_a_word_may_become_another(name: str, seed: int, piece: str) -> None:
    rng = random.Random(seed)
    words = [place for place in _words(TEXTS[name]) if place[1] > place[0]]
    start, end = rng.choice(words)
    refused_or_sound({**TEXTS, name: TEXTS[name][:start] + piece + TEXTS[name][end:]})


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    name=st.sampled_from(NAMES), seed=st.integers(0, 10**9), how=st.sampled_from(["lose", "double", "swap", "indent"])
)
def test_lines_may_be_lost_doubled_swapped_and_indented(name: str, seed: int, how: str) -> None:
    rng = random.Random(seed)
    lines = TEXTS[name].split("\n")
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    if how == "lose":
        del lines[one]
    elif how == "double":
        lines.insert(other, lines[one])
    elif how == "swap":
        lines[one], lines[other] = lines[other], lines[one]
    else:
        lines[one] = " " * rng.choice([1, 2, 4]) + lines[one]
    refused_or_sound({**TEXTS, name: "\n".join(lines)})


def _words(text: str) -> list[tuple[int, int]]:
    found, start = [], 0
    for place, letter in enumerate(text):
        if letter in " \n,{}[]:'\"":
            found.append((start, place))
            start = place + 1
    return found
