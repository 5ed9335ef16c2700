"""`checks.sums`: only columns that this mapping writes and reads can be summed."""

from __future__ import annotations

from migrator.mapping.lint.ground import Ground, place_of
from migrator.mapping.suggest import suggest


def check(ground: Ground) -> None:
    """Check the declared sums of all mappings."""
    for mapping in ground.set.mappings.values():
        for column in mapping.sums:
            if column not in mapping.fields:
                place = place_of(column, mapping.place)
                text = f'checks.sums names "{column}", which this mapping does not set'
                ground.notes.add("E301", place, text, suggest(column, mapping.fields))
