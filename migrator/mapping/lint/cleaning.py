"""Cleaning rules speak of fields that there are: E105."""

from __future__ import annotations

from migrator.mapping.lint.ground import Ground, place_of
from migrator.mapping.suggest import suggest


def check(ground: Ground) -> None:
    """Check the cleaning rules of all mappings; their columns are checked with all others."""
    for mapping in ground.set.mappings.values():
        for rule in mapping.clean:
            for name in rule.invalid:
                if name not in mapping.fields:
                    text = f'the cleaning rule "{rule.name}" names "{name}", which is no field of this mapping'
                    ground.notes.add("E105", place_of(name, rule.place), text, suggest(name, mapping.fields))
