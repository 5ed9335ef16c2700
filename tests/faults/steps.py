"""What the operator, the dispatcher and the workers do in one cinema, each step so that it can be begun again anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from migrator.edges.queue import BATCH, CHECK
from migrator.edges.senders.file import FileSender
from migrator.errors import Refused
from migrator.flows.checking import verify
from migrator.flows.erasure import erasing
from migrator.flows.homes import cutover, settling
from migrator.flows.moving import batches
from migrator.flows.parts import Parts
from migrator.flows.steering import dispatching, waves
from migrator.flows.syncing import sync
from migrator.flows.telling import delivery
from migrator.flows.undoing import rollbacks
from migrator.rollout.states import Wave
from migrator.store import plans
from tests.faults.cinema import ERASED, LATE, WAVE, Cinema

OWNER = "worker"
IDLE, BUSY, REST = 80, 80, 0.05  # looks at which nothing, or something, was to be done; seconds after the former
UNDER_WAY = (Wave.RUNNING, Wave.CHECKING, Wave.PAUSING, Wave.CANCELLING)


class Ears:
    """Hears the doorbell."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, tuple[int, ...]]] = []

    def wake(self, task: str, *ids: int) -> None:
        self.heard.append((task, ids))

    def take(self) -> list[tuple[str, tuple[int, ...]]]:
        heard, self.heard = self.heard, []
        return heard


def a_dispatcher(parts: Parts, owner: str = "dispatcher") -> dispatching.Dispatcher:
    """One who rings for nobody but us."""
    return dispatching.Dispatcher(parts, Ears(), owner, parts.now())


def work(cinema: Cinema, task: str, ids: tuple[int, ...]) -> None:
    """Do what a worker does when it hears a message."""
    if task == BATCH:
        batches.move(cinema.parts, ids[0], ids[1], OWNER)
    elif task == CHECK:
        verify.check_wave(cinema.parts, ids[0], OWNER)
    else:
        deliver(cinema)


def deliver(cinema: Cinema) -> None:
    """Send what is due."""
    if cinema.parts.telling.sender:
        delivery.send(cinema.parts, FileSender(cinema.folder / "mail", "cinema@cinema.example"), 200)


def status(cinema: Cinema, wave: str = WAVE) -> Wave:
    """Where a wave is."""
    with cinema.parts.control.read() as db:
        return waves.find(db, wave).status


def _held_by_hand(cinema: Cinema, wave: str) -> bool:
    with cinema.parts.control.read() as db:
        return any(one["check"] == "operator" for one in waves.find(db, wave).findings or [])


def move(cinema: Cinema) -> None:
    """Whatever was there before: start or go on, until everybody of the wave who can be is live, and told."""
    come(cinema)
    cut_over(cinema)
    deliver(cinema)


def late(cinema: Cinema) -> None:
    """Those who came to legacy when the plan was made have a wave of their own."""
    come(cinema, LATE)


def come(cinema: Cinema, wave: str = WAVE) -> None:
    """Start a wave or go on with it, until everybody of it who can be is moved."""
    dispatcher = a_dispatcher(cinema.parts)
    idle = busy = 0
    while idle < IDLE and busy < BUSY:
        now = status(cinema, wave)
        if now is Wave.ROLLED_BACK:
            waves.retry(cinema.parts, wave)
        elif now is Wave.ROLLING_BACK:
            back(cinema)
        elif now is Wave.APPROVED:
            waves.start(cinema.parts, wave)
        elif now is Wave.PAUSED or (now is Wave.HELD and _held_by_hand(cinema, wave)):
            waves.resume(cinema.parts, wave)
        elif now in UNDER_WAY:
            if _tick(cinema, dispatcher):
                busy += 1
            else:
                idle += 1
                time.sleep(REST)
        else:
            _tick(cinema, dispatcher)
            return
    raise AssertionError("the wave does not come to an end")


def cut_over(cinema: Cinema) -> None:
    """Where the plan leaves it to a person to let the target serve users, he does it now."""
    with cinema.parts.control.read() as db:
        if plans.require(db).settings["cutover"] == "immediate":
            return
    try:
        found = cutover.cut_over_wave(cinema.parts, WAVE)
    except Refused:
        return  # nobody is moved and not yet live
    assert not found.left, found.left


def _tick(cinema: Cinema, dispatcher: dispatching.Dispatcher) -> int:
    """What came of it, by number."""
    dispatcher.tick()
    assert isinstance(dispatcher.bell, Ears)
    heard = dispatcher.bell.take()
    for task, ids in heard:
        work(cinema, task, ids)
    return len(heard)


def shift(cinema: Cinema) -> None:
    """One look of a dispatcher and what comes of it: what a worker does who then goes home."""
    if status(cinema) is Wave.APPROVED:
        waves.start(cinema.parts, WAVE)
    dispatcher = a_dispatcher(cinema.parts)
    for _ in range(3):  # the ramp is awaited
        _tick(cinema, dispatcher)


def look(cinema: Cinema) -> None:
    """A dispatcher that has just started looks once and rings for nobody."""
    a_dispatcher(cinema.parts, "another").tick()


def back(cinema: Cinema) -> None:
    """Stop the wave where it is, and put everybody back."""
    dispatcher = a_dispatcher(cinema.parts)
    if status(cinema) in (Wave.RUNNING, Wave.CHECKING):
        waves.hold(cinema.parts, WAVE, "three in the morning")
    while status(cinema) in (Wave.PAUSING, Wave.CANCELLING):
        dispatcher.tick()
    if status(cinema) in (Wave.APPROVED, Wave.ROLLED_BACK):
        return
    try:
        rollbacks.roll_back(cinema.parts, rollbacks.scope(cinema.parts, wave=WAVE))
    except Refused:
        pass  # nobody had come
    deliver(cinema)


def back_all(cinema: Cinema) -> None:
    """Put everybody of every wave back."""
    with suppress(Refused):  # nobody is left to be put back
        rollbacks.roll_back(cinema.parts, rollbacks.scope(cinema.parts))


def bring(cinema: Cinema) -> None:
    """Bring over what changed in legacy, take in who came to it, and put back who is gone from it."""
    whole = sync.scope(cinema.parts)
    for _ in range(IDLE):
        done = sync.passes(cinema.parts, whole)
        sync.remove_vanished(cinema.parts, whole, done)
        if not done.busy:
            return
        time.sleep(REST)
    raise AssertionError("somebody is brought over for ever")


def erase(cinema: Cinema) -> None:
    """Forget one of them, or end what was begun."""
    erasing.erase(cinema.parts, erasing.subject(cinema.parts, ERASED))


def settle(cinema: Cinema) -> None:
    """Give up the way back, unless it was given up before."""
    with suppress(Refused):
        settling.settle(cinema.parts, WAVE)


STEPS: dict[str, Callable[[Cinema], None]] = {
    "move": move,
    "back": back,
    "shift": shift,
    "look": look,
    "settle": settle,
    "come": come,
    "late": late,
    "sync": bring,
    "back all": back_all,
    "erase": erase,
}
