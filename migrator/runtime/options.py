"""Sections of the settings as flows know them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from migrator.settings import Settings

if TYPE_CHECKING:
    from migrator.flows.parts import Cutting, Keeping, Limits, Telling
    from migrator.flows.plans.planning import PlanOptions
    from migrator.flows.plans.tiering import TierOptions


def limits(settings: Settings) -> Limits:
    """`[batches]`: sizes, leases and patience."""
    from migrator.flows.parts import Limits
    from migrator.rollout.pace import Pace

    batches = settings.batches
    return Limits(
        users=batches.users,
        lease=batches.lease,
        grace=batches.grace,
        ring_again=batches.ring_again,
        reap_every=batches.reap_every,
        leader=batches.leader,
        retry_after=batches.retry_after,
        attempts=batches.attempts,
        interruptions=batches.interruptions,
        pace=Pace(
            target=batches.target.total_seconds(),
            smallest=batches.smallest,
            largest=batches.largest,
            memory=batches.memory,
            adaptive=batches.adaptive,
        ),
    )


def cutting(settings: Settings) -> Cutting:
    """`[cutover]` and `[on_demand]`."""
    from migrator.flows.parts import Cutting

    cutover, asked = settings.cutover, settings.on_demand
    return Cutting(
        budget=cutover.budget,
        drain=cutover.drain,
        users=cutover.users,
        lock=cutover.lock,
        asked_per_minute=asked.per_minute,
        asked_cut_over=asked.cut_over,
    )


def keeping(settings: Settings) -> Keeping:
    """How long `[snapshots]` and `[housekeeping]` let things be kept."""
    from migrator.flows.parts import Keeping

    rows = settings.housekeeping
    return Keeping(snapshots=settings.snapshots.keep, rows=rows.keep, every=rows.every)


def telling(settings: Settings, templates: Path) -> Telling:
    """`[notices]`, with the templates of a folder."""
    from migrator.flows.parts import Telling
    from migrator.flows.telling.templates import Templates

    notices = settings.notices
    return Telling(
        sender=notices.sender,
        product=notices.product,
        contact=settings.support.contact,
        locale=notices.locale,
        events=notices.events,
        templates=Templates(templates),
    )


def planning(settings: Settings) -> PlanOptions:
    """What a plan freezes of the settings."""
    from migrator.flows.plans.planning import PlanOptions

    plan, gates = settings.plan, settings.gates
    return PlanOptions(
        strategy=plan.strategy,
        order=plan.order,
        pilot_share=plan.pilot_share,
        pilot_floor=plan.pilot_floor,
        gray=plan.gray,
        soak_seconds=int(plan.soak.total_seconds()),
        cutover=plan.cutover,
        on_stop=plan.on_stop,
        salt=plan.salt,
        max_failed=gates.max_failed,
        max_held=gates.max_held,
        alpha=gates.alpha,
        stop_alpha=gates.stop_alpha,
        snapshot_check=gates.snapshot_check,
        batch_users=settings.batches.users,
    )


def tiering(settings: Settings) -> TierOptions:
    """`[tiers]`."""
    from migrator.flows.plans.tiering import TierOptions

    tiers = settings.tiers
    thresholds = {"recency": tiers.recency, "frequency": tiers.frequency, "money": tiers.money}
    return TierOptions(tiers.frequency_window, tiers.money_window, thresholds, dict(tiers.rates))
