"""What flows work with. Assembled by `runtime`, or by a test; flows never open anything themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from migrator.edges.databases.base import Database, Legacy
from migrator.flows.desk import Desk
from migrator.rollout.pace import Pace

if TYPE_CHECKING:
    from migrator.edges.companions import Companions
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
    attempts: int = 5
    interruptions: int = 3
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True, slots=True)
class Telling:
    """How users are told; `sender` None means that nothing is queued."""

    sender: str | None = None
    product: str = "our service"
    contact: str = "support@localhost"
    locale: str = "en"
    events: tuple[str, ...] = ("before", "done", "delayed", "rolled_back")
    templates: Any = None  # flows.notices.Templates


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
