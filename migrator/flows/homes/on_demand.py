"""
The lane of users who are asked for: `user move`, or an application at whose door one stands before his wave has come.

He gets a batch of his own (with all who merge with him), which is rung for before any batch of a wave and waits in no
queue behind them. It belongs to his wave, whose books count it; when the wave's turn comes it goes on without him. What
keeps a wave from starting keeps him waiting, too: a plan nobody signed, a gate that holds, a database that is busy or not
what it was.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from migrator.edges.queue import CUT_OVER, MOVE_NOW
from migrator.errors import MigratorError, NotFound, Refused
from migrator.flows import wave_view
from migrator.flows.drafting import schema_changes
from migrator.flows.helping.support import request_as_json
from migrator.flows.parts import Parts
from migrator.flows.steering import waves as wave_flows
from migrator.rollout.states import Batch, User, Wave
from migrator.store import batches, journal, leases, plans, requests, users, waves

log = logging.getLogger("migrator.dispatch")
MINUTE = timedelta(minutes=1)
ARRIVED = (User.LIVE, User.SETTLED)
#: What is to be done first, by the status that keeps a user from being moved.
FIRST = {
    User.HELD: "decide the case: `migrator review list --user {user}`",
    User.EXCLUDED: "he stays in legacy",
    User.FAILED: "see `migrator review list --user {user}`, then `migrator wave retry {wave}`",
    User.ROLLED_BACK: "`migrator wave retry {wave}` plans him again",
    User.ROLLING_BACK: "look again in a minute",
    User.ERASED: "there is no account",
}


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What becomes of a request now: `open` with the reason why it waits, `done`, or `refused`; `ready`: make a batch."""

    status: str
    reason: str
    ready: bool = False


def ask(parts: Parts, key: str, *, cut_over: bool = False) -> dict[str, Any]:
    """
    Have a user moved ahead of his wave; asked twice is asked once.

    Raises:
        NotFound: nobody has this key. Refused: he cannot be moved now; the sentence says what is to be done first.
    """
    with parts.control.write() as db:
        plan, now = plans.require(db), parts.now()
        if users.get(db, plan.id, key) is None:
            raise NotFound(f'there is no user "{key}" in plan {plan.id}; `migrator user find` looks by e-mail')
        asked = requests.ask(db, plan.id, key, parts.actor, now, cut_over=cut_over)
        verdict = _judge(parts, db, plan, asked, None)
        if verdict.status == requests.REFUSED:
            raise Refused(f"user {key}: {verdict.reason}")
        journal.add(db, now, parts.actor, "move ahead", "user", key, cut_over=cut_over)
        _note(db, asked, verdict, now)
        alive = len(leases.alive(db))
        return request_as_json(requests.get(db, plan.id, key) or asked) | {"user": key, "workers": alive}


def why_closed(parts: Parts) -> str | None:
    """Why nobody is moved ahead now, by what the databases look like; asked only while somebody waits for a batch."""
    with parts.control.read() as db:
        if not requests.any_open(db):
            return None
        plan = plans.current(db)
        waiting = plan is not None and any(one.batch_id is None for one in requests.open_(db, plan.id))
    if plan is None or not waiting:
        return None
    try:
        changed = schema_changes.found(parts, plan)
    except MigratorError as away:
        return str(away)
    return f"a database is not what plan {plan.id} was approved against (E801): `migrator doctor`" if changed else None


def due(parts: Parts, db: sa.Connection, now: datetime, closed: str | None) -> list[tuple[str, tuple[int, ...]]]:
    """Let every open request take its next step, and say what is to be rung for now: it goes before all else."""
    plan = plans.current(db) if requests.any_open(db) else None
    found = requests.open_(db, plan.id) if plan else []
    if plan is None or not found:
        return []
    room = parts.cutting.asked_per_minute - requests.taken_since(db, now - MINUTE)
    for one in found:
        verdict = _judge(parts, db, plan, one, closed)
        if verdict.ready and room <= 0:
            most = parts.cutting.asked_per_minute
            verdict = _Verdict(requests.OPEN, f"at most {most} users a minute ([on_demand] per_minute); his turn comes")
        if verdict.ready and _make_batch(db, plan, one, now):
            room -= 1
        else:
            _note(db, one, verdict, now)
    return _rings(parts, db, requests.open_(db, plan.id), now)


def under_way(db: sa.Connection) -> list[int]:
    """The batches that were made for those who still wait."""
    plan = plans.current(db)
    return [one.batch_id for one in requests.open_(db, plan.id) if one.batch_id is not None] if plan else []


def forget_rings(db: sa.Connection) -> None:
    """The message that wanted a cutover is lost: it is due again at once."""
    plan = plans.current(db)
    found = requests.open_(db, plan.id) if plan else []
    if plan and found:
        requests.note(db, plan.id, [one.user_key for one in found], rung_at=None)


def cut_over_asked(parts: Parts, owner: str) -> None:
    """Cut over those who were asked for with it and are moved by now; somebody else may be at it already."""
    from migrator.flows.homes import cutover

    with parts.control.write() as db:
        if not leases.acquire(db, "cutover:asked", owner, parts.cutting.budget * 2):
            return
        plan = plans.require(db)
        keys = [one.user_key for one in _wanting(parts, db, requests.open_(db, plan.id))]
    left: dict[str, str] = {}
    for key in keys:  # one who cannot go keeps nobody else waiting
        try:
            left |= cutover.cut_over_users(parts, [key]).left
        except Refused as refused:
            left[key] = str(refused)
    with parts.control.write() as db:
        for key in keys:
            if key in left:
                reason = f"is moved, and legacy serves him: {left[key]}"
                requests.note(db, plan.id, [key], status=requests.REFUSED, reason=reason, ended_at=parts.now())
        leases.release(db, "cutover:asked", owner)


def _judge(parts: Parts, db: sa.Connection, plan: plans.Plan, asked: requests.Request, closed: str | None) -> _Verdict:
    """What becomes of a request, by where the user is."""
    together = users.with_groups(db, plan.id, [asked.user_key])
    one = next((each for each in together if each.user_key == asked.user_key), None)
    if one is None or one.wave_id is None:
        return _Verdict(
            requests.REFUSED, "he is in no wave of the plan" if one else "there is no such user in the plan"
        )
    wave = waves.get(db, one.wave_id, stays=True)  # who starts it meanwhile sees the batch, or we see it running
    if one.status in ARRIVED:
        return _Verdict(requests.DONE, "is served by the target")
    if one.status is User.MOVED:
        return _moved(parts, asked)
    if one.status is User.MOVING:
        return _Verdict(requests.OPEN, f"batch {one.batch_id} moves him now")
    for each in together:
        if each.status in FIRST:
            first = FIRST[each.status].format(user=each.user_key, wave=wave.name)
            whose = "is" if each is one else f"is one account with user {each.user_key}, who is"
            return _Verdict(
                requests.REFUSED, f"{whose} {each.status}{f' ({each.reason})' if each.reason else ''}: {first}"
            )
    return _planned(parts, db, plan, wave, asked, together, closed)


def _moved(parts: Parts, asked: requests.Request) -> _Verdict:
    if asked.cut_over or parts.cutting.asked_cut_over:
        return _Verdict(requests.OPEN, "is moved; he is cut over next")
    return _Verdict(requests.DONE, "is moved; the cutover of his wave, or `user cut-over`, lets the target serve him")


def _planned(
    parts: Parts,
    db: sa.Connection,
    plan: plans.Plan,
    wave: waves.Wave,
    asked: requests.Request,
    together: Sequence[users.User],
    closed: str | None,
) -> _Verdict:
    if wave.status in (Wave.CANCELLED, Wave.CANCELLING):
        return _Verdict(
            requests.REFUSED, f"wave {wave.name} is cancelled: its users stay in legacy until the next plan"
        )
    why = _waits(parts, db, plan, wave) or closed
    if why:
        return _Verdict(requests.OPEN, why)
    batch_id = next((each.batch_id for each in together if each.batch_id is not None), None)
    batch = batches.get(db, batch_id) if batch_id is not None else None
    if batch and batch.status is Batch.READY and (batch.fence or batch.id == asked.batch_id):
        # one that was taken before may be in the target already: only whoever takes it again finds out
        return _Verdict(requests.OPEN, f"batch {batch.id} waits for a worker")
    if batch and batch.status is Batch.RUNNING:
        return _Verdict(requests.OPEN, f"batch {batch.id} of wave {wave.name} has him")
    return _Verdict(requests.OPEN, "a batch is made for him", ready=True)


def _waits(parts: Parts, db: sa.Connection, plan: plans.Plan, wave: waves.Wave) -> str | None:
    """Why nobody of this wave may be moved now."""
    if plan.status != "approved":
        return f"plan {plan.id} is a {plan.status}: `migrator plan approve`"
    if not parts.cutting.asked_per_minute:
        return "nobody is moved ahead of his wave: [on_demand] per_minute is 0"
    for other in waves.of_plan(db, plan.id):
        if other.status is Wave.HELD:
            return wave_view.held_sentence(other)
        waits = wave_view.waits(other)
        if waits and not wave_view.awaits_its_hours(other):
            return f"wave {other.name} is {waits['sentence']}"
    if wave.status not in (Wave.APPROVED, Wave.RUNNING):
        return f"wave {wave.name} is {wave.status}"
    finding = wave_flows.tripped(parts, db, wave) if wave.status is Wave.APPROVED else None
    return f"the breaker of wave {wave.name}: {finding.sentence}" if finding else None


def _make_batch(db: sa.Connection, plan: plans.Plan, asked: requests.Request, now: datetime) -> bool:
    """A batch of one, or of all who are one account with him; False where a worker was faster and has one of them."""
    together = [one for one in users.with_groups(db, plan.id, [asked.user_key]) if one.status is User.PLANNED]
    wave_id = next(one.wave_id for one in together if one.user_key == asked.user_key)
    assert wave_id is not None
    left = [one.batch_id for one in together if one.batch_id is not None]
    if not all(batches.leave(db, batch_id, left.count(batch_id)) for batch_id in sorted(set(left))):
        return False
    keys = [one.user_key for one in together]
    made = db.begin_nested()
    batch_id = batches.add(db, wave_id, batches.last_ordinal(db, wave_id) + 1, (), plan.id, ramp=False)
    if requests.put(db, plan.id, keys, batch_id, left) < len(keys):
        made.rollback()
        return False
    made.commit()
    batches.hold(db, batch_id, len(keys))
    for one in together:
        if one.batch_id is None and one.place is not None:
            batches.leave_place(db, wave_id, one.place)
    requests.note(db, plan.id, [asked.user_key], batch_id=batch_id, taken_at=now, reason="a batch is made for him")
    return True


def _note(db: sa.Connection, asked: requests.Request, verdict: _Verdict, now: datetime) -> None:
    if (verdict.status, verdict.reason) != (asked.status, asked.reason):
        ended = {"ended_at": now} if verdict.status != requests.OPEN else {}
        requests.note(db, asked.plan_id, [asked.user_key], status=verdict.status, reason=verdict.reason, **ended)


def _rings(
    parts: Parts, db: sa.Connection, found: Sequence[requests.Request], now: datetime
) -> list[tuple[str, tuple[int, ...]]]:
    again = now - parts.limits.ring_again
    rung: list[tuple[str, tuple[int, ...]]] = []
    for one in found:
        batch = batches.get(db, one.batch_id) if one.batch_id is not None else None
        if batch and batch.status is Batch.READY and _may_ring(batch, now, again):
            number = batches.ring(db, batch)
            rung += [(MOVE_NOW, (batch.id, number))] if number is not None else []
    wanting = _wanting(parts, db, found)
    if wanting and all(one.rung_at is None or one.rung_at <= again for one in wanting):
        requests.note(db, wanting[0].plan_id, [one.user_key for one in wanting], rung_at=now)
        rung.append((CUT_OVER, ()))
    return rung


def _may_ring(batch: batches.Batch, now: datetime, again: datetime) -> bool:
    return (batch.not_before is None or batch.not_before <= now) and (batch.rung_at is None or batch.rung_at <= again)


def _wanting(parts: Parts, db: sa.Connection, found: Sequence[requests.Request]) -> list[requests.Request]:
    """Those who are moved and are to be cut over, too."""
    asked = [one for one in found if one.cut_over or parts.cutting.asked_cut_over]
    there = (
        {one.user_key: one.status for one in users.some(db, asked[0].plan_id, [a.user_key for a in asked])}
        if asked
        else {}
    )
    return [one for one in asked if there.get(one.user_key) is User.MOVED]
