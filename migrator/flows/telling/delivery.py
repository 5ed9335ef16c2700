"""Hand notices that are due to a sender, and record what became of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from migrator.crashpoints import crash_point
from migrator.edges.senders.base import Outgoing, ReceiverRefused, Sender
from migrator.errors import KeyWrong, Refused, Transient, Unreachable, WrongInput
from migrator.flows.parts import Parts
from migrator.rollout import states
from migrator.rollout.states import Notice as Status
from migrator.store import outbox
from migrator.store.outbox import Notice

ATTEMPTS = 8
LATER = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=1)
GROUP = 100  # outcomes recorded at once, where sending twice does no harm
LOST = "the sender died holding it; sent once more under the same message id"


@dataclass(frozen=True, slots=True)
class Round:
    """What sending came to. `later` wait for another attempt; `lost` may or may not have gone out."""

    claimed: int = 0
    sent: int = 0
    bounced: int = 0
    failed: int = 0
    later: int = 0
    lost: int = 0
    trouble: str | None = None

    def __add__(self, other: Round) -> Round:
        numbers = {name: getattr(self, name) + getattr(other, name) for name in self.__slots__ if name != "trouble"}
        return Round(**numbers, trouble=self.trouble or other.trouble)


def deliver(parts: Parts, sender: Sender, limit: int) -> int:
    """Send what is due, at most *limit*; how many went out."""
    return send(parts, sender, limit).sent


def send(parts: Parts, sender: Sender, limit: int) -> Round:
    """
    Send what is due and say how it went.

    A notice whose sender died is sent once more under the same message id; if that one dies too, it is `unknown` and
    for a person to look at. A server that is away ends the round and uses up no attempt.
    """
    now = parts.now()
    with parts.control.write() as db:
        claimed = outbox.claim(db, now, limit)
        ours = [notice for notice in claimed if _ours(db, notice)]
        crash_point("outbox-claim-written")
    crash_point("outbox-claimed")
    result = Round(claimed=len(claimed), lost=len(claimed) - len(ours))
    try:
        for group in _groups(ours, GROUP if sender.repeatable else 1):
            outcomes = [_outcome(parts, sender, notice, now, away=result.trouble) for notice in group]
            with parts.control.write() as db:
                for notice, outcome in zip(group, outcomes, strict=True):
                    outbox.settle(db, notice.id, outcome.status, **outcome.values)
                crash_point("outbox-settle-written")
            crash_point("outbox-settled")
            result += _counted(outcomes)
    finally:
        sender.close()
    return result


def send_failed_again(parts: Parts, plan_id: int) -> int:
    """Failed notices of a plan are queued again with fresh attempts; how many."""
    with parts.control.write() as db:
        failed = outbox.select(db, plan_id, status=Status.FAILED.value, limit=1_000_000)
        for notice in failed:
            status = states.step("notice", notice.status, "retry", str(notice.id))
            outbox.settle(db, notice.id, status, attempts=0, not_before=None)
    return len(failed)


@dataclass(frozen=True, slots=True)
class _Outcome:
    status: Status
    values: dict[str, Any]
    away: str | None = None  # nobody was there: the round is over


def _ours(db: sa.Connection, notice: Notice) -> bool:
    """Whether a claimed notice may be sent; one that a dead sender held is, once more."""
    if notice.status is not Status.CLAIMED:
        return True
    if notice.error == LOST:
        outbox.settle(db, notice.id, Status.UNKNOWN, error="two senders died holding it; it may have gone out")
        return False
    outbox.settle(db, notice.id, Status.CLAIMED, error=LOST)
    return True


def _groups(notices: Sequence[Notice], size: int) -> Iterator[Sequence[Notice]]:
    for start in range(0, len(notices), size):
        yield notices[start : start + size]


def _outcome(parts: Parts, sender: Sender, notice: Notice, begun: datetime, *, away: str | None) -> _Outcome:
    """Send one notice, and what is to be recorded of it."""
    late = parts.now() - begun > outbox.CLAIM / 2  # soon another sender may take it for lost
    if away or late:
        error = LOST if notice.status is Status.CLAIMED else None  # that one of its sendings is used up stays known
        return _Outcome(Status.QUEUED, {"attempts": notice.attempts, "error": error, "not_before": notice.not_before})
    try:
        message = _outgoing(parts, notice)
        sender.send(message)
        crash_point("outbox-sent")
    except Unreachable as trouble:
        values = {"attempts": notice.attempts, "error": str(trouble), "not_before": parts.now() + LATER}
        return _Outcome(Status.QUEUED, values, away=str(trouble))
    except Transient as trouble:
        return _again(parts, notice, str(trouble))
    except ReceiverRefused as refusal:
        return _Outcome(Status.BOUNCED, {"error": str(refusal)})
    except (Refused, WrongInput, KeyWrong) as refusal:
        return _Outcome(Status.FAILED, {"error": str(refusal)})
    return _Outcome(Status.SENT, {"sent_at": parts.now(), "error": None, "content_hash": _content_hash(message)})


def _again(parts: Parts, notice: Notice, trouble: str) -> _Outcome:
    """Asked to come later: again after a while that doubles, until the attempts are used up."""
    if notice.attempts + 1 >= ATTEMPTS:
        return _Outcome(Status.FAILED, {"error": trouble})
    wait = min(LATER * 2**notice.attempts, LONGEST_WAIT)
    return _Outcome(Status.QUEUED, {"error": trouble, "not_before": parts.now() + wait})


def _outgoing(parts: Parts, notice: Notice) -> Outgoing:
    if notice.address is None:
        raise ReceiverRefused("no e-mail address")
    kept = json.loads(parts.key.open(notice.variables))
    if "message" not in kept:  # its template was wrong when it was queued
        telling = parts.telling
        message = telling.templates.render(notice.event, notice.locale, notice.channel, kept["given"], telling.locale)
        kept = {"message": message.content()}
    # from the notice, not the moment: a second sending is the same message; from the project's key: no other project's is
    id_ = parts.key.fingerprint(notice.unique_key)
    return Outgoing(id=id_, to=parts.key.open(notice.address), at=notice.queued_at, **kept["message"])


def _content_hash(message: Outgoing) -> str:
    content = json.dumps([message.subject, message.text, message.html])
    return hashlib.sha256(content.encode()).hexdigest()


def _counted(outcomes: Sequence[_Outcome]) -> Round:
    def count(status: Status) -> int:
        return sum(outcome.status is status for outcome in outcomes)

    return Round(
        sent=count(Status.SENT),
        bounced=count(Status.BOUNCED),
        failed=count(Status.FAILED),
        later=count(Status.QUEUED),
        trouble=next((outcome.away for outcome in outcomes if outcome.away), None),
    )
