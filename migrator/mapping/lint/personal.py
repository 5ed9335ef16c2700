"""Names that speak of a person want `sensitive: true`, so that no queue and no log shows the value: W602."""

from __future__ import annotations

import re

from migrator.mapping import secrecy, walk
from migrator.mapping.lint.ground import Ground
from migrator.mapping.model import From, Mapping
from migrator.mapping.schema import Kind
from migrator.mapping.walk import Spot

_PERSONAL = re.compile(r"e?mail|phone|mobile|passw|pwd|id_card|passport|\bssn\b|iban", re.IGNORECASE)


def check(ground: Ground) -> None:
    """Check the rules of all mappings."""
    for mapping in ground.set.mappings.values():
        sensitive = {spot.path for spot in walk.spots(mapping) if spot.rule.sensitive}
        secret, _ = secrecy.fields(mapping)  # shown to nobody anyway
        for spot in walk.spots(mapping):
            if (
                spot.path not in secret
                and _is_personal(spot)
                and not _is_flag(ground, mapping, spot)
                and not is_covered(spot.path, sensitive)
            ):
                text = f"{spot.path} looks like personal data, and its value would be shown in full"
                ground.notes.add("W602", spot.rule.place, text, "add sensitive: true")


def _is_personal(spot: Spot) -> bool:
    source = spot.rule.source
    if not isinstance(source, From) or source.aggregate == "count":
        return False
    return any(_PERSONAL.search(name.split(".")[-1]) for name in (spot.path, *source.columns))


def _is_flag(ground: Ground, mapping: Mapping, spot: Spot) -> bool:
    table = ground.written(mapping)
    column = table.columns.get(spot.path) if table else None
    return any(step.name == "boolean" for step in spot.rule.steps) or (
        column is not None and column.kind is Kind.BOOLEAN
    )


def is_covered(path: str, sensitive: set[str]) -> bool:
    """Whether the rule at *path*, or one around it, is among the sensitive ones."""
    return any(path == one or path.startswith(f"{one}.") for one in sensitive)
