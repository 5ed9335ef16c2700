"""
A project's own functions, as a mapping calls them: `call: MODULE:FUNCTION`.

A module stands as MODULE.py beside the mappings. Each function that may be called says what it takes and gives:

    from migrator.mapping.custom import transform

    @transform(takes=str, gives=str)
    def title(values: list[str]) -> list[str | None]:
        return [value.title() for value in values]
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from types import ModuleType
from typing import Any, TypeVar

#: What a function may take and give. No float: a number that a binary float changed is not what legacy says.
TYPES: tuple[type, ...] = (str, int, Decimal, bool, date, datetime, dict, list)

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Function:
    """A function that mappings may call, and what it promises."""

    name: str
    run: Callable[[list[Any]], Any]
    takes: tuple[type, ...]
    gives: type
    pure: bool = True


class CodeWrong(ValueError):
    """A module cannot be used; the text says why, `line` where."""

    def __init__(self, text: str, line: int = 1) -> None:
        super().__init__(text, line)
        self.text, self.line = text, line


def transform(*, takes: type | tuple[type, ...], gives: type, pure: bool = True) -> Callable[[F], F]:
    """
    Let mappings call a function from a list of values to a list of values, as long and in the same order.

    Args:
        takes: The type of the values; several for several columns, whose values then come as tuples (with None where
            a column is null). A function gets no value that is null as a whole.
        gives: The type of what it gives; None is null.
        pure: Called once with the distinct values; False gives it every row's value. Either way the same rows must
            give the same values in every run, for they are computed again when the move is verified.

    An exception for a value sends this value to review, under the name of the exception; its words are not kept.
    """
    kinds = takes if isinstance(takes, tuple) else (takes,)
    for kind in (*kinds, gives):
        if kind not in TYPES:
            raise TypeError(f"{kind!r} is none of {', '.join(one.__name__ for one in TYPES)}")

    def mark(function: F) -> F:
        function.__migrator__ = (kinds, gives, pure)  # type: ignore[attr-defined]  # found again by `functions`
        return function

    return mark


def functions(module: str, text: str, file: str) -> dict[str, Function]:
    """
    Run the text of a module and list the functions in it that mappings may call, by `MODULE:FUNCTION`.

    Args:
        file: How messages name it.

    Raises:
        CodeWrong: it does not compile, or raises.
    """
    made = _module(module, text, file)
    found = {}
    for name, value in vars(made).items():
        marked = getattr(value, "__migrator__", None)
        if marked is not None and callable(value):
            found[f"{module}:{name}"] = Function(f"{module}:{name}", value, *marked)
    return found


def _module(module: str, text: str, file: str) -> ModuleType:
    # by its content: two versions of one mapping set live side by side in a worker
    unique = f"migrator_code_{hashlib.sha256(f'{module}:{text}'.encode()).hexdigest()[:16]}"
    if unique in sys.modules:
        return sys.modules[unique]
    made = ModuleType(unique)
    made.__file__ = file
    made.__package__ = module.rpartition(".")[0]
    sys.modules[unique] = made  # dataclasses look their module up
    try:
        exec(compile(text, file, "exec", dont_inherit=True), made.__dict__)  # noqa: S102 - it is the project's own
    except SyntaxError as exc:
        del sys.modules[unique]
        raise CodeWrong(f"this is no Python: {exc.msg}", exc.lineno or 1) from exc
    except Exception as exc:
        del sys.modules[unique]
        raise CodeWrong(f"it cannot be loaded: {type(exc).__name__}: {exc}", _line(exc, file)) from exc
    return made


def _line(exc: Exception, file: str) -> int:
    """The last line of *file* that was under way."""
    line, step = 1, exc.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == file:
            line = step.tb_lineno
        step = step.tb_next
    return line
