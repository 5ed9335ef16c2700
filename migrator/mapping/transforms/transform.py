"""What a transform is: a name, one function over columns, and a check of its arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from migrator.mapping.environment import Env
from migrator.mapping.values import Values

Apply = Callable[[Sequence[Values], Any, Env], Values]
Check = Callable[[Any], str | None]
_EXAMPLE = "Example: "


@dataclass(frozen=True, slots=True)
class Transform:
    """
    One word of the language.

    `apply(inputs, args, env)` never raises for a value, whatever it is; `check_args(args)` says in a sentence what is
    wrong with arguments. `fallible`: it may send a row to review. `many`: it takes several columns. `example` says in
    the words of a mapping what becomes of a value: `STEP | GIVEN -> MADE`; MADE may be `review`.
    """

    name: str
    apply: Apply
    check_args: Check
    fallible: bool
    many: bool
    about: str
    example: str


def word(apply: Apply, check: Check, *, fallible: bool = False, many: bool = False) -> Transform:
    """Make a transform of a function; its name is the word (an underscore at the end falls off)."""
    lines = [line.strip() for line in (apply.__doc__ or "").strip().splitlines()]
    example = next((line.removeprefix(_EXAMPLE) for line in lines if line.startswith(_EXAMPLE)), "")
    return Transform(apply.__name__.rstrip("_"), apply, check, fallible, many, lines[0], example)
