"""`clean: [{name, when | duplicates, keep | invalid, action, reason}]` -> Cleaning."""

from __future__ import annotations

from migrator.mapping.model import Cleaning
from migrator.mapping.problems import Notes
from migrator.mapping.reading.forms import Form
from migrator.mapping.reading.nodes import Node
from migrator.mapping.reading.predicates import predicate
from migrator.mapping.reading.sources import reason

KEYS = ("name", "when", "duplicates", "keep", "invalid", "action", "reason")
ACTIONS = ("drop", "archive", "hold")


def cleanings(form: Form, key: str) -> tuple[Cleaning, ...]:
    """Read the cleaning rules of a mapping, in their order."""
    found = [rule for item in form.items(key) if (rule := _cleaning(item, form.notes))]
    for place, rule in enumerate(found):
        if rule.name in {earlier.name for earlier in found[:place]}:
            form.notes.add("E104", rule.place, f'there is a cleaning rule "{rule.name}" already')
    return tuple(found)


def _cleaning(node: Node, notes: Notes) -> Cleaning | None:
    form = Form.of(node, "a cleaning rule", KEYS, notes, needs=("name", "action", "reason"))
    if form is None or not (name := form.word("name")):
        return None
    if not any(key in form for key in ("when", "duplicates", "invalid")):
        notes.add("E102", form.place, "a cleaning rule says which rows", "add when, duplicates or invalid")
    if "invalid" in form and ("when" in form or "duplicates" in form):
        notes.add("E105", form.key_place("invalid"), "invalid stands alone", "make it a rule of its own")
    if ("duplicates" in form) != ("keep" in form):
        notes.add("E102", form.place, "duplicates and keep go together", "write keep: {most_recent: COLUMN} or oldest")
    return Cleaning(
        name=name,
        action=form.choice("action", ACTIONS, "hold"),
        reason=reason(form.node("reason"), notes),
        place=name.place,
        when=predicate(form.node("when"), "when", notes),
        duplicates=form.words("duplicates"),
        keep=form.pair("keep", ("most_recent", "oldest")) or ("most_recent", ""),
        invalid=form.words("invalid"),
    )
