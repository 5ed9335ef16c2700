"""The project's own code that steps call: the text of each module, and the functions in it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from migrator.mapping import custom, walk
from migrator.mapping.custom import Function
from migrator.mapping.model import From, Mapping, Place, Step
from migrator.mapping.problems import Notes
from migrator.mapping.suggest import suggest
from migrator.mapping.walk import Spot

Fetch = Callable[[str], str | None]


def installed(listed: Collection[str]) -> Fetch:
    """Say where the text of an installed module comes from: only of those that the settings list."""

    def fetch(module: str) -> str | None:
        if module not in listed:
            return None
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            return None
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            return None
        return Path(spec.origin).read_text("utf-8")

    return fetch


def texts(mappings: Iterable[Mapping], fetch: Fetch, elsewhere: Fetch, notes: Notes) -> dict[str, str]:
    """
    Find the text of every module that a step calls, by the name of its file.

    Args:
        fetch: Gives the text of a file beside the mappings. elsewhere: gives that of an installed module.
    """
    found: dict[str, str] = {}
    for mapping in mappings:
        for _, step in walk.calls(mapping):
            module = _module(step)
            file = f"{module}.py"
            if file in found:
                continue
            text = fetch(file)
            text = elsewhere(module) if text is None else text
            if text is None:
                help = f'write it, or list an installed module in migrator.toml: [mappings] code = ["{module}"]'
                notes.add("E114", step.place, f"there is no {file} beside the mappings", help)
            else:
                found[file] = text
    return found


def functions(mappings: Iterable[Mapping], known: dict[str, str], prefix: str, notes: Notes) -> dict[str, Function]:
    """Load the modules and find the function of every call."""
    loaded = {file: _loaded(file, text, prefix, notes) for file, text in known.items()}
    found: dict[str, Function] = {}
    for mapping in mappings:
        for spot, step in walk.calls(mapping):
            offered = loaded.get(f"{_module(step)}.py")
            if offered is None:
                continue
            if step.args not in offered:
                text = f"{_module(step)}.py has no function {step.args.partition(':')[2]} marked with @transform"
                notes.add("E114", step.place, text, suggest(step.args, offered))
                continue
            found[step.args] = offered[step.args]
            _check_columns(spot, step, offered[step.args], notes)
    return found


def _loaded(file: str, text: str, prefix: str, notes: Notes) -> dict[str, Function] | None:
    try:
        return custom.functions(file.removesuffix(".py"), text, prefix + file)
    except custom.CodeWrong as wrong:
        notes.add("E114", Place(prefix + file, wrong.line, 1), wrong.text)
        return None


def _check_columns(spot: Spot, step: Step, function: Function, notes: Notes) -> None:
    source = spot.rule.source
    first = isinstance(source, From) and spot.rule.steps[0] is step
    given = len(source.columns) if first and isinstance(source, From) else 1
    if given != len(function.takes):
        text = f"{function.name} takes {len(function.takes)} column(s), and gets {given}"
        notes.add("E114", step.place, text, "name as many columns in from as the function takes")


def _module(step: Step) -> str:
    return str(step.args).partition(":")[0]
