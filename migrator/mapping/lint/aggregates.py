"""The least and the greatest of texts: numbers first, then by code point, not by what a reader would say: W113."""

from __future__ import annotations

from migrator.mapping import walk
from migrator.mapping.lint import uses
from migrator.mapping.lint.ground import Ground, place_of
from migrator.mapping.model import From
from migrator.mapping.schema import Kind


def check(ground: Ground) -> None:
    """Check the aggregates of all mappings."""
    for mapping in ground.set.mappings.values():
        names = uses.scope(mapping.source)
        for spot in walk.spots(mapping):
            source = spot.rule.source
            if not isinstance(source, From) or source.aggregate not in ("min", "max"):
                continue
            for use in uses.of_rule(spot.rule, names, spot.collect):
                column = ground.legacy_column(use.tables[0], use.column) if len(use.tables) == 1 else None
                if column is not None and column.kind is Kind.TEXT:
                    text = (
                        f"{use.written} is text, and its {source.aggregate} goes by code point,"
                        ' but numbers first: "10" < "9a" < "A" < "a"'
                    )
                    place = place_of(source.columns[0], spot.rule.place)
                    ground.notes.add("W113", place, text, "take the first or last by an order, or another column")
