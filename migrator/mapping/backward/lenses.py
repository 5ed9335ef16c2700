"""All steps of the language by name: the way back through each, or why there is none."""

from __future__ import annotations

from migrator.mapping.backward import choices, numbers, structures, texts, times
from migrator.mapping.backward.lens import Lens, same
from migrator.mapping.model import Step

_ITSELF = Lens(same)  # for values that the step leaves as they are

LENSES: dict[str, Lens] = {
    **dict.fromkeys(
        (
            "trim", "collapse_spaces", "lower", "upper", "replace", "extract", "truncate", "normalize",
            "strip_control", "repair_encoding", "null_if", "matches", "one_of", "between", "email", "phone",
            "integer", "decimal", "round", "json",
        ),
        _ITSELF,
    ),
    "unescape_html": Lens(texts.unescape_html),
    "format": Lens(texts.format_),
    "split": Lens(texts.split),
    "concat": Lens(texts.concat, "where each part is told by the separator", texts.no_separator),
    "coalesce": Lens(texts.coalesce),
    "range": Lens(texts.range_),
    "multiply": Lens(numbers.multiply, "where it comes out even", numbers.by_zero),
    "divide": Lens(numbers.divide),
    "boolean": Lens(numbers.boolean),
    "date": Lens(times.date),
    "datetime": Lens(times.datetime_),
    "epoch": Lens(times.epoch, "without a fraction of its unit"),
    "map": Lens(choices.map_),
    "lookup": Lens(choices.in_file),
    "json_get": Lens(structures.json_get, "where the document has a place for it"),
}  # fmt: skip

#: Why a step has no way back.
WITHOUT = {
    "hash": "a hash cannot be undone",
    "password_hash": "a password is never carried back",
    "uuid5": "an id is computed from other values",
    "call": "nobody knows how to undo the project's own code",
    "php": "nothing writes serialized PHP",
}


def denied(step: Step) -> str | None:
    """Why there is no way back through *step*, None where there is one."""
    lens = LENSES.get(step.name)
    if lens is None:
        return f"{WITHOUT.get(step.name, 'it cannot be undone')} (step {step.name})"
    why = lens.denied(step.args)
    return f"{why} (step {step.name})" if why else None


def only(step: Step) -> str:
    """For which values there is a way back through *step*; empty for all that it leaves as they are."""
    return choices.some_twice(step.args) if step.name == "map" else LENSES[step.name].only
