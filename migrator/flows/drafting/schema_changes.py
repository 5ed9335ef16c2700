"""Before a wave starts: are both databases still what the plan was approved against? E801."""

from __future__ import annotations

from migrator.edges.databases.base import Legacy
from migrator.errors import SchemaChanged
from migrator.flows.parts import Parts
from migrator.mapping import fingerprint
from migrator.mapping.fingerprint import Change
from migrator.store import plans

SHOWN = 20


def changed(plan: plans.Plan, legacy: Legacy, target: Legacy) -> list[Change]:
    """Look at both databases anew and say what changed since *plan* was approved; nothing where it never was."""
    return [] if plan.schemas is None else fingerprint.changes(plan.schemas, legacy.schema(), target.schema())


def found(parts: Parts, plan: plans.Plan) -> list[Change]:
    """Say what changed since *plan* was approved."""
    return changed(plan, parts.legacy, parts.target)


def refuse(parts: Parts, wave: str) -> None:
    """
    Refuse to start a wave of the current plan when a database is not what it was approved against.

    Raises:
        SchemaChanged: with all that changed, and how to go on.
    """
    with parts.control.read() as db:
        plan = plans.require(db)
    news = found(parts, plan)
    if news:
        raise SchemaChanged(
            f"wave {wave} is not started: a database is not what plan {plan.id} was approved against (E801)\n"
            f"{listed(news)}\n"
            "Now: `migrator mapping lint`, mend the mappings where they need it, then `migrator plan revise` and "
            "`migrator plan approve`"
        )


def listed(news: list[Change]) -> str:
    """One line per change."""
    more = [f"  and {len(news) - SHOWN} more"] if len(news) > SHOWN else []
    return "\n".join([*(f"  {change}" for change in news[:SHOWN]), *more])
