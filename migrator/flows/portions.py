"""Work on many users in parts, in as many processes as are worth their start."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager, nullcontext
from typing import Protocol, TypeVar

from migrator.flows.parts import Parts

Job = TypeVar("Job")
Result = TypeVar("Result")
Whose = TypeVar("Whose", bound=Sized)
Snapshot = tuple[int, int]  # batch and fence


class Held(Protocol):
    """A user whose rows a snapshot holds."""

    @property
    def user_key(self) -> str:
        """Who."""

    @property
    def batch_id(self) -> int:
        """Of which batch the snapshot is."""

    @property
    def fence(self) -> int:
        """And of which attempt of it."""


OneHeld = TypeVar("OneHeld", bound=Held)

AT_ONCE = 10_000  # users of one part
WORTH = 5000  # users for which one more process is started: fewer are done before it is ready
PARTS_EACH = 3  # parts for each process, so that none waits long for the last one


def share(
    parts: Parts, task: str, jobs: Sequence[Job], here: Callable[[Job], Result], *, users: int, workers: int | None
) -> Generator[tuple[int, Result], None, None]:
    """
    Carry out all *jobs*: (number of the job, its result) as each is done.

    Args:
        task: What companions know *here* by.
        users: whom the jobs are about, together.
        workers: how many processes; None: as many as there are processors, and fewer for few users.
    """
    count = min(processes(parts, users, workers), len(jobs))
    if parts.companions is None or count <= 1:
        for place, job in enumerate(jobs):
            yield place, here(job)
        return
    yield from parts.companions.share(task, jobs, here, count - 1)


@contextmanager
def expected(parts: Parts, count: int) -> Iterator[None]:
    """Let what is prepared within be prepared while the others of *count* processes start."""
    with nullcontext() if parts.companions is None or count <= 1 else parts.companions.expected(count - 1):
        yield


def processes(parts: Parts, users: int, workers: int | None) -> int:
    """How many processes are to work, this one among them."""
    if parts.companions is None:
        return 1
    return workers or max(1, min(parts.companions.most, users // WORTH))


def by_snapshot(users: Iterable[OneHeld]) -> dict[Snapshot, list[OneHeld]]:
    """Users by the snapshot that holds them, in their order."""
    found: dict[Snapshot, list[OneHeld]] = {}
    for one in users:
        found.setdefault((one.batch_id, one.fence), []).append(one)
    return found


def keys_by_snapshot(users: Iterable[Held]) -> dict[Snapshot, list[str]]:
    """The keys of users by the snapshot that holds them."""
    return {snapshot: [one.user_key for one in held] for snapshot, held in by_snapshot(users).items()}


def cut(snapshots: Sequence[tuple[Snapshot, Whose]], count: int) -> list[tuple[tuple[Snapshot, Whose], ...]]:
    """Snapshots, with their users, in parts: neighbours together, for *count* processes."""
    users = sum(len(whose) for _, whose in snapshots)
    size = min(AT_ONCE, users // (count * PARTS_EACH)) if count > 1 else AT_ONCE
    found: list[list[tuple[Snapshot, Whose]]] = []
    held = 0
    for snapshot, whose in snapshots:
        if not found or held + len(whose) > size:
            found.append([])
            held = 0
        found[-1].append((snapshot, whose))
        held += len(whose)
    return [tuple(part) for part in found]
