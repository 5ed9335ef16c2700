"""
The statuses of users, waves, batches, cases and notices, and the tables of what may follow what.

An order given is not an order obeyed: `pausing` is the order, `paused` the fact. Who changes a status asks `step` and
then writes it with a condition on the old one; nothing that is not listed here can happen.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, TypeAlias, overload

from migrator.errors import NotAllowed


class User(StrEnum):
    """Where one user of the plan is. Every user is in exactly one of these, so their sum is the plan."""

    #: Waits for a batch. A crash leaves nothing behind.
    PLANNED = "planned"
    #: A batch has the user. After a crash the ledger in the target says whether it was written: moved, or planned again.
    MOVING = "moving"
    #: Verified in the target, still served by legacy. A crash changes nothing.
    MOVED = "moved"
    #: Served by the target. A crash changes nothing.
    LIVE = "live"
    #: Served by the target, with no way back: the snapshot may expire. A crash changes nothing.
    SETTLED = "settled"
    #: Nothing of the user is written; a review case says why. A crash changes nothing.
    HELD = "held"
    #: Stays in legacy for a stated reason. A crash changes nothing.
    EXCLUDED = "excluded"
    #: The target or legacy refused the user after all attempts; nothing is written. A crash changes nothing.
    FAILED = "failed"
    #: The before-images are being put back. After a crash the ledger says whether they were; it is done again if not.
    ROLLING_BACK = "rolling_back"
    #: The target is as it was before the user came. A crash changes nothing.
    ROLLED_BACK = "rolled_back"
    #: All that could name the user is gone here and in the target. Final.
    ERASED = "erased"


class Wave(StrEnum):
    """Where one wave is. Only a running wave hands out batches."""

    #: Computed, changeable, not yet signed. A crash changes nothing.
    DRAFT = "draft"
    #: Signed and frozen; waits for its turn, its window or a person. A crash changes nothing.
    APPROVED = "approved"
    #: Batches are handed out. After a crash the next dispatcher goes on from the batches table.
    RUNNING = "running"
    #: Told to pause; running batches end. After a crash the reaper ends them and the wave is paused.
    PAUSING = "pausing"
    #: No batch is running. A crash changes nothing.
    PAUSED = "paused"
    #: A gate, the breaker or a person said stop, with findings. A crash changes nothing.
    HELD = "held"
    #: All batches are done: verify, soak, gate. After a crash the check starts again from the first.
    CHECKING = "checking"
    #: The gate said GO, or a person overrode its HOLD with a reason. A crash changes nothing.
    PASSED = "passed"
    #: Told to end; running batches end. After a crash the reaper ends them and the wave is cancelled.
    CANCELLING = "cancelling"
    #: Will not go on; who was moved stays moved. A crash changes nothing.
    CANCELLED = "cancelled"
    #: Its users are being put back. After a crash the users still rolling back are taken up again.
    ROLLING_BACK = "rolling_back"
    #: Every user of it that could be put back was. A crash changes nothing.
    ROLLED_BACK = "rolled_back"


class Batch(StrEnum):
    """Where one batch is."""

    #: May be taken by any worker. A crash changes nothing.
    READY = "ready"
    #: A worker holds its lease. After a crash the lease runs out and it is ready again under a higher fence.
    RUNNING = "running"
    #: Recorded: every user of it is moved, held, excluded or failed. Final.
    DONE = "done"
    #: Replaced by two halves. Final.
    SPLIT = "split"
    #: Out of attempts; its users are failed. A crash changes nothing.
    FAILED = "failed"


class Case(StrEnum):
    """Where one review case is."""

    #: Somebody has to decide. A crash changes nothing.
    OPEN = "open"
    #: Decided and stored; every later run applies it. A crash changes nothing.
    RESOLVED = "resolved"
    #: Its users have been sent on their way again, or nobody waits for it any more. A crash changes nothing.
    REPLAYED = "replayed"


class Notice(StrEnum):
    """Where one message to one receiver is."""

    #: In the outbox since the transaction of what it tells. A crash changes nothing.
    QUEUED = "queued"
    #: A sender has it. After a crash nobody knows whether it went out: unknown.
    CLAIMED = "claimed"
    #: The mail server took it. A crash changes nothing.
    SENT = "sent"
    #: The receiver's side confirmed it. Final.
    DELIVERED = "delivered"
    #: The receiver's side refused it. Final.
    BOUNCED = "bounced"
    #: It could not be handed over. A crash changes nothing.
    FAILED = "failed"
    #: Not to be sent to this receiver, with the reason. Final.
    SUPPRESSED = "suppressed"
    #: Waits for the end of quiet hours or of a limit. A crash changes nothing.
    DEFERRED = "deferred"
    #: Its time to live ran out. Final.
    EXPIRED = "expired"
    #: What it would have told is no longer so. Final.
    CANCELLED = "cancelled"
    #: The sender died between claiming and recording. A crash changes nothing.
    UNKNOWN = "unknown"


Status: TypeAlias = User | Wave | Batch | Case | Notice
Table: TypeAlias = Mapping[tuple[Status, str], Status]

USER: Table = {
    # a worker took the batch of the user
    (User.PLANNED, "claim"): User.MOVING,
    # the plan found that the user shares a unique value with others
    (User.PLANNED, "hold"): User.HELD,
    # a person left the user out, or legacy no longer has the user
    (User.PLANNED, "exclude"): User.EXCLUDED,
    # written, read back and compared; home stays legacy until the cutover
    (User.MOVING, "verify"): User.MOVED,
    # written, read back and compared in a plan that cuts over at once
    (User.MOVING, "cut over"): User.LIVE,
    # a row of the user was rejected: nothing of the user was written
    (User.MOVING, "hold"): User.HELD,
    # legacy no longer has the user
    (User.MOVING, "exclude"): User.EXCLUDED,
    # the batch ended without the user: its lease ran out, the run paused, the database was away
    (User.MOVING, "give back"): User.PLANNED,
    # all attempts are used up, alone in a batch at last
    (User.MOVING, "fail"): User.FAILED,
    # a person switched the wave or the user to the target
    (User.MOVED, "cut over"): User.LIVE,
    # a person or a gate takes the move back before the user ever saw the target
    (User.MOVED, "roll back"): User.ROLLING_BACK,
    # a person or a gate takes the move back
    (User.LIVE, "roll back"): User.ROLLING_BACK,
    # the time in which the move could be taken back is over
    (User.LIVE, "settle"): User.SETTLED,
    # the cause is resolved: the user is to be moved again
    (User.HELD, "replay"): User.PLANNED,
    # a person decided that the user stays in legacy
    (User.HELD, "exclude"): User.EXCLUDED,
    # a person wants another attempt
    (User.FAILED, "retry"): User.PLANNED,
    # a person decided that the user stays in legacy
    (User.FAILED, "exclude"): User.EXCLUDED,
    # the before-images are back and compared
    (User.ROLLING_BACK, "restore"): User.ROLLED_BACK,
    # the new system has written since: the user stays where the product serves the user
    (User.ROLLING_BACK, "refuse"): User.LIVE,
    # the target was changed although the user had never been cut over
    (User.ROLLING_BACK, "refuse before cutover"): User.MOVED,
    # the wave is to be moved again
    (User.ROLLED_BACK, "retry"): User.PLANNED,
    # a person decided that the user stays in legacy
    (User.ROLLED_BACK, "exclude"): User.EXCLUDED,
    # the right to erasure; never while a batch has the user
    (User.PLANNED, "erase"): User.ERASED,
    # the right to erasure; nothing was written
    (User.HELD, "erase"): User.ERASED,
    # the right to erasure; nothing was written
    (User.EXCLUDED, "erase"): User.ERASED,
    # the right to erasure; nothing was written
    (User.FAILED, "erase"): User.ERASED,
    # the right to erasure; the snapshot is rewritten without the user
    (User.MOVED, "erase"): User.ERASED,
    # the right to erasure; the snapshot is rewritten without the user
    (User.LIVE, "erase"): User.ERASED,
    # the right to erasure; the snapshot is rewritten without the user
    (User.SETTLED, "erase"): User.ERASED,
    # the right to erasure; the snapshot is rewritten without the user
    (User.ROLLED_BACK, "erase"): User.ERASED,
}

WAVE: Table = {
    # a person signed the plan
    (Wave.DRAFT, "approve"): Wave.APPROVED,
    # the plan was dropped before anybody signed it
    (Wave.DRAFT, "cancel"): Wave.CANCELLED,
    # its turn came, or a person typed it
    (Wave.APPROVED, "start"): Wave.RUNNING,
    # a person will not have it
    (Wave.APPROVED, "cancel"): Wave.CANCELLING,
    # a person, a closing window or a database that is away
    (Wave.RUNNING, "pause"): Wave.PAUSING,
    # the breaker tripped, the books did not balance, or a person said stop
    (Wave.RUNNING, "hold"): Wave.HELD,
    # no batch is left to hand out and none is running
    (Wave.RUNNING, "drained"): Wave.CHECKING,
    # a person ends it
    (Wave.RUNNING, "cancel"): Wave.CANCELLING,
    # the last running batch has ended
    (Wave.PAUSING, "drained"): Wave.PAUSED,
    # the pause was taken back before it was reached
    (Wave.PAUSING, "resume"): Wave.RUNNING,
    # a batch that was still running tripped the breaker
    (Wave.PAUSING, "hold"): Wave.HELD,
    # a person ends it
    (Wave.PAUSING, "cancel"): Wave.CANCELLING,
    # a person, an opening window or a database that is back
    (Wave.PAUSED, "resume"): Wave.RUNNING,
    # a person wants reasons answered before it goes on
    (Wave.PAUSED, "hold"): Wave.HELD,
    # a person ends it
    (Wave.PAUSED, "cancel"): Wave.CANCELLING,
    # a person takes back what it moved so far
    (Wave.PAUSED, "roll back"): Wave.ROLLING_BACK,
    # the gate said GO
    (Wave.CHECKING, "pass"): Wave.PASSED,
    # the gate said HOLD or STOP
    (Wave.CHECKING, "hold"): Wave.HELD,
    # held users were resolved, or failed ones get another attempt, while it soaks
    (Wave.CHECKING, "retry"): Wave.RUNNING,
    # a person takes it back while it soaks
    (Wave.CHECKING, "roll back"): Wave.ROLLING_BACK,
    # decide again: what is left runs, then the gate looks once more
    (Wave.HELD, "resume"): Wave.RUNNING,
    # held users were resolved, or failed ones get another attempt
    (Wave.HELD, "retry"): Wave.RUNNING,
    # a person answers for it with a reason; never after STOP
    (Wave.HELD, "override"): Wave.PASSED,
    # a person ends it
    (Wave.HELD, "cancel"): Wave.CANCELLING,
    # a person takes it back, or the plan says so on STOP
    (Wave.HELD, "roll back"): Wave.ROLLING_BACK,
    # held users were resolved, or failed ones get another attempt: the same plan, so no new signature, but a new gate
    (Wave.PASSED, "retry"): Wave.RUNNING,
    # a person takes it back
    (Wave.PASSED, "roll back"): Wave.ROLLING_BACK,
    # the last running batch has ended
    (Wave.CANCELLING, "drained"): Wave.CANCELLED,
    # a person takes back what it had moved
    (Wave.CANCELLED, "roll back"): Wave.ROLLING_BACK,
    # every user is put back or refused
    (Wave.ROLLING_BACK, "restored"): Wave.ROLLED_BACK,
    # the same wave again: the signature stands, the start is a new decision
    (Wave.ROLLED_BACK, "retry"): Wave.APPROVED,
    # a person leaves it out: the waves after it go on without its users
    (Wave.ROLLED_BACK, "cancel"): Wave.CANCELLING,
}

BATCH: Table = {
    # a worker took the lease
    (Batch.READY, "claim"): Batch.RUNNING,
    # it broke workers too often, or a user of it must travel alone
    (Batch.READY, "split"): Batch.SPLIT,
    # committed in the target and recorded here
    (Batch.RUNNING, "finish"): Batch.DONE,
    # the worker stopped in good order, or the trouble passes by itself
    (Batch.RUNNING, "give back"): Batch.READY,
    # the lease ran out: the worker is dead, stuck or cut off
    (Batch.RUNNING, "expire"): Batch.READY,
    # the target refused the rows: look for the user whose rows they are
    (Batch.RUNNING, "split"): Batch.SPLIT,
    # one user is left and all attempts are used up
    (Batch.RUNNING, "fail"): Batch.FAILED,
    # a person wants another attempt
    (Batch.FAILED, "retry"): Batch.READY,
}

CASE: Table = {
    # a person decided
    (Case.OPEN, "resolve"): Case.RESOLVED,
    # nobody waits for it any more: whom it concerns arrived without a decision, or stays in legacy
    (Case.OPEN, "lapse"): Case.REPLAYED,
    # its users were planned again with the decision
    (Case.RESOLVED, "replay"): Case.REPLAYED,
    # the decision was taken back
    (Case.RESOLVED, "reopen"): Case.OPEN,
    # the same cause came back: the decision did not help
    (Case.REPLAYED, "reopen"): Case.OPEN,
}

NOTICE: Table = {
    # a sender took it
    (Notice.QUEUED, "claim"): Notice.CLAIMED,
    # quiet hours, or a limit of the channel
    (Notice.QUEUED, "defer"): Notice.DEFERRED,
    # the receiver is on the suppression list, or has no address
    (Notice.QUEUED, "suppress"): Notice.SUPPRESSED,
    # it is no longer worth reading
    (Notice.QUEUED, "expire"): Notice.EXPIRED,
    # what it tells was taken back
    (Notice.QUEUED, "cancel"): Notice.CANCELLED,
    # quiet hours are over
    (Notice.DEFERRED, "release"): Notice.QUEUED,
    # the receiver was suppressed while it waited
    (Notice.DEFERRED, "suppress"): Notice.SUPPRESSED,
    # it is no longer worth reading
    (Notice.DEFERRED, "expire"): Notice.EXPIRED,
    # what it tells was taken back
    (Notice.DEFERRED, "cancel"): Notice.CANCELLED,
    # the server took it
    (Notice.CLAIMED, "send"): Notice.SENT,
    # the server refused the receiver at once
    (Notice.CLAIMED, "bounce"): Notice.BOUNCED,
    # the server could not be reached, or refused the message
    (Notice.CLAIMED, "fail"): Notice.FAILED,
    # the server asked to come later
    (Notice.CLAIMED, "defer"): Notice.DEFERRED,
    # the sender died holding it
    (Notice.CLAIMED, "lose"): Notice.UNKNOWN,
    # the receiver's side confirmed it
    (Notice.SENT, "deliver"): Notice.DELIVERED,
    # a bounce came in
    (Notice.SENT, "bounce"): Notice.BOUNCED,
    # a person or the next round tries again
    (Notice.FAILED, "retry"): Notice.QUEUED,
    # it did go out before the sender died
    (Notice.UNKNOWN, "deliver"): Notice.DELIVERED,
    # it did go out before the sender died, and came back
    (Notice.UNKNOWN, "bounce"): Notice.BOUNCED,
    # once, under the same message id, so that the receiver's side can drop a double
    (Notice.UNKNOWN, "send again"): Notice.CLAIMED,
    # what it tells was taken back before anybody sent it again
    (Notice.UNKNOWN, "cancel"): Notice.CANCELLED,
}

Noun: TypeAlias = Literal["user", "wave", "batch", "case", "notice"]

#: What no person orders: it comes about.
BY_ITSELF = frozenset({"drained", "pass", "restored"})
STATUSES: Mapping[str, type[Status]] = {"user": User, "wave": Wave, "batch": Batch, "case": Case, "notice": Notice}
TABLES: Mapping[str, Table] = {"user": USER, "wave": WAVE, "batch": BATCH, "case": CASE, "notice": NOTICE}


@overload
def step(noun: Literal["user"], status: str, event: str, ref: str) -> User: ...
@overload
def step(noun: Literal["wave"], status: str, event: str, ref: str) -> Wave: ...
@overload
def step(noun: Literal["batch"], status: str, event: str, ref: str) -> Batch: ...
@overload
def step(noun: Literal["case"], status: str, event: str, ref: str) -> Case: ...
@overload
def step(noun: Literal["notice"], status: str, event: str, ref: str) -> Notice: ...
def step(noun: Noun, status: str, event: str, ref: str) -> Status:
    """
    Ask the table what *event* makes of a thing in *status*.

    Args:
        noun: Whose table.
        status: The status now, as enum or as stored text.
        event: The verb.
        ref: What the thing is called, for the sentence of the error.

    Raises:
        NotAllowed: the table has no such edge; the error lists the events that are possible now.
    """
    now = STATUSES[noun](status)
    try:
        return TABLES[noun][now, event]
    except KeyError:
        raise NotAllowed(noun, ref, now.value, event, _for_people(noun, now)) from None


def _for_people(noun: Noun, now: Status) -> tuple[str, ...]:
    """What somebody can do about it now, or what he has to wait for."""
    possible = {event: after for (before, event), after in TABLES[noun].items() if before is now}
    orders = tuple(event for event in possible if event not in BY_ITSELF)
    return orders or tuple(f"wait until it is {after.value}" for after in possible.values())


def events(noun: Noun, status: str) -> tuple[str, ...]:
    """List what can happen to a thing in *status*, in the order of the table; none means final."""
    now = STATUSES[noun](status)
    return tuple(event for before, event in TABLES[noun] if before is now)


def diagram(noun: Noun) -> str:
    """Draw the table as a Mermaid state diagram, one line per pair of statuses, for the README."""
    events_between: dict[tuple[Status, Status], list[str]] = {}
    for (before, event), after in TABLES[noun].items():
        events_between.setdefault((before, after), []).append(event)
    first = next(iter(STATUSES[noun]))
    arrows = [f"    {before} --> {after}: {' / '.join(verbs)}" for (before, after), verbs in events_between.items()]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {first}", *arrows])
