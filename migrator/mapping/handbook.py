"""The table of transforms for mappings/README.md, made of their docstrings."""

from __future__ import annotations

from migrator.mapping.registry import TRANSFORMS
from migrator.mapping.transforms.transform import Transform

#: What stands before and after the table in the README.
BEGIN, END = "<!-- transforms: made of their docstrings -->", "<!-- end of transforms -->"

_GROUPS = {
    "text": "text",
    "repair": "repair",
    "checks": "null and checks",
    "numbers": "numbers and truth",
    "times": "dates and times",
    "structures": "structures",
    "choices": "one value for another",
    "secrets": "secrets",
    "code": "your own code",
    "keys": "ids and ranges",
}


def table() -> str:
    """All transforms by group: name, what it does, and an example of what becomes of a value."""
    lines = ["| transform | what it does | written | given | becomes |", "| --- | --- | --- | --- | --- |"]
    for module, title in _GROUPS.items():
        lines.append(f"| **{title}** | | | | |")
        lines += [_line(one) for one in TRANSFORMS.values() if one.apply.__module__.rpartition(".")[2] == module]
    return "\n".join(lines)


def example(transform: Transform) -> tuple[str, str, str]:
    """Say the example of a transform: the step as written, what is given (a list for several columns), what it makes."""
    step, _, rest = transform.example.partition(" | ")
    given, _, made = rest.partition(" -> ")
    return step, given, made


def _line(transform: Transform) -> str:
    marks = " *" * transform.many + " !" * transform.fallible
    shown = " | ".join(_code(part) for part in example(transform))
    return f"| `{transform.name}`{marks} | {_cell(transform.about)} | {shown} |"


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
