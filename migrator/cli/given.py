"""Take text as it was typed. Typer hands every value to pydantic, whose import alone is a sixth of a command's start."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any


def take_as_given(command: Any) -> None:
    """Let text, and options that were not given, pass unconverted: in *command* and in all verbs under it."""
    # An instance is changed because Typer makes it: it has no place where one could name a class of parameters.
    vars(command)["get_params"] = partial(_parameters, command.get_params)
    for verb in getattr(command, "commands", {}).values():
        take_as_given(verb)


def _parameters(ask: Callable[[Any], list[Any]], context: Any) -> list[Any]:
    """All of a command: also `--help`, which only a context knows."""
    parameters = ask(context)
    for parameter in parameters:
        vars(parameter).setdefault("process_value", partial(_taken, parameter, parameter.process_value))
    return parameters


def _taken(parameter: Any, convert: Callable[[Any, Any], Any], context: Any, value: Any) -> Any:
    if not (_is_absent(parameter, value) or _is_text(parameter, value)):
        return convert(context, value)  # numbers, paths, choices, lists; and what is missing, for its message
    return parameter.callback(context, parameter, value) if parameter.callback else value


def _is_absent(parameter: Any, value: Any) -> bool:
    return value is None and not (parameter.required or parameter.multiple or parameter.nargs != 1)


def _is_text(parameter: Any, value: Any) -> bool:
    kind = getattr(parameter, "type_descriptor", None)  # not in versions of Typer that do without pydantic
    return isinstance(value, str) and kind is not None and kind.annotation is str and not kind.parameter_info.parser
