"""`checks.sums`: only columns that this mapping writes and reads can be summed (E301), and both in the same unit (W605)."""

from __future__ import annotations

from migrator.mapping import walk
from migrator.mapping.lint.ground import Ground, place_of
from migrator.mapping.model import From, Rule
from migrator.mapping.suggest import suggest

_SCALES = ("multiply", "divide")


def check(ground: Ground) -> None:
    """Check the declared sums of all mappings."""
    for mapping in ground.set.mappings.values():
        for column, summed in mapping.sums.items():
            place = place_of(column, mapping.place)
            if column not in mapping.fields:
                text = f'checks.sums names "{column}", which this mapping does not set'
                ground.notes.add("E301", place, text, suggest(column, mapping.fields))
            elif step := _scaled(column, mapping.fields[column], summed):
                text = f"{summed} is summed as it is in legacy, and {column} is what `{step}` made of it: they differ"
                ground.notes.add("W605", place, text, "sum columns of the same unit, or none")


def _scaled(column: str, rule: Rule, summed: str) -> str | None:
    """The step by which *rule*, which reads *summed*, makes another amount of it."""
    for spot in walk.within(column, rule):
        if isinstance(spot.rule.source, From) and summed in spot.rule.source.columns:
            return next((step.name for step in spot.rule.steps if step.name in _SCALES), None)
    return None
