"""Tries every template before a user sees one: all that is wrong, at once, with file and line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from migrator.errors import WrongInput
from migrator.flows.telling.templates import LAST_RESORT, VARIABLES, Templates, sample

TIERS = ("core", "normal", "edge")


def lint(templates: Templates, events: Iterable[str], default: str = LAST_RESORT, channel: str = "email") -> list[str]:
    """Render every template for every tier, with and without a name and a reason; [] where all is well."""
    problems = list(_missing(templates, events, default, channel))
    for event, of_channel, name in templates.files:
        problems += dict.fromkeys(_wrong(templates, event, of_channel, name))
    return problems


def _missing(templates: Templates, events: Iterable[str], default: str, channel: str) -> Iterator[str]:
    for event in events:
        try:
            templates.find(event, None, channel, default)
        except WrongInput as problem:
            yield str(problem)


def _wrong(templates: Templates, event: str, channel: str, name: str) -> Iterator[str]:
    locale = name.rpartition("/")[2].split(".")[0]
    try:
        unknown = templates.unknown_variables(name)
        yield from (_unknown(templates, name, variable, line) for variable, line in unknown)
        if not unknown:
            for given in _samples():
                templates.render(event, locale, channel, given)
    except WrongInput as problem:
        yield str(problem)


def _unknown(templates: Templates, name: str, variable: str, line: int) -> str:
    close = get_close_matches(variable, VARIABLES, n=1, cutoff=0.72)
    hint = f'did you mean "{close[0]}"?' if close else f"known are {', '.join(VARIABLES)}"
    return f'{templates.folder / name}:{line}: unknown variable "{variable}"; {hint}'


def _samples() -> Iterator[dict[str, str]]:
    for tier in TIERS:
        yield sample(tier)
        yield {**sample(tier), "name": "", "reason": ""}
