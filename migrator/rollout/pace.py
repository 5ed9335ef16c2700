"""
How many users the next batch should hold, from what the last ones took: toward a target time, within bounds.

Source: the batch optimizer of GitLab's batched background migrations (exponential average, small steps, bounds). Ours
averages seconds and users apart, so that many small batches say as much as they are worth, and goes by what the
*present* size would take: batches under way were cut for another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALPHA = 0.4  # how much the newest batch counts
LOOK_BACK = 20  # batches
STEP = 0.2  # of the present size, at most, per batch that ended
SLACK = 1 / 3  # of the target: within it the size stays
SMALLEST_PART = 2  # of a batch, toward the end of a wave
BELIEVED = 2.0  # times what was to be expected; one batch that took longer is not believed more


@dataclass(frozen=True, slots=True)
class Pace:
    """What a batch may take and hold: `target` seconds, `smallest` to `largest` users, `memory` megabytes."""

    target: float = 15.0
    smallest: int = 10
    largest: int = 5000
    memory: int = 600
    adaptive: bool = True

    def around(self, size: int) -> Pace:
        """The same, with bounds wide enough for the size that a plan starts with."""
        return Pace(self.target, min(self.smallest, size), max(self.largest, size), self.memory, self.adaptive)


@dataclass(frozen=True, slots=True)
class Ended:
    """One batch that ended: its users, its seconds, and the megabytes that its worker held then (None: not known)."""

    users: int
    seconds: float
    memory: int | None = None


def follow(present: int, ended: Sequence[Ended], new: int, pace: Pace) -> int:
    """
    Give the next size: one step for each of the *new* last ones among *ended* (oldest first).

    Nothing new, or a pace that is not adaptive, changes nothing but what is out of bounds.
    """
    for place in range(max(len(ended) - new, 0), len(ended)) if pace.adaptive else ():
        present = step(present, ended[: place + 1], pace)
    return _bounded(present, pace) if pace.adaptive else present


def shared(size: int, left: int, workers: int) -> int:
    """
    Make the last batches of a wave smaller, so that its workers end together and none waits for a large one.

    Source: guided self-scheduling (Polychronopoulos and Kuck, 1987): each takes his share of what is left. A small batch
    costs nearly as much to begin as a large one: never less than half of *size*.
    """
    if workers < 2:
        return size
    return max(1, min(size, max(size // SMALLEST_PART, left // workers)))


def step(present: int, ended: Sequence[Ended], pace: Pace) -> int:
    """
    Go one step from *present*: down when a worker holds too much or a batch would take too long, up when it is short.

    Args: ended: oldest first; the last one is why a step is due.
    """
    smaller, larger = min(present - 1, int(present * (1 - STEP))), max(present + 1, int(present * (1 + STEP)))
    last = ended[-1]
    held = last.memory or 0
    if held > pace.memory:
        # one that is larger than the present size ended after we went down: it tells nothing of this size
        return _bounded(smaller if last.users <= present else present, pace)
    expected = per_user(ended) * present
    if expected > pace.target * (1 + SLACK):
        return _bounded(smaller, pace)
    room = held * (1 + STEP) <= pace.memory
    if expected < pace.target * (1 - SLACK) and room:
        return _bounded(larger, pace)
    return _bounded(present, pace)


def per_user(ended: Sequence[Ended]) -> float:
    """Seconds per user: the exponential average of the last batches, in which no single one has the say."""
    seconds = users = 0.0
    for one in ended[-LOOK_BACK:]:
        if not users:
            seconds, users = one.seconds, float(max(one.users, 1))
            continue
        believed = min(one.seconds, BELIEVED * max(seconds / users * one.users, 0.001))
        seconds += ALPHA * (believed - seconds)
        users += ALPHA * (one.users - users)
    return seconds / users if users else 0.0


def _bounded(size: int, pace: Pace) -> int:
    return max(pace.smallest, min(pace.largest, size))
