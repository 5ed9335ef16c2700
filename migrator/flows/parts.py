"""What flows work with. Assembled by `runtime`, or by a test; flows never open anything themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from migrator.edges.databases.base import Database, Legacy
from migrator.flows.people.desk import Desk
from migrator.rollout.pace import Pace

if TYPE_CHECKING:
    from migrator.edges.companions import Companions
    from migrator.edges.databases.change_log import ChangeLog
    from migrator.edges.databases.freeze_lock import FreezeLock
    from migrator.edges.databases.watching import Watch
    from migrator.edges.home_cache import HomeCache
    from migrator.edges.snapshots import Snapshots
    from migrator.mapping.model import MappingSet


def utc_now() -> datetime:
    """The clock on the wall, aware."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Limits:
    """How batches are leased and repeated; each from `[batches]`."""

    users: int = 1000
    lease: timedelta = timedelta(seconds=60)
    grace: timedelta = timedelta(seconds=60)
    ring_again: timedelta = timedelta(seconds=60)
    reap_every: timedelta = timedelta(seconds=10)
    leader: timedelta = timedelta(seconds=15)
    retry_after: timedelta = timedelta(seconds=5)
    attempts: int = 5
    interruptions: int = 3
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True, slots=True)
class Cutting:
    """How users are cut over, from `[cutover]`; and how many are moved ahead of their waves, from `[on_demand]`."""

    budget: timedelta = timedelta(seconds=30)
    drain: timedelta = timedelta(seconds=6)
    users: int = 2000
    lock: bool = False  # legacy itself refuses writes to users who are frozen
    asked_per_minute: int = 60
    asked_cut_over: bool = False


@dataclass(frozen=True, slots=True)
class Telling:
    """How users are told; `sender` None means that nothing is queued."""

    sender: str | None = None
    product: str = "our service"
    contact: str = "support@localhost"
    locale: str = "en"
    events: tuple[str, ...] = ("before", "done", "delayed", "rolled_back")
    templates: Any = None  # flows.notices.Templates


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long what is over is kept, and how often it is looked for (0: never): `[snapshots] keep`, `[housekeeping]`."""

    snapshots: timedelta = timedelta(days=30)
    rows: timedelta = timedelta(days=90)
    every: timedelta = timedelta(days=1)


@dataclass(frozen=True)
class Capture:
    """
    How it is found who changed in legacy, from `[changes]`: per database (a single one is called "legacy") scan ·
    updated_at · trigger; `logs` are what triggers write into.
    """

    how: Mapping[str, str] = field(default_factory=lambda: {"legacy": "scan"})
    overlap: timedelta = timedelta(minutes=10)
    scan_every: timedelta = timedelta(hours=24)
    logs: Mapping[str, ChangeLog] = field(default_factory=dict)

    @property
    def only_scans(self) -> bool:
        """Whether in one of them nothing but a scan tells of changes."""
        return "scan" in self.how.values()


@dataclass(frozen=True)
class Parts(Desk):
    """Databases, snapshots, keys, clock and limits of one project."""

    legacy: Legacy
    target: Database
    snapshots: Snapshots
    load_set: Callable[[], MappingSet]
    folder: str = ""  # of the mappings, as cases name it: mappings/shop/
    limits: Limits = Limits()
    telling: Telling = Telling()
    cutting: Cutting = Cutting()
    keeping: Keeping = Keeping()
    watches: Mapping[str, Watch] = field(default_factory=dict)  # of the legacy databases: who writes to them now
    locks: Mapping[str, FreezeLock] = field(default_factory=dict)  # of the legacy databases: whose rows they refuse
    writable: Mapping[str, Database] = field(
        default_factory=dict
    )  # legacy databases that changes may be carried back to
    policy: str = "block"  # of a rollback after the cutover, from `[rollback]`
    homes: HomeCache | None = None  # what applications remember of where users are served
    capture: Capture = field(default_factory=Capture)
    companions: Companions | None = None  # processes that may work beside this one
    actor: str = "system"
    now: Callable[[], datetime] = utc_now
    _sets: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def legacy_schema(self) -> Any:
        """The legacy schema, looked at once per process."""
        return self.legacy.schema()

    @cached_property
    def target_schema(self) -> Any:
        """The target schema, looked at once per process."""
        return self.target.schema()

    @cached_property
    def folder_set(self) -> MappingSet:
        """The mapping set as it stands in the folder now."""
        return self.load_set()

    def stored_set(self, hash_: str) -> MappingSet:
        """The mapping set that the control database keeps under this hash."""
        if hash_ not in self._sets:
            from migrator.flows import sets
            from migrator.store import plans

            with self.control.read() as db:
                texts = plans.texts(db, hash_)
            self._sets[hash_] = sets.opened(texts, hash_, self.folder, self.key)
        found: MappingSet = self._sets[hash_]
        return found
