"""Help as it was written: Rich takes a lower-case word in square brackets for a style, and says nothing in its place."""

from __future__ import annotations

import re
from typing import Any

_STYLE = re.compile(r"(?<!\\)\[(?=[a-z#/@][^\[]*?\])")  # what Rich would obey; it shows all other brackets itself


def show_brackets(command: Any) -> None:
    """Let `--help` show what stands in brackets: of *command*, of its options, and of all verbs under it."""
    for told in (command, *command.params):
        if getattr(told, "help", None):
            vars(told)["help"] = _STYLE.sub(r"\\[", told.help)
    for verb in getattr(command, "commands", {}).values():
        show_brackets(verb)
