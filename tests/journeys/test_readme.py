"""The README's commands are played as a reader would type them, and must say what it shows."""

from __future__ import annotations

import difflib
import os
import sys
from pathlib import Path

import pytest

from tests.journeys import console
from tests.journeys.project import REPOSITORY, clean_environment


@pytest.mark.slow
def test_every_command_of_the_readme_says_what_the_readme_shows(tmp_path: Path) -> None:
    steps = console.steps((REPOSITORY / "README.md").read_text(encoding="utf-8"))
    folder = tmp_path / "reader"
    folder.mkdir()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    assert steps, "README.md has no ```console block: a newcomer's first ten minutes are missing"
    for step in steps:
        seen = console.play(step, folder, clean_environment(PATH=path, COLUMNS="120"))
        assert not step.expected or console.matches(step.expected, seen), _unlike(step, seen)


def _unlike(step: console.Step, seen: str) -> str:
    shown = difflib.unified_diff(step.expected, seen.splitlines(), "README.md", "what was said", lineterm="")
    return f"README.md:{step.line}: `{step.command}` says something else:\n" + "\n".join(shown)


STORY = """
# A thing
```sh
$ make ready
```
```console
$ echo one; echo two 2; echo three
one
two …
three
$ printf '%s\\n' \\
> a b c d
a
…
d
$ mkdir inner && cd inner && export WHO=me
```
text
```console
$ basename "$(pwd)"; echo "$WHO"
inner
me
```
"""


def test_blocks_are_one_story_and_other_blocks_are_not_played(tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()

    steps = console.steps(STORY)
    seen = [console.play(step, folder, clean_environment()) for step in steps]

    assert [step.line for step in steps] == [7, 11, 16, 20]
    assert all(console.matches(step.expected, said) for step, said in zip(steps, seen, strict=True))


@pytest.mark.parametrize(
    ("expected", "seen"),
    [
        (["12 users"], "13 users\n"),
        (["… users"], "12 orders\n"),
        (["one"], "one\ntwo\n"),
        (["one", "two"], "one\n"),
        (["one", "…", "two"], "two\none\n"),
        (["a … b"], "a 1\n2 b\n"),
        (["1.5"], "1x5\n"),
    ],
)
def test_what_was_not_shown_is_told_from_what_was(expected: list[str], seen: str) -> None:
    assert not console.matches(expected, seen)


@pytest.mark.parametrize(
    ("expected", "seen"),
    [
        (["… users  "], "12 users\n\n"),
        (["…"], ""),
        (["…"], "a\nb\n"),
        (["a", "…", "z"], "a\nz\n"),
        (["a+b"], "a+b  \n"),
    ],
)
def test_the_ellipsis_stands_for_anything(expected: list[str], seen: str) -> None:
    assert console.matches(expected, seen)


def test_a_command_that_fails_is_told_with_its_line(tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()

    with pytest.raises(AssertionError, match=r"line 2: `false` ended with 1"):
        console.play(console.steps("```console\n$ false\n```\n")[0], folder, clean_environment())
