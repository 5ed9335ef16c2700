"""The same row gives the same result in every run: no literal that a database would take for the clock. E601."""

from __future__ import annotations

from collections.abc import Iterator

from migrator.mapping import walk
from migrator.mapping.lint.ground import Ground
from migrator.mapping.model import Rule, Value
from migrator.mapping.reading.clocks import HELP, is_clock
from migrator.mapping.schema import Kind

_TIMES = (Kind.DATE, Kind.TIME, Kind.DATETIME, Kind.TIMESTAMP, Kind.UUID)


def check(ground: Ground) -> None:
    """Check the literals of all mappings that go into times and ids."""
    for mapping in ground.set.mappings.values():
        table = ground.written(mapping)
        for spot in walk.spots(mapping):
            column = table.columns.get(spot.path) if table else None
            if column is not None and column.kind in _TIMES and any(is_clock(text) for text in _literals(spot.rule)):
                text = f"{spot.path} would be another value in every run"
                ground.notes.add("E601", spot.rule.place, text, HELP)


def _literals(rule: Rule) -> Iterator[str]:
    literals = [rule.default, rule.use]
    if isinstance(rule.source, Value):
        literals.append(rule.source.literal)
    yield from (literal for literal in literals if isinstance(literal, str))
