"""One wave at a time: start, pause, resume, hold, cancel, override, try again. And what time does to it: tick."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from migrator import logs
from migrator.errors import Refused
from migrator.flows.drafting import schema_changes
from migrator.flows.moving import parting
from migrator.flows.parts import Parts
from migrator.flows.people import approvals
from migrator.flows.plans.planning import PlanOptions
from migrator.flows.snapshots import rehearsed
from migrator.flows.telling import notices
from migrator.flows.wave_view import ACTIVE, find, held_sentence, soaks_until
from migrator.rollout import breaker, buckets, gate, pace, states
from migrator.rollout import plan as drafts
from migrator.rollout.rights import Act
from migrator.rollout.stages import Stage
from migrator.rollout.states import Batch, User, Wave
from migrator.store import batches, cases, cuts, effects, journal, measures, plans, requests, users, waves
from migrator.store.control import clock

OPEN_BATCH = (Batch.READY, Batch.RUNNING)
AHEAD = 2  # batches that are there as soon as a wave starts, whoever works for it


def start(parts: Parts, name: str) -> waves.Wave:
    """
    Set an approved wave running: its users are cut into batches, the dispatcher hands them out.

    Raises:
        NeedsApproval: it is a full wave, and no second person has allowed it.
        SchemaChanged: a database is not what the plan was approved against.
    """
    schema_changes.refuse(parts, name)
    with approvals.asking(parts), parts.control.write() as db:
        wave, now = find(db, name), parts.now()
        after = states.step("wave", wave.status, "start", wave.name)
        _refuse_unsigned(db, wave)
        _refuse_beside_others(db, wave)
        _refuse_before_its_turn(db, wave)
        rehearsed.refuse_unchecked(db, wave)
        allowed = _of_two(db, parts, wave) if wave.stage == Stage.FULL else {}
        waves.move(db, wave, after, started_at=now, verdict=None, findings=None)
        cut(parts, db, wave)
        journal.add(db, now, parts.actor, "start", "wave", wave.name, **allowed)
        if parts.telling.sender is not None:
            planned = users.of_wave(db, wave.id, (User.PLANNED,))
            notices.queue(db, parts, wave.plan_id, wave, "before", planned, now)
        return waves.get(db, wave.id)


def pause(parts: Parts, name: str) -> waves.Wave:
    """Hand out no more batches; those running end."""
    return _order(parts, name, "pause")


def hold(parts: Parts, name: str, reason: str) -> waves.Wave:
    """Hold a wave by hand, with a reason."""
    finding = {"check": "operator", "outcome": "hold", "sentence": logs.masked(reason)}
    return _order(parts, name, "hold", verdict="hold", findings=[finding], reason=reason)


def resume(parts: Parts, name: str) -> waves.Wave:
    """Go on after a pause, or let the gate look again after a hold. Refused after STOP."""
    with parts.control.write() as db:
        wave = waves.hold(db, find(db, name).id)
        _refuse_after_stop(wave)
        _refuse_unsigned(db, wave)
        return _ordered(parts, db, wave, "resume", verdict=None, findings=None)


def cancel(parts: Parts, name: str) -> waves.Wave:
    """End a wave: nobody else of it moves; who was moved stays moved."""
    with parts.control.write() as db:
        wave, now = find(db, name), parts.now()
        waves.move(db, wave, states.step("wave", wave.status, "cancel", wave.name))
        batches.drop_ready(db, wave.id, "the wave was cancelled")
        journal.add(db, now, parts.actor, "cancel", "wave", wave.name)
        _drained(parts, db, waves.get(db, wave.id), now)
        return waves.get(db, wave.id)


def override(parts: Parts, name: str, reason: str) -> waves.Wave:
    """Let a held wave pass against its gate; never against STOP. The reason and what was measured are kept."""
    with approvals.asking(parts), parts.control.write() as db:
        wave, now = find(db, name), parts.now()
        _refuse_after_stop(wave)
        if _unfinished(db, wave):
            raise Refused(f"wave {wave.name} still has batches to run; `migrator wave resume {wave.name}` first")
        findings = wave.findings or []
        allowed = approvals.use(
            db, parts, Act.OVERRIDE, "wave", wave.name, reason=reason, findings=[one["sentence"] for one in findings]
        )
        waves.move(db, wave, states.step("wave", wave.status, "override", wave.name), verdict="override", ended_at=now)
        journal.add(db, now, parts.actor, "override", "wave", wave.name, reason=reason, findings=findings, **allowed)
        return waves.get(db, wave.id)


def retry(parts: Parts, name: str) -> int:
    """Send failed and rolled-back users of a wave on their way again; how many. `all`: every wave that has some."""
    with parts.control.write() as db:
        plan = plans.require(db)
        found = [one for one in waves.of_plan(db, plan.id) if takes_users(one)] if name == "all" else [find(db, name)]
        sent = sum(_retry(parts, db, wave) for wave in found)
    if not sent:
        raise Refused(f"no user of {'any wave' if name == 'all' else f'wave {name}'} is failed or rolled back")
    return sent


def replan(parts: Parts, db: sa.Connection, wave: waves.Wave, keys: Sequence[str]) -> None:
    """Give users who were planned again a batch, and bring their wave to where it hands batches out."""
    wave = waves.hold(db, wave.id)  # its last batch may have ended meanwhile
    if wave.status in (Wave.APPROVED, Wave.DRAFT, Wave.ROLLED_BACK):
        return  # batches are cut at the start
    if not takes_users(wave):
        raise Refused(f"wave {wave.name} is {wave.status}; {_no_way(wave)}")
    _refuse_unsigned(db, wave)
    if wave.status in (Wave.PASSED, Wave.HELD, Wave.CHECKING):
        waves.move(db, wave, states.step("wave", wave.status, "retry", wave.name), verdict=None, findings=None)
    ordinal = batches.last_ordinal(db, wave.id)
    size = wave.batch_size or PlanOptions.of(plans.get(db, wave.plan_id)).batch_users
    together = users.groups(db, wave.plan_id, keys)
    for place, part in enumerate(drafts.batches(list(keys), size, together=together), start=1):
        batches.add(db, wave.id, ordinal + place, part, wave.plan_id, ramp=False)


def units(parts: Parts, name: str) -> str:
    """What is counted in a wave, or in `all`."""
    with parts.control.read() as db:
        if name != "all":
            return find(db, name).units
        return "users and rows of nobody" if plans.require(db).counts.get("nobody") else "users"


def takes_users(wave: waves.Wave) -> bool:
    """Whether users of the wave may still be sent on their way."""
    return wave.status not in (Wave.CANCELLED, Wave.CANCELLING, Wave.ROLLING_BACK)


def cut(parts: Parts, db: sa.Connection, wave: waves.Wave) -> None:
    """
    Cut the first batches of a wave: a ramp in bucket order, and a few of the rest.

    The rest goes by key and is cut just ahead of the workers (`cut_next`), each batch as large as the last ones say.
    """
    plan = plans.get(db, wave.plan_id)
    batches.drop_ready(db, wave.id, "the wave was cut anew", but=requests.batches_under_way(wave.id))
    cuts.take_apart(db, wave.id)
    planned = cuts.planned(db, wave.id)
    if any(place is None for _, _, place in planned):  # of a plan that was made before users had a place
        cuts.place(db, plan.id, _places([(key, leader) for key, leader, _ in planned]))
    _cut_ramp(db, wave, plan, [(key, leader) for key, leader, _ in planned])
    cuts.begin(db, wave.id)
    cut_next(parts, db, waves.get(db, wave.id), AHEAD)


def _places(planned: Sequence[tuple[str, str]]) -> dict[str, int]:
    found = pl.DataFrame(planned, schema={"key": pl.String, "leader": pl.String}, orient="row")
    return dict(zip(found["key"], drafts.places(found["key"], found["leader"]), strict=True))


def _cut_ramp(db: sa.Connection, wave: waves.Wave, plan: plans.Plan, planned: Sequence[tuple[str, str]]) -> None:
    size = PlanOptions.of(plan).batch_users
    steps = drafts.ramp(len(planned), size)
    if not steps:
        return
    purpose = "pilot" if wave.stage == "pilot" else "gray"
    place = {
        leader: at
        for at, leader in enumerate(buckets.first(plan.salt, purpose, {one for _, one in planned}, sum(steps)))
    }
    early = sorted(((place[leader], key, leader) for key, leader in planned if leader in place))
    together = {key: leader for _, key, leader in early if key != leader}
    first = batches.last_ordinal(db, wave.id) + 1
    for at, part in enumerate(drafts.first_batches([key for _, key, _ in early], len(planned), size, together)):
        batches.add(db, wave.id, first + at, part, plan.id, ramp=True)


def cut_next(parts: Parts, db: sa.Connection, wave: waves.Wave, wanted: int, workers: int = 1) -> int:
    """
    Cut up to *wanted* more batches off a running wave, as large as the last ones say; how many there were left.

    Args: workers: who share what is left, and are to end together.
    """
    found = 0
    while found < wanted and wave.uncut_from is not None:
        size = next_size(parts, db, wave)
        ordered = wave.orders or {}
        if parts.limits.pace.adaptive and not ordered.get("batch_size"):
            size = pace.shared(size, cuts.left(db, wave), min(workers, ordered.get("workers") or workers))
        if cuts.next_batch(db, wave, size) is not None:
            found += 1
        wave = waves.get(db, wave.id)
    return found


def next_size(parts: Parts, db: sa.Connection, wave: waves.Wave) -> int:
    """How many users the next batch of a wave holds; what was measured since the last look is counted in."""
    fixed = (wave.orders or {}).get("batch_size")
    if fixed is not None:
        return int(fixed)
    start = PlanOptions.of(plans.get(db, wave.plan_id)).batch_users
    count, ended = cuts.ended(db, wave.id)
    size = pace.follow(wave.batch_size or start, ended, count - wave.measured, parts.limits.pace.around(start))
    if (size, count) != (wave.batch_size, wave.measured):
        cuts.keep_size(db, wave.id, size, count)
    return size


def tick(parts: Parts, db: sa.Connection, wave: waves.Wave, seen: dict[int, dict[str, int]] | None = None) -> None:
    """
    Let one active wave take the step that its batches and the clock allow.

    Args:
        seen: how many batches of each wave had ended when the breaker last looked; it looks when that has changed.
    """
    now = parts.now()
    wave = waves.hold(db, wave.id)  # whoever sends users again does so before this look at its batches, or after it
    if wave.status in (Wave.PAUSING, Wave.CANCELLING):
        _drained(parts, db, wave, now)
    elif wave.status is Wave.RUNNING:
        ended = {status: count for status, count in _batches(db, wave).items() if status not in OPEN_BATCH}
        finding = None if seen is not None and seen.get(wave.id) == ended else tripped(parts, db, wave)
        if finding:
            _hold(db, wave, now, gate.worst([finding]))
            return
        if seen is not None:
            seen[wave.id] = ended
        if not _unfinished(db, wave):
            waves.move(
                db, wave, states.step("wave", wave.status, "drained", wave.name), checking_at=clock(db), rung_at=None
            )
    elif wave.status is Wave.CHECKING:
        # a machine whose clock is behind holds up no wave: that it was checked goes by the database's clock
        _decide(parts, db, wave, max(now, clock(db)))


def numbers(parts: Parts, db: sa.Connection, wave: waves.Wave) -> gate.Measured:
    """What the control database knows of a wave, for its gate."""
    found = measures.wave_numbers(db, wave.id)
    kind = users.ROWS if wave.stage == Stage.NOBODY else users.USER
    population = sum(
        count
        for _, tier, status, count in users.counts(db, wave.plan_id, kind)
        if status != User.EXCLUDED and (wave.tier is None or tier == wave.tier)
    )
    checked = effects.last_verification(db, wave.plan_id, wave.id)
    fresh = checked is not None and wave.checking_at is not None and checked["at"] >= wave.checking_at
    return gate.Measured(
        users=found.users,
        moved=found.moved,
        failed=found.failed,
        held=found.held,
        population=population,
        differences=checked["differences"] if checked and fresh else None,
        balanced=found.books_even,
        unit=wave.units,
    )


def checked(db: sa.Connection, wave: waves.Wave) -> bool:
    """Whether the wave was verified since its last batch ended."""
    found = effects.last_verification(db, wave.plan_id, wave.id)
    return found is not None and wave.checking_at is not None and found["at"] >= wave.checking_at


def undoes_itself(db: sa.Connection, wave: waves.Wave) -> bool:
    """Whether the plan says `on_stop: rollback_wave`, the wave was stopped, and somebody of it is in the target."""
    tried = any(finding["check"] == "rollback" for finding in wave.findings or [])
    if wave.verdict != "stop" or wave.status not in (Wave.HELD, Wave.ROLLING_BACK) or tried:
        return False
    if plans.get(db, wave.plan_id).settings.get("on_stop") != "rollback_wave":
        return False
    numbers = measures.wave_numbers(db, wave.id)
    return wave.status is Wave.ROLLING_BACK or bool(numbers.moved)


def _order(parts: Parts, name: str, event: str, *, reason: str | None = None, **values: Any) -> waves.Wave:
    with parts.control.write() as db:
        return _ordered(parts, db, find(db, name), event, reason=reason, **values)


def _ordered(
    parts: Parts, db: sa.Connection, wave: waves.Wave, event: str, *, reason: str | None = None, **values: Any
) -> waves.Wave:
    now = parts.now()
    waves.move(db, wave, states.step("wave", wave.status, event, wave.name), **values)
    detail = {"reason": reason} if reason else {}
    journal.add(db, now, parts.actor, event, "wave", wave.name, **detail)
    _drained(parts, db, waves.get(db, wave.id), now)
    return waves.get(db, wave.id)


def _drained(parts: Parts, db: sa.Connection, wave: waves.Wave, now: datetime) -> None:
    """An order becomes a fact once the last running batch has ended."""
    if wave.status in (Wave.PAUSING, Wave.CANCELLING) and not batches.leased(db, wave.id):
        after = states.step("wave", wave.status, "drained", wave.name)
        waves.move(db, wave, after, **({"ended_at": now} if after is Wave.CANCELLED else {}))


def _batches(db: sa.Connection, wave: waves.Wave) -> dict[str, int]:
    return batches.counts(db, [wave.id]).get(wave.id, {})


def _unfinished(db: sa.Connection, wave: waves.Wave) -> bool:
    """Whether a batch is still to be done, or to be cut."""
    return wave.uncut_from is not None or any(status in OPEN_BATCH for status in _batches(db, wave))


def _of_two(db: sa.Connection, parts: Parts, wave: waves.Wave) -> dict[str, Any]:
    """Use up what a second person has said to the start of a full wave."""
    return approvals.use(db, parts, Act.FULL_WAVE, "wave", wave.name, users=wave.users)


def _refuse_unsigned(db: sa.Connection, wave: waves.Wave) -> None:
    plan = plans.get(db, wave.plan_id)
    if plan.status == "draft":
        raise Refused(f"plan {plan.id} is a draft; `migrator plan approve` first")


def _refuse_beside_others(db: sa.Connection, wave: waves.Wave) -> None:
    others = [other for other in waves.in_status(db, ACTIVE) if other.id != wave.id]
    if others:
        raise Refused(f"wave {others[0].name} is {others[0].status}; one wave at a time: finish or cancel it first")


def _refuse_before_its_turn(db: sa.Connection, wave: waves.Wave) -> None:
    """A wave is as safe as what the one before it has shown."""
    before = [other for other in waves.of_plan(db, wave.plan_id) if other.ordinal < wave.ordinal]
    left = next((other for other in before if other.status in (Wave.APPROVED, Wave.ROLLED_BACK)), None)
    if left is not None and left.status is Wave.ROLLED_BACK:
        raise Refused(held_sentence(left))
    if left is not None:
        raise Refused(
            f"wave {left.name} comes before {wave.name} and has not been moved; `migrator wave start {left.name}`, "
            f"or leave its users in legacy with `migrator wave cancel {left.name}`"
        )


def _stopped(wave: waves.Wave) -> bool:
    return wave.status is Wave.HELD and wave.verdict == "stop"


def _refuse_after_stop(wave: waves.Wave) -> None:
    if _stopped(wave):
        raise Refused(held_sentence(wave))


def _no_way(wave: waves.Wave) -> str:
    if wave.status is Wave.ROLLING_BACK:
        return f"`migrator rollback wave {wave.name}` ends that first"
    return "its users stay in legacy until the next plan"


def _retry(parts: Parts, db: sa.Connection, wave: waves.Wave) -> int:
    again = (User.FAILED, User.ROLLED_BACK)
    keys = [user.user_key for user in users.of_wave(db, wave.id, again)]
    left = users.of_wave(db, wave.id, (User.PLANNED,)) if wave.status is Wave.ROLLED_BACK else []
    if not keys and not left:
        return 0
    now = parts.now()
    users.move(db, wave.plan_id, keys, again, User.PLANNED, now, reason=None, home="legacy")
    if wave.status is Wave.ROLLED_BACK:
        waves.move(
            db, wave, states.step("wave", wave.status, "retry", wave.name), verdict=None, findings=None, ended_at=None
        )
    else:
        replan(parts, db, wave, keys)
    journal.add(db, now, parts.actor, "retry", "wave", wave.name, users=keys, retried=len(keys))
    return len(keys) + len(left)


def tripped(parts: Parts, db: sa.Connection, wave: waves.Wave) -> gate.Finding | None:
    """What the breaker says against moving more users of a wave; None: nothing."""
    if users.any_of(db, wave.id, User.FAILED):  # counted only where it matters: a wave may be large
        found = measures.wave_numbers(db, wave.id)
        limits = PlanOptions.of(plans.get(db, wave.plan_id)).limits()
        finding = breaker.look(found.failed, found.moved + found.failed, limits.max_failed, limits.stop_alpha)
        if finding.outcome is gate.Outcome.STOP:
            return finding
    balance = gate.books(measures.books_even(db, wave.id) is not False)
    if balance.outcome is not gate.Outcome.GO:
        return balance
    return _too_many_rejects(parts, db, wave)


def _too_many_rejects(parts: Parts, db: sa.Connection, wave: waves.Wave) -> gate.Finding | None:
    """`limits.abort_above` of a mapping: stop before the review queue is full of one mistake."""
    set_ = parts.stored_set(plans.get(db, wave.plan_id).set_hash)
    limits = {name: one.abort_above for name, one in set_.mappings.items() if one.abort_above is not None}
    if not limits:
        return None
    open_rows = cases.open_rows(db, wave.id)  # not the books: what was decided since holds nothing up
    for name, read in parting.rows_read(db, wave.id).items():
        waiting = open_rows.get(name, 0)
        share = waiting / read if read else 0.0
        if name in limits and share > limits[name]:
            said = f"{waiting} of {read} rows of {name} wait for review ({share:.1%}, `limits.abort_above` is {limits[name]:.1%})"
            return gate.Finding("rejects", gate.Outcome.HOLD, share, limits[name], said)
    return None


def _decide(parts: Parts, db: sa.Connection, wave: waves.Wave, now: datetime) -> None:
    """The gate: once the wave is verified and has soaked."""
    plan = plans.get(db, wave.plan_id)
    until = soaks_until(wave, plan)
    if not checked(db, wave) or until is None or now < until:
        return
    decision = gate.decide(numbers(parts, db, wave), PlanOptions.of(plan).limits())
    if decision.outcome is not gate.Outcome.GO:
        _hold(db, wave, now, decision)
        return
    findings = [_plain(check) for check in decision.checks]
    waves.move(
        db, wave, states.step("wave", wave.status, "pass", wave.name), verdict="go", findings=findings, ended_at=now
    )
    journal.add(db, now, "gate", "pass", "wave", wave.name, checks=findings)


def _hold(db: sa.Connection, wave: waves.Wave, now: datetime, decision: gate.Decision) -> None:
    findings = [_plain(finding) for finding in decision.findings]
    after = states.step("wave", wave.status, "hold", wave.name)
    waves.move(db, wave, after, verdict=decision.outcome.value, findings=findings)
    journal.add(db, now, "gate", "hold", "wave", wave.name, findings=findings)


def _plain(finding: gate.Finding) -> dict[str, Any]:
    return {
        "check": finding.check,
        "outcome": finding.outcome.value,
        "measured": finding.measured,
        "limit": finding.limit,
        "sentence": finding.sentence,
    }
