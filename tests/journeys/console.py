"""
Console blocks of a document: what a reader types and sees, played again.

A block fenced as ```console holds lines that begin with `$ ` (typed; `> ` goes on with the line before) and the lines
that follow (seen). All blocks of a document are one story: one folder, one after the other, `cd` and `export` last.

- `…` inside a line stands for anything, a line of only `…` for any number of lines.
- A command with no lines under it may say what it likes.
- Every command must end with 0; where another end is the point, show it: `$ migrator run; echo "exit $?"`.
- What is not to be played (git clone, make) goes into a block of another name, such as ```sh.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANY = "…"


@dataclass(frozen=True)
class Step:
    """One command, the lines that must follow it, and the line of the document where it stands."""

    command: str
    expected: tuple[str, ...]
    line: int


def steps(document: str) -> list[Step]:
    """Every command of every console block, in order."""
    found: list[Step] = []
    for block in BLOCK.finditer(document):
        first = document.count("\n", 0, block.start(1)) + 1
        found += _steps_of(block[1].splitlines(), first)
    return found


def _steps_of(lines: list[str], first: int) -> Iterable[Step]:
    command, at = "", 0
    expected: list[str] = []
    for number, line in enumerate(lines, first):
        if line.startswith("$ "):
            if command:
                yield Step(command, tuple(expected), at)
            command, expected, at = line[2:], [], number
        elif line.startswith("> ") and not expected:
            command += "\n" + line[2:]
        else:
            if not command:
                raise ValueError(f"line {number}: a console block must begin with `$ `, not {line!r}")
            expected.append(line.rstrip())
    if command:
        yield Step(command, tuple(expected), at)


def matches(expected: Iterable[str], seen: str) -> bool:
    """Whether *seen* is what the document shows; blank lines at the end and blanks at the end of lines do not count."""
    pattern = "".join(_line(line) for line in _without_tail(expected))
    text = "".join(line.rstrip() + "\n" for line in _without_tail(seen.splitlines()))
    return re.fullmatch(pattern, text) is not None


def _line(line: str) -> str:
    if line.strip() == ANY:
        return r"(?:.*\n)*?"
    return r"[^\n]*?".join(re.escape(part) for part in line.rstrip().split(ANY)) + r"\n"


def _without_tail(lines: Iterable[str]) -> list[str]:
    kept = list(lines)
    while kept and not kept[-1].strip():
        kept.pop()
    return kept


def play(step: Step, folder: Path, environment: Mapping[str, str], timeout: float = 300) -> str:
    """
    Run one step in *folder* and return what it said.

    Where the shell ended up and what it exported is kept in two files beside *folder*, so that the next step goes on there.
    """
    where, exported = folder.with_suffix(".cwd"), folder.with_suffix(".env")
    script = (
        f"cd \"$(cat '{where}')\" 2>/dev/null; . '{exported}' 2>/dev/null\n"
        f"{step.command}\ncode=$?\npwd > '{where}'; export -p > '{exported}'\nexit $code\n"
    )
    if not where.exists():
        where.write_text(str(folder))
        exported.touch()
    done = subprocess.run(
        ["bash", "-c", script], env=dict(environment), cwd=folder, timeout=timeout, check=False, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"line {step.line}: `{step.command}` ended with {done.returncode}:\n{done.stdout}")
    return done.stdout
