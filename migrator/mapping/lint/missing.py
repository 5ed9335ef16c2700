"""A row that is looked up and not found, for a column that takes no null: the mapping must say what then (E505)."""

from __future__ import annotations

from migrator.mapping.lint.ground import Ground
from migrator.mapping.lint.types import leaves
from migrator.mapping.model import UNSET, Lookup, Reference, Rule


def check(ground: Ground) -> None:
    """Check every field of all mappings that looks a row up."""
    for mapping in ground.set.mappings.values():
        table = ground.written(mapping)
        for name, rule in mapping.fields.items() if table is not None else ():
            column = table.columns.get(name) if table is not None else None
            if column is None or column.nullable or column.generated or _is_said(rule):
                continue
            for one in leaves(rule):
                if looks_up(one) and not _is_said(one):
                    text = f"{name} may not be null, and the row that is looked up may be missing"
                    help = "add required: true (such a row goes to review) or on_missing: skip"
                    ground.notes.add("E505", one.place, text, help)


def looks_up(rule: Rule) -> bool:
    """Whether the value is that of another row."""
    return isinstance(rule.source, Lookup | Reference) or any(step.name == "lookup" for step in rule.steps)


def _is_said(rule: Rule) -> bool:
    filled = rule.default is not UNSET and rule.default is not None
    return rule.required or filled or rule.on_missing == "skip"
