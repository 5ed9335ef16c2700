"""A review case as people and programs see it."""

from __future__ import annotations

from typing import Any

from migrator.flows.people.desk import Desk
from migrator.store.cases import Case


def as_json(desk: Desk, case: Case, *, reveal: bool) -> dict[str, Any]:
    """A case for people and programs: field, rule, value, file and line, users."""
    value = desk.key.open(case.value) if case.value is not None else None
    if value is not None and case.sensitive and not reveal:
        value = masked(value)
    return {
        "id": case.id,
        "cause": case.cause,
        "status": case.status.value,
        "mapping": case.mapping,
        "key": case.source_key.replace("\x1f", ", "),
        "item_key": case.item_key or None,
        "field": case.field,
        "rule": case.rule,
        "value": value,
        "note": case.note,
        "file": case.file,
        "line": case.line,
        "column": case.position,
        "users": list(case.users),
        "holds_user": case.holds,
        "action": case.action,
        "resolved_by": case.resolved_by,
        "attempts": case.attempts,
        "first_seen": case.first_seen,
        "last_seen": case.last_seen,
    }


def masked(value: str) -> str:
    """Enough to recognise, not enough to use: j…@…e.com."""
    value = value.strip()
    name, at, host = value.partition("@")
    if at and name:
        return f"{name[0]}…@…{host[-5:]}"
    return f"{value[:1]}…" if value else value
