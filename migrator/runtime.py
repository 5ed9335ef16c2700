"""Assembly: settings -> databases, control, snapshots, key, queue. Decides nothing; imports late, to start fast."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from migrator import settings as configuration
from migrator.errors import Refused, SettingWrong
from migrator.settings import Settings

if TYPE_CHECKING:
    from migrator.edges.companions import Companions
    from migrator.edges.databases.base import Database, Legacy
    from migrator.edges.keys import ProjectKey
    from migrator.edges.snapshots import Snapshots
    from migrator.flows.desk import Desk
    from migrator.flows.parts import Parts
    from migrator.flows.planning import PlanOptions
    from migrator.flows.throttling import Throttle
    from migrator.flows.tiering import TierOptions
    from migrator.settings import DatabaseSettings
    from migrator.store.control import Control

T = TypeVar("T")


class Runtime:
    """Everything a command or a task may need, opened when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._open: list[Any] = []

    @cached_property
    def control(self) -> Control:
        """The control database, at the newest revision or refused."""
        control = self.control_as_is
        control.require()
        return control

    @cached_property
    def control_as_is(self) -> Control:
        """The control database, whatever its revision."""
        from migrator.store.control import Control

        return self._closing(Control(self.settings.control.url))

    @cached_property
    def legacy(self) -> Legacy:
        """The legacy database, read only; several are read as one."""
        if not self.sources:
            return self._database("legacy", self.settings.legacy)
        from migrator.edges.databases.several import SeveralDatabases

        return SeveralDatabases(self.sources)

    @cached_property
    def sources(self) -> dict[str, Database]:
        """The databases of `[legacy.NAME]`; none where `[legacy]` alone names one."""
        return {name: self._database("legacy", section) for name, section in self.settings.sources.items()}

    @cached_property
    def target(self) -> Database:
        """The target database."""
        return self._database("target", self.settings.target)

    @cached_property
    def key(self) -> ProjectKey:
        """The project's key."""
        from migrator.edges.keys import ProjectKey

        path = self.settings.snapshots.key
        if not path.exists():
            raise Refused(
                f"there is no project key at {path}; `migrator store upgrade` makes one for a new project, "
                "and a second machine needs a copy of the first one's"
            )
        return ProjectKey.load(path)

    def make_key(self) -> bool:
        """Make the project's key where nothing was sealed yet; whether it was made."""
        from migrator.edges.keys import ProjectKey
        from migrator.store import plans

        path = self.settings.snapshots.key
        if path.exists():
            return False
        with self.control_as_is.read() as db:
            sealed = plans.current(db) is not None
        if sealed:
            raise Refused(
                f"the project key {path} is missing, and what this project sealed opens with no other; "
                "put the copy of it back"
            )
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        ProjectKey.create(path)
        return True

    @cached_property
    def snapshots(self) -> Snapshots:
        """Where sealed snapshots are kept."""
        from migrator.edges.snapshots import Snapshots

        return Snapshots(self.settings.snapshots.path, self.key)

    @cached_property
    def desk(self) -> Desk:
        """What flows for support work with: neither legacy nor target."""
        from migrator.flows.desk import Desk

        return Desk(control=self.control, key=self.key)

    @cached_property
    def companions(self) -> Companions:
        """Processes that work beside this one, where there is much to verify or to roll back."""
        from migrator.edges.companions import Companions

        environment = {"MIGRATOR_SETTINGS": str(self.settings.file), "POLARS_MAX_THREADS": "1"}
        return Companions([sys.executable, "-m", "migrator.companion"], environment, processors())

    @cached_property
    def parts(self) -> Parts:
        """What flows work with."""
        from migrator.flows.parts import Limits, Parts, Telling
        from migrator.flows.templates import Templates
        from migrator.rollout.pace import Pace

        batches, notices = self.settings.batches, self.settings.notices
        return Parts(
            control=self.control,
            legacy=self.legacy,
            target=self.target,
            snapshots=self.snapshots,
            key=self.key,
            load_set=self.load_set,
            folder=self._mappings_folder(),
            actor=actor(),
            companions=self.companions,
            limits=Limits(
                users=batches.users,
                lease=batches.lease,
                grace=batches.grace,
                ring_again=batches.ring_again,
                attempts=batches.attempts,
                interruptions=batches.interruptions,
                pace=Pace(
                    target=batches.target.total_seconds(),
                    smallest=batches.smallest,
                    largest=batches.largest,
                    memory=batches.memory,
                    adaptive=batches.adaptive,
                ),
            ),
            telling=Telling(
                sender=notices.sender,
                product=notices.product,
                contact=self.settings.support.contact,
                locale=notices.locale,
                events=notices.events,
                templates=Templates(self.templates_folder()),
            ),
        )

    @cached_property
    def throttle(self) -> Throttle:
        """What is watched while waves run, and above which limits they wait."""
        from migrator.edges.databases.watching import watch
        from migrator.flows.throttling import Query, Throttle
        from migrator.rollout.throttle import Limits

        said = self.settings.throttle
        urls = {f"legacy.{name}": section.url for name, section in self.settings.sources.items()}
        urls = (urls or {"legacy": self.settings.legacy.url}) | {"target": self.settings.target.url}
        return Throttle(
            watches={name: self._closing(watch(url, name)) for name, url in urls.items() if url},
            replicas={
                name: self._closing(watch(url, name, replica=True))
                for name, url in ((f"replica {number}", url) for number, url in enumerate(said.replicas, start=1))
            },
            queries=[Query(name, one["query"], float(one["above"])) for name, one in said.sql.items()],
            limits=Limits(said.max_lag, said.max_sessions, said.max_statement),
            flag=said.flag,
        )

    @property
    def plan_options(self) -> PlanOptions:
        """What a plan freezes of the settings."""
        from migrator.flows.planning import PlanOptions

        plan, gates = self.settings.plan, self.settings.gates
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
            batch_users=self.settings.batches.users,
        )

    @property
    def tier_options(self) -> TierOptions:
        """`[tiers]` of the settings."""
        from migrator.flows.tiering import TierOptions

        tiers = self.settings.tiers
        thresholds = {"recency": tiers.recency, "frequency": tiers.frequency, "money": tiers.money}
        return TierOptions(tiers.frequency_window, tiers.money_window, thresholds, dict(tiers.rates))

    def load_set(self) -> Any:
        """Read the mapping folder of the settings."""
        from migrator.mapping import document

        return document.load(self.settings.mappings.path, self.settings.mappings.code)

    def _mappings_folder(self) -> str:
        """As a person in the project's folder would type it."""
        path = self.settings.mappings.path
        shown = path.relative_to(self.settings.root) if path.is_relative_to(self.settings.root) else path
        return f"{shown}/"

    def templates_folder(self) -> Path:
        """The project's templates, else the bundled ones."""
        own = self.settings.notices.templates
        return own if own.is_dir() else bundled("templates")

    def sender(self) -> Any:
        """What delivers notices."""
        notices = self.settings.notices
        if notices.sender == "smtp":
            from migrator.edges.senders.email import SmtpSender

            return SmtpSender(notices.smtp, notices.from_, notices.smtp_password)
        from migrator.edges.senders.file import FileSender

        return FileSender(notices.path, notices.from_)

    def close(self) -> None:
        """Give everything back."""
        for thing in reversed(self._open):
            thing.close()

    def _database(self, role: Literal["legacy", "target"], section: DatabaseSettings) -> Database:
        from migrator.edges.databases import connect as connect_database

        if not section.url:
            raise SettingWrong(f"{self.settings.file}: [{role}] url is not set; say where the {role} database is")
        return self._closing(connect_database(section.url, section.schema, role))

    def _closing(self, thing: T) -> T:
        self._open.append(thing)
        return thing


@contextmanager
def connect(file: Path | None = None) -> Iterator[Runtime]:
    """Open the project of a settings file for one command."""
    runtime = Runtime(configuration.load(file))
    try:
        yield runtime
    finally:
        runtime.close()


def actor() -> str:
    """Who is at the keyboard, as far as the machine knows."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"uid {os.getuid()}"
    return f"{name}@{socket.gethostname()}"


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def bundled(what: str) -> Path:
    """A folder that travels with the package: `mappings` or `templates`; in a checkout it stands at the top."""
    packed = Path(str(resources.files("migrator"))) / "bundled" / what
    return packed if packed.is_dir() else Path(str(resources.files("migrator"))).parent / what


TOML = """\
# migrator.toml: where things are and how users move. Every key is also MIGRATOR_SECTION_KEY in the environment.

[legacy]
url = "{legacy}"
# [legacy.shop], [legacy.crm], …   # instead of [legacy], where users are spread over several databases

[target]
url = "{target}"
# schema = "shop"                  # where the database has schemas

[mappings]
path = "mappings/shop"

[plan]
gray = [5, 25, 50]                 # percent of each tier before the rest
soak = "{soak}"                       # how long a wave is watched before the next
cutover = "{cutover}"              # or "{other}"
{more}"""
MORE = """
# [control]                        # without it: SQLite in .migrator/
# url = "postgresql://localhost/migrator"
# [broker]                         # without it: a Redis of our own, started with `migrator run`
# url = "redis://localhost:6379/0"
# [throttle]                       # when no batch is handed out; without it nothing is looked at
# max_lag = 5                      # seconds that a replica is behind
# max_sessions = 40                # at work in legacy or target
# flag = "stop"                    # while this file is there
# [notices]                        # without it nobody is written to
# sender = "smtp"
# smtp = "smtp://localhost:25"
# from = "migration@example.com"
"""


def make_project(folder: Path, *, toml: str | None = None) -> list[str]:
    """Make migrator.toml, mappings/ and templates/ in *folder*; what is there is left alone. What was made."""
    made = []
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / configuration.FILE
    if not path.exists():
        urls = {"legacy": "sqlite:///legacy.sqlite", "target": "sqlite:///target.sqlite"}
        text = toml or TOML.format(**urls, soak="24h", cutover="manual", other="immediate", more=MORE)
        path.write_text(text, encoding="utf-8")
        made.append(configuration.FILE)
    for what in ("mappings", "templates"):
        if not (folder / what).exists():
            shutil.copytree(bundled(what), folder / what, ignore=shutil.ignore_patterns("__pycache__"))
            made.append(f"{what}/")
    return made
