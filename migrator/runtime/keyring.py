"""The project's key: where it comes from, whether it is the right one, and a new project's first."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from migrator import settings as configuration
from migrator.errors import Refused
from migrator.settings import Settings

if TYPE_CHECKING:
    from migrator.edges.key_sources import KeySource
    from migrator.edges.keys import ProjectKey
    from migrator.store.chain import Sign
    from migrator.store.control import Control


class Keyring:
    """The key that the settings name, beside what the control database knows of the one this project is sealed with."""

    def __init__(self, settings: Settings, control: Control) -> None:
        self._settings, self._control = settings, control

    @cached_property
    def key(self) -> ProjectKey:
        """
        The project's key, and what it has to know of those before it.

        Raises:
            Refused: there is none, or it is not the one that this project is sealed with.
        """
        from migrator.store import project_keys

        source, key = self.source, self.raw
        with self._control.read() as db:
            known = project_keys.current(db)
        if known is None:
            return key
        if known.key_id != key.id:
            raise Refused(
                f"the project key {source} is not the one that this project is sealed with; put that one back, "
                "or, to take this one in its place: `migrator snapshot rekey --old file:PATH-OF-THE-OLD-ONE`"
            )
        return key.within(known.envelope) if known.envelope else key

    @cached_property
    def source(self) -> KeySource:
        """Where the project's key comes from: `[security] key`, else the file of `[snapshots] key`."""
        said = self._settings.security.key
        return self.said(said or f"file:{self._settings.snapshots.key}")

    def said(self, where: str) -> KeySource:
        """Understand where a key is, as `[security] key` says it."""
        from migrator.edges.key_sources import KeySource

        settings = self._settings
        return KeySource(where, settings.root, configuration.environment(), settings.snapshots.key)

    @cached_property
    def raw(self) -> ProjectKey:
        """The key as its source gives it, whether it is the right one or not."""
        if self.is_missing:
            raise Refused(
                f"there is no project key at {self.source.path}; `migrator store upgrade` makes one for a new project, "
                "and a second machine needs a copy of the first one's"
            )
        return self.source.load()

    @property
    def is_missing(self) -> bool:
        """Whether the key is a file that is not there."""
        return self.source.kind == "file" and not self.source.path.exists()

    def sign_if_there(self) -> Sign | None:
        """What chains a journal from before there was a chain; None before the project has its key."""
        try:
            return self.raw.sign
        except Refused:
            return None

    def make(self) -> bool:
        """Make the project's key where nothing was sealed yet and it is a file; whether it was made."""
        from migrator.store import plans

        if not self.is_missing:
            return False
        with self._control.read() as db:
            sealed = plans.current(db) is not None
        if sealed:
            raise Refused(
                f"the project key {self.source.path} is missing, and what this project sealed opens with no other; "
                "put the copy of it back"
            )
        self.source.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.create()
        return True

    def create(self) -> None:
        """Make the file."""
        from migrator.edges.keys import ProjectKey

        ProjectKey.create(self.source.path)

    def note(self, actor: str, now: datetime) -> None:
        """Remember by its id which key this project is sealed with, where that was not done yet."""
        from migrator.store import project_keys

        with self._control.write() as db:
            if project_keys.current(db) is None:
                project_keys.note(db, self.raw.id, None, actor, now)
