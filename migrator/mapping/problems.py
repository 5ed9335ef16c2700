"""What is wrong with a mapping folder: one Problem per mistake, with its place, and how it is shown."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from migrator.mapping.model import Place

MOST_SHOWN = 200  # what a person reads; more come from one cause
LONGEST_LINE = 200
Lines: TypeAlias = Mapping[str, list[str]]

#: Every code with its name. A code that begins with E is an error, one with W a warning.
NAMES = {
    "E100": "not-found",
    "E101": "not-a-mapping",
    "E102": "missing-key",
    "E103": "unknown-key",
    "E104": "duplicate-key",
    "E105": "wrong-value",
    "E106": "not-allowed-yaml",
    "E110": "unknown-transform",
    "E111": "wrong-arguments",
    "E112": "several-columns",
    "E113": "wrong-reference-file",
    "E114": "wrong-custom-code",
    "W113": "text-by-code-point",
    "E201": "unknown-source-column",
    "E202": "source-column-not-covered",
    "E203": "stale-ignore",
    "W204": "filter-hides-what-a-field-checks",
    "W205": "ignored-column-not-empty",
    "E206": "not-as-expected",
    "E207": "table-not-covered",
    "W208": "no-index",
    "E209": "reason-missing",
    "E211": "rows-of-nobody",
    "W212": "children-lose-their-parent",
    "E212": "rows-of-nobody-without-key",
    "W214": "condition-on-a-null",
    "E213": "rows-of-nobody-without-way",
    "E215": "name-not-possible",
    "E301": "unknown-target-column",
    "E302": "not-null-column-not-set",
    "E303": "target-column-set-twice",
    "E304": "generated-column-set",
    "E305": "no-such-key",
    "W306": "nullable-column-not-set",
    "E307": "conflict-column-not-set",
    "E308": "table-not-undoable",
    "W401": "may-not-fit",
    "E402": "type-needs-a-step",
    "W403": "null-into-not-null",
    "W404": "map-and-data-differ",
    "E405": "value-not-in-enum",
    "E501": "unknown-parent",
    "E502": "cycle",
    "E503": "key-types-differ",
    "W504": "reference-not-unique",
    "E505": "missing-row-into-not-null",
    "E506": "merge-without-a-word",
    "E507": "another-users-row",
    "E508": "merge-across-users",
    "E509": "foreign-key-cycle",
    "E510": "unknown-people",
    "E511": "person-not-to-be-known",
    "E601": "not-deterministic",
    "W602": "personal-data-not-sensitive",
    "W603": "null-on-error",
    "W604": "update-of-a-shared-table",
    "W605": "sum-in-another-unit",
    "W701": "not-shown-by-an-example",
    "W702": "call-without-example",
    "E703": "example-does-not-fit",
    "E801": "schema-changed",
    "W901": "column-not-carried-back",
    "W902": "row-not-carried-back",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `text` is one sentence in plain words, `help` the next thing to do (may have lines)."""

    code: str
    name: str
    level: str  # error | warning
    place: Place
    text: str
    help: str = ""


@dataclass(slots=True)
class Notes:
    """Where readers and checks write down what they found, so that all mistakes are told at once."""

    found: list[Problem] = field(default_factory=list)

    def add(self, code: str, place: Place, text: str, help: str = "") -> None:
        """Note one mistake; its name and level follow from the code."""
        level = "error" if code.startswith("E") else "warning"
        self.found.append(Problem(code, NAMES[code], level, place, text, help))


def errors(problems: Iterable[Problem]) -> list[Problem]:
    """Those that forbid the mapping; warnings never do."""
    return [problem for problem in problems if problem.level == "error"]


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """By file, line and column, each once."""
    return sorted(set(problems), key=lambda p: (p.place.file, p.place.line, p.place.column, p.code, p.text))


def render(problems: Iterable[Problem], texts: Mapping[str, str]) -> str:
    """
    Show problems for people: place, the line, carets under the exact word, the sentence, and help.

    Args:
        problems: In any order; shown by file and line, the first `MOST_SHOWN` of them. `as_json` has all.
        texts: Name of a file -> its text. A name may lack the folder that places have before it.
    """
    ordered = in_order(problems)
    lines = {name: text.split("\n") for name, text in texts.items()}
    shown = [_shown(problem, lines) for problem in ordered[:MOST_SHOWN]]
    more = [f"… and {len(ordered) - MOST_SHOWN} more"] if len(ordered) > MOST_SHOWN else []
    return "\n".join([*shown, *more])


def as_json(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """The same for tools: flat maps in the order of `render`."""
    return [
        {
            "code": problem.code,
            "name": problem.name,
            "level": problem.level,
            **asdict(problem.place),
            "text": problem.text,
            "help": problem.help,
        }
        for problem in in_order(problems)
    ]


def _shown(problem: Problem, texts: Lines) -> str:
    place = problem.place
    at = f"{place.file}:{place.line}:{place.column}" if place.line else place.file
    lines = [f"{at}  {problem.level} {problem.code} {problem.name}", *_pointed(problem, texts)]
    if problem.help:
        first, *more = problem.help.splitlines()
        lines += [f"  help: {first}", *(f"        {line}" for line in more)]
    return "\n".join(lines)


def _pointed(problem: Problem, texts: Lines) -> list[str]:
    place = problem.place
    line = _line(place, texts)
    if line is None:
        return [f"       | {problem.text}"]
    line, at = _window(line, place.column - 1)
    before, under = line[:at], line[at : at + place.length]
    indent, carets = " " * _width(before), "^" * max(1, _width(under))
    return [f"{place.line:>6} | {line}", f"       | {indent}{carets} {problem.text}"]


def _line(place: Place, texts: Lines) -> str | None:
    for name, lines in texts.items():
        if place.file == name or place.file.endswith(f"/{name}"):
            return lines[place.line - 1].rstrip("\r").replace("\t", " ") if 0 < place.line <= len(lines) else None
    return None


def _window(line: str, at: int) -> tuple[str, int]:
    """The part of a line that is to be read around *at*, and where *at* is in it."""
    if len(line) <= LONGEST_LINE:
        return line, at
    start = max(0, min(at - LONGEST_LINE // 2, len(line) - LONGEST_LINE))
    before, after = "…" if start else "", "…" if start + LONGEST_LINE < len(line) else ""
    return f"{before}{line[start : start + LONGEST_LINE]}{after}", at - start + len(before)


def _width(text: str) -> int:
    """How many cells a terminal gives *text*: two for each wide letter."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
