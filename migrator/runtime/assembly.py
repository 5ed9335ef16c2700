"""Assembly: settings -> databases, control, snapshots, key, queue. Decides nothing; imports late, to start fast."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from migrator import logs
from migrator.errors import SettingWrong
from migrator.runtime import options
from migrator.runtime.machine import actor, processors, utc_now
from migrator.runtime.projects import bundled
from migrator.settings import Settings

if TYPE_CHECKING:
    from migrator.edges.companions import Companions
    from migrator.edges.databases.base import Database, Legacy
    from migrator.edges.databases.freeze_lock import FreezeLock
    from migrator.edges.home_cache import HomeCache
    from migrator.edges.keys import ProjectKey
    from migrator.edges.snapshots import Snapshots
    from migrator.flows.parts import Capture, Parts
    from migrator.flows.people.desk import Desk
    from migrator.flows.people.office import Office
    from migrator.flows.plans.planning import PlanOptions
    from migrator.flows.plans.tiering import TierOptions
    from migrator.flows.snapshots.rekeying import Rekeyed
    from migrator.flows.steering.throttling import Throttle
    from migrator.rollout.rights import Person
    from migrator.runtime.keyring import Keyring
    from migrator.settings import DatabaseSettings
    from migrator.store.chain import Head
    from migrator.store.control import Control

T = TypeVar("T")


class Runtime:
    """Everything a command or a task may need, opened when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.person: Person | None = None  # who has proved who he is
        self._speaks_for: str | None = None
        self._newest = False  # the control database was seen to be at the newest revision
        self._open: list[Any] = []

    @cached_property
    def control(self) -> Control:
        """The control database, at the newest revision or refused."""
        control = self.control_as_is
        if not self._newest:
            control.require()
        return control

    @cached_property
    def control_as_is(self) -> Control:
        """The control database, whatever its revision."""
        from migrator.store.control import Control

        control = Control(self.settings.control.url)
        control.sign = lambda entry: self.key.sign(entry)
        control.witness = self._witness
        return self._closing(control)

    @cached_property
    def legacy(self) -> Legacy:
        """The legacy database, read only; several are read as one."""
        if not self.sources:
            return self.single
        from migrator.edges.databases.several import SeveralDatabases

        return SeveralDatabases(self.sources)

    @cached_property
    def single(self) -> Database:
        """The one legacy database, where there are not several."""
        return self._database("legacy", self.settings.legacy)

    @cached_property
    def sources(self) -> dict[str, Database]:
        """The databases of `[legacy.NAME]`; none where `[legacy]` alone names one."""
        return {name: self._database("legacy", section) for name, section in self.settings.sources.items()}

    @cached_property
    def writable(self) -> dict[str, Database]:
        """By name (a single one is called "legacy"), the legacy databases that changes may be carried back to."""
        from migrator.edges.databases import connect as connect_database
        from migrator.edges.databases.carried import WRITABLE

        return {
            name: self._closing(connect_database(section.write_url, section.schema, WRITABLE))
            for name, section in self.settings.legacies.items()
            if section.write_url
        }

    @cached_property
    def target(self) -> Database:
        """The target database."""
        return self._database("target", self.settings.target)

    @cached_property
    def keyring(self) -> Keyring:
        """Where the project's key comes from, whether it is the right one or not."""
        from migrator.runtime.keyring import Keyring

        return Keyring(self.settings, self.control_as_is)

    @cached_property
    def key(self) -> ProjectKey:
        """The key that this project is sealed with, or refused."""
        return self.keyring.key

    def rekey(
        self, old: str | None, agreed: Callable[[], None], progress: Callable[[int, int], None]
    ) -> Rekeyed | None:
        """
        Put the key that the settings name in the place of *old*; see `flows.rekeying`. None: it is in force already.

        Args:
            agreed: called before anything is done.
        """
        from migrator.flows.snapshots import rekeying

        before = self.keyring.said(old).load() if old else None
        if self.keyring.is_missing:
            agreed()
            self.keyring.create()
        with self.control_as_is.read() as db:
            taken = rekeying.begin(db, self.keyring.raw, before)
        if taken is None:
            return None
        agreed()
        self.key = taken
        return rekeying.rekey(self.parts, self.snapshots_with, taken, progress)

    def snapshots_with(self, key: ProjectKey) -> Snapshots:
        """Where sealed snapshots are kept, opened with a key."""
        from migrator.edges import shelves
        from migrator.edges.snapshots import Snapshots

        said = self.settings.snapshots
        return Snapshots(shelves.shelf(said.url, said.options) if said.url else said.path, key)

    @cached_property
    def snapshots(self) -> Snapshots:
        """Where sealed snapshots are kept."""
        return self.snapshots_with(self.key)

    @cached_property
    def desk(self) -> Desk:
        """What flows for support work with: neither legacy nor target."""
        from migrator.flows.people.desk import Desk

        return Desk(control=self.control, key=self.key)

    @cached_property
    def office(self) -> Office:
        """What flows for operators and approvals work with."""
        from migrator.flows.people.office import Office

        return Office(self.control, self.key, self.person, self.actor, utc_now)

    @property
    def actor(self) -> str:
        """What the journal calls whoever is there: the operator who has proved himself, else the user of this machine."""
        return self.person.name if self.person else self._speaks_for or actor()

    def admit(self, command: str, *, changes: bool) -> None:
        """
        Let whoever is there carry out a command.

        Raises:
            NotPermitted: rights apply here, and he may not; or nobody may now.
            Refused: a newer migrator made the control database, so who may do what cannot be read.
        """
        from migrator.flows.people import access

        revision = self.control_as_is.refuse_newer()
        self._newest = revision == self.control_as_is.head()
        if revision is not None and revision >= access.SINCE:
            required = self.settings.security.operators_required
            knock = access.Knock(command, actor(), utc_now(), changes, required)
            self.person = access.admit(self.control_as_is, knock, self._proof)

    def speak_for(self, name: str) -> None:
        """Work for somebody whom another process has let in."""
        self._speaks_for = name

    def _proof(self) -> str | None:
        """The keyed hash of the token that is shown; None: none is."""
        from migrator.edges import tokens
        from migrator.flows.people import access

        section = self.settings.security
        token = section.token or (tokens.read(section.token_file) if section.token_file else None)
        return access.token_print(self.key, token.strip()) if token else None

    @cached_property
    def companions(self) -> Companions:
        """Processes that work beside this one, where there is much to verify or to roll back."""
        from migrator.edges.companions import Companions

        environment = {"MIGRATOR_SETTINGS": str(self.settings.file), "POLARS_MAX_THREADS": "1"}
        return Companions([sys.executable, "-m", "migrator.companion", self.actor], environment, processors())

    @cached_property
    def parts(self) -> Parts:
        """What flows work with."""
        from migrator.flows.parts import Parts

        return Parts(
            control=self.control,
            legacy=self.legacy,
            target=self.target,
            snapshots=self.snapshots,
            key=self.key,
            load_set=self.load_set,
            folder=self._mappings_folder(),
            actor=self.actor,
            capture=self.capture,
            companions=self.companions,
            limits=options.limits(self.settings),
            cutting=options.cutting(self.settings),
            keeping=options.keeping(self.settings),
            watches={name: watch for name, watch in self.throttle.watches.items() if name != "target"},
            locks=self.locks,
            homes=self.home_cache,
            writable=self.writable,
            policy=self.settings.rollback.policy,
            telling=options.telling(self.settings, self.templates_folder()),
        )

    @cached_property
    def home_cache(self) -> HomeCache | None:
        """What applications remember in Redis of where users are served; with an embedded Redis nothing is."""
        from migrator.edges.home_cache import HomeCache

        url = self.settings.broker.url
        return self._closing(HomeCache(url)) if url else None

    @cached_property
    def capture(self) -> Capture:
        """How changes in legacy are found, and the logs of those databases that keep them."""
        from migrator.edges.databases.change_log import change_log
        from migrator.flows.parts import Capture

        said, legacies = self.settings.changes, self.settings.legacies
        return Capture(
            how={name: said.databases.get(name, said.capture) for name in legacies},
            overlap=said.overlap,
            scan_every=said.scan_every,
            logs={
                name: self._closing(change_log(one.url, one.schema, _role(name)))
                for name, one in legacies.items()
                if one.url
            },
        )

    @cached_property
    def locks(self) -> dict[str, FreezeLock]:
        """What lets the legacy databases refuse writes to users who are frozen."""
        from migrator.edges.databases.freeze_lock import FreezeLock

        return {
            name: self._closing(FreezeLock(one.url, one.schema, _role(name)))
            for name, one in self.settings.legacies.items()
            if one.url
        }

    @cached_property
    def throttle(self) -> Throttle:
        """What is watched while waves run, above which limits they wait, and in which hours they go on."""
        from migrator.edges.databases.watching import watch
        from migrator.flows.steering.throttling import Query, Throttle
        from migrator.rollout import schedule
        from migrator.rollout.throttle import Limits

        said, hours = self.settings.throttle, self.settings.schedule
        urls = {_role(name): section.url for name, section in self.settings.legacies.items()}
        urls["target"] = self.settings.target.url
        return Throttle(
            watches={name: self._closing(watch(url, name)) for name, url in urls.items() if url},
            replicas={
                name: self._closing(watch(url, name, replica=True))
                for name, url in ((f"replica {number}", url) for number, url in enumerate(said.replicas, start=1))
            },
            queries=[Query(name, one["query"], float(one["above"])) for name, one in said.sql.items()],
            limits=Limits(said.max_lag, said.max_sessions, said.max_statement),
            flag=said.flag,
            schedule=schedule.read(hours.windows, hours.blackouts, hours.timezone),
        )

    @property
    def plan_options(self) -> PlanOptions:
        """What a plan freezes of the settings."""
        return options.planning(self.settings)

    @property
    def tier_options(self) -> TierOptions:
        """`[tiers]` of the settings."""
        return options.tiering(self.settings)

    def load_set(self) -> Any:
        """Read the mapping folder of the settings."""
        from migrator.mapping import document

        return document.load(self.settings.mappings.path, self.settings.mappings.code)

    def _witness(self, head: Head, why: str) -> None:
        """Write the head of the journal down beside the database."""
        from migrator.edges.anchors import Anchors
        from migrator.flows.parts import utc_now

        Anchors(self.settings.security.anchors).add(utc_now(), head.seq, head.hash, why)

    def begin_logs(self) -> None:
        """Let all that this process says of itself go through the redaction."""
        section = self.settings.logs
        logs.begin(section.format, section.level, lambda user: self.key.alias(user))

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


def _role(name: str) -> str:
    """What a legacy database is called where it is spoken of beside others."""
    return "legacy" if name == "legacy" else f"legacy.{name}"
