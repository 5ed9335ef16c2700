"""Legacy of one kind, target of another: a mapping set between them, moved as workers move it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from migrator.edges.databases import connect
from migrator.flows.checking import verify
from migrator.flows.drafting import linting
from migrator.flows.parts import Limits
from migrator.flows.undoing import rollbacks, rolled_back
from migrator.mapping import document, problems
from migrator.store import tables
from tests.flows.bakery import Bakery, parts_of
from tests.pairs.grounds import Ground

#: Signs of life, of which there must be one: who came in when.
LIVELY = "at: [{datetime: {timezone: UTC}}]\nactivity: [{table: visit, user: who, at: at}]\ntables: {visit: for tiers alone}\n"


def visited(legacy: Ground) -> None:
    """User 1 was there once."""
    legacy.table("visit", {"id": "integer primary key", "who": "integer", "at": "varchar(19)"})
    legacy.insert("visit", ["id", "who", "at"], [(1, 1, "2026-01-01 10:00:00")])


class Move(Bakery):
    """A project between two grounds; planning, running and asking are those of the bakery."""

    def __init__(self, folder: Path, legacy: Ground, target: Ground, **mappings: str) -> None:
        self.folder = folder
        (folder / "mappings").mkdir(parents=True)
        for name, text in mappings.items():
            (folder / "mappings" / f"{name}.yaml").write_text(text, encoding="utf-8")
        self.parts = parts_of(
            folder,
            legacy=connect(legacy.place.url, None, "legacy"),
            target=connect(target.place.url, None, "target"),
            limits=Limits(users=500, lease=timedelta(seconds=60), grace=timedelta(0), ring_again=timedelta(seconds=60)),
        )

    def linted(self) -> list[str]:
        """What is wrong with the mappings as the databases are; warnings do not count."""
        draft = document.read(self.folder / "mappings")
        with linting.live(self.parts.legacy, self.parts.target, data=True) as known:
            return [f"{found.code} {found.text}" for found in problems.errors(linting.check(draft, known))]

    def verified(self) -> verify.Verified:
        """What a full comparison finds."""
        return verify.verify(self.parts, verify.scope(self.parts))

    def roll_back(self) -> rolled_back.RolledBack:
        """Everybody goes back."""
        return rollbacks.roll_back(self.parts, rollbacks.scope(self.parts))

    def held(self) -> dict[str, list[str]]:
        """By field and rule, the keys of the rows with which a person must help."""
        found: dict[str, list[str]] = {}
        with self.parts.control.read() as db:
            for case in db.execute(sa.select(tables.cases)).mappings():
                found.setdefault(f"{case['field']} {case['rule']}", []).append(case["source_key"])
        return found
