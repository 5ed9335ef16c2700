"""The Magento shop on its way: a project, its legacy file, its target, and what they should hold."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.journeys.project import REPOSITORY, Project
from tests.oracle import magento

SETTINGS = """
[legacy]
url = "sqlite:///{legacy}"
[target]
url = "{target}"
{schema}
[mappings]
path = "{mappings}"
[plan]
soak = "0s"
gray = [5, 25, 50]
cutover = "immediate"
[batches]
{batches}
{more}
"""

#: Keys of `[batches]`: a few hundred customers still make enough batches to stop something in the middle of them.
SMALL_BATCHES = "users = 20\n"
#: So is what a killed process held: given up by default after a minute, and looked for after another.
IMPATIENT = 'lease = "15s"\ngrace = "2s"\nring_again = "5s"\nreap_every = "1s"\n'


@dataclass(frozen=True)
class Shop:
    """One migration of the Magento shop."""

    project: Project
    legacy: Path
    target: magento.Target

    @classmethod
    def create(
        cls, folder: Path, legacy: Path, data: Path, target_url: str | None, batches: str = "", more: str = ""
    ) -> Shop:
        """
        A project that is ready to be planned; three natives already live in its target.

        Args:
            target_url: an empty PostgreSQL database; None makes a SQLite file.
            batches: lines of `[batches]`.
            more: other sections.
        """
        folder.mkdir(parents=True)
        dialect = "sqlite" if target_url is None else "postgresql"
        url = target_url or f"sqlite:///{folder / 'target.sqlite'}"
        _build(url, (data / "magento1" / f"new_schema.{dialect}.sql").read_text(encoding="utf-8"))
        settings = SETTINGS.format(
            legacy=legacy, target=url, batches=batches, more=more, mappings=REPOSITORY / "mappings" / "magento1",
            schema="" if target_url is None else 'schema = "shop"',
        )  # fmt: skip
        shop = cls(Project.create(folder, settings), legacy, magento.target(url))
        magento.settle_natives(shop.target)
        return shop

    def approve(self) -> None:
        """From an empty control database to an approved plan."""
        self.project.do("store", "upgrade")
        self.project.do("tier", "assign")
        self.project.do("plan", "create")
        self.project.do("plan", "approve", "--yes")

    def run(self, code: int = 0) -> str:
        """Carry the plan out, unattended."""
        return self.project.do("run", "--workers", "2", "--yes", code=code, timeout=1800).text

    def verified(self, code: int = 0) -> dict[str, Any]:
        """`migrator verify --json`."""
        return dict(self.project.do("verify", "--json", code=code).json)

    def unlike_legacy(self, but: set[int] = frozenset()) -> list[str]:  # type: ignore[assignment]
        """Where the target does not hold what legacy says of everybody but *but*, of whom it must hold nothing."""
        meant = magento.without(magento.legacy_facts(self.legacy), but)
        return magento.unlike(meant, magento.target_facts(self.target))


def _build(url: str, script: str) -> None:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as db:
            db.executescript(script)
        return
    import psycopg

    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://")) as db:
        db.execute(script.encode())


Legacy = Callable[[str], Path]
