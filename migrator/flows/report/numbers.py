"""The numbers of the report as plain values for JSON. Counts, causes and times; nobody is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from itertools import accumulate
from typing import Any

import sqlalchemy as sa

from migrator.flows.helping import overview
from migrator.flows.parts import Parts
from migrator.flows.report import words
from migrator.rollout.stages import Stage
from migrator.store import journal, measures, outbox, waves
from migrator.store.plans import Plan
from migrator.store.users import ROWS
from migrator.store.waves import Wave

JOURNAL = 40  # newest entries shown
#: What an entry's detail may say here; everything else could name somebody.
TELLING = frozenset({
    "moved", "held", "failed", "gone", "live", "refused", "restored", "rows", "wave", "waves", "cases", "reason",
    "cause", "action", "outcome", "verdict", "hash", "checked_users", "differences", "drift", "sent",
})  # fmt: skip


def collect(parts: Parts, db: sa.Connection, plan: Plan) -> dict[str, Any]:
    """
    Everything the report says, from one consistent look.

    Returns:
        Maps, lists, text and numbers only; times are ISO 8601 in UTC. The sum over `users` is `total_users`; `nobody`
        are rows of nobody that move, which are no users.
    """
    found = waves.of_plan(db, plan.id)
    users = measures.user_counts(db, plan.id)
    rows = measures.user_counts(db, plan.id, ROWS)
    causes = [asdict(cause) for cause in measures.causes(db, plan.id)]
    open_cases = sum(cause["open"] for cause in causes)
    return {
        "generated_at": iso(parts.now()),
        "headline": {
            "how_far": words.how_far(users),
            "rows": words.how_far_rows(rows),
            "next": overview.next_step(db, plan, found, users, rows, open_cases),
        },
        "plan": _plan(plan),
        "users": users,
        "total_users": sum(users.values()),
        "nobody": rows,
        "open_cases": open_cases,
        "waves": [_wave(db, wave) for wave in found],
        "tiers": _tiers(db, plan.id),
        "progress": _progress(db, plan.id),
        "pace": _pace(db, found),
        "books": _books(db, plan.id),
        "identity": _identity(plan.counts),
        "left_behind": _left_behind(plan.counts),
        "excluded": [
            {"reason": reason, "users": count} for reason, count in measures.excluded_reasons(db, plan.id).items()
        ],
        "causes": causes,
        "warnings": [
            {"mapping": mapping, "field": field, "rule": rule, "values": count}
            for mapping, field, rule, count in measures.warning_counts(db, plan.id)
        ],
        "verifications": _verifications(db, plan.id, found),
        "notices": [
            {"event": event, "status": status, "notices": count}
            for event, status, count in sorted(outbox.counts(db, plan.id))
        ],
        "journal": [_entry(entry) for entry in journal.latest(db, JOURNAL)],
        "journal_head": _head(db),
    }


def iso(at: datetime | None) -> str | None:
    """A moment as `2030-01-31T09:30:00Z`."""
    return at.isoformat(timespec="seconds").replace("+00:00", "Z") if at else None


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "id": plan.id,
        "status": plan.status,
        "hash": plan.hash,
        "mappings": plan.set_hash,
        "as_of": iso(plan.as_of),
        "created_at": iso(plan.created_at),
        "approved_at": iso(plan.approved_at),
        "approved_by": plan.approved_by,
        "settings": plan.settings,
    }


def _wave(db: sa.Connection, wave: Wave) -> dict[str, Any]:
    counted = measures.wave_numbers(db, wave.id)
    return {
        "ordinal": wave.ordinal,
        "name": wave.name,
        "tier": wave.tier,
        "stage": wave.stage,
        "share": wave.share,
        "units": wave.units,
        "status": wave.status.value,
        "verdict": wave.verdict,
        "findings": wave.findings or [],
        "started_at": iso(wave.started_at),
        "ended_at": iso(wave.ended_at),
        **asdict(counted),
    }


def _progress(db: sa.Connection, plan_id: int) -> list[dict[str, Any]]:
    """Users who are moved now, added up over the ends of their batches."""
    arrived = measures.progress(db, plan_id)
    sums = accumulate(count for _, count in arrived)
    return [{"at": iso(at), "users": total} for (at, _), total in zip(arrived, sums, strict=True)]


def _pace(db: sa.Connection, found: Sequence[Wave]) -> dict[str, Any]:
    pace = measures.pace(db, [wave.id for wave in found if wave.stage != Stage.NOBODY])
    rates = {
        "users_per_second": round(pace.users / pace.seconds, 1) if pace.seconds else None,
        "rows_per_second": round(pace.rows / pace.seconds, 1) if pace.seconds else None,
    }
    return {**asdict(pace), "seconds": round(pace.seconds, 1), **rates}


def _books(db: sa.Connection, plan_id: int) -> list[dict[str, Any]]:
    books = measures.plan_books(db, plan_id)
    return [{"mapping": name, **asdict(book), "even": book.balanced} for name, book in books.items()]


def _tiers(db: sa.Connection, plan_id: int) -> list[dict[str, Any]]:
    return [{**asdict(tier), "money": _short(tier.money)} for tier in measures.tier_numbers(db, plan_id)]


def _short(number: str | None) -> str | None:
    """A decimal without the zeros that its storage added."""
    return None if number is None else f"{Decimal(number).normalize():f}"


def _identity(counts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per source its records, and how many are whose by which rule; none where there is one source."""
    rules = dict.fromkeys(("own", "id", "link", "email", "person", "doubtful", "excluded"), 0)
    return [{"source": name, **rules, **found} for name, found in counts.get("identity", {}).items()]


def _left_behind(counts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of nobody per mapping, as counted when the plan was made: `rows` stay, `moves` move; of `all` in the table."""
    return [
        {
            "mapping": mapping,
            "table": found.get("table"),
            "rows": found.get("left", found.get("rows", 0)),
            "moves": found.get("moves", 0),
            "all": found.get("all"),
            "reason": found.get("reason"),
            "of_excluded": found.get("of_excluded", 0),
        }
        for mapping, found in counts.get("unowned", {}).items()
        if found.get("rows") or found.get("of_excluded")
    ]


def _verifications(db: sa.Connection, plan_id: int, found: Sequence[Wave]) -> list[dict[str, Any]]:
    names = {wave.id: wave.name for wave in found}
    return [
        {
            "wave": names.get(row["wave_id"]),
            "at": iso(row["at"]),
            **{name: row[name] for name in ("checked_users", "differences", "drift")},
        }
        for row in measures.verifications_of(db, plan_id)
    ]


def _head(db: sa.Connection) -> dict[str, Any] | None:
    """Where the journal stands: whoever keeps the report can tell later whether its end was cut off."""
    head = journal.head(db)
    return {"seq": head.seq, "hash": head.hash} if head else None


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    detail = {
        name: value
        for name, value in entry["detail"].items()
        if name in TELLING and isinstance(value, str | int | float | None)
    }
    return {
        "at": iso(entry["at"]),
        "actor": entry["actor"],
        "event": entry["event"],
        "noun": entry["noun"],
        # a user's key is for `user show`, not for a page that is passed round
        "ref": None if entry["noun"] in ("user", "notice") else entry["ref"],
        "detail": detail,
    }
