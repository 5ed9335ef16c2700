"""A bundled migration of a known product: its legacy filled by the test, moved, looked at, and taken back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.journeys.project import REPOSITORY, Project

SETTINGS = """
[legacy]
url = "sqlite:///legacy.sqlite"
[target]
url = "sqlite:///target.sqlite"
[mappings]
path = "{mappings}"
[plan]
soak = "0s"
strategy = "whole"
cutover = "immediate"
[gates]
max_held = 0.5
{more}
"""


@dataclass(frozen=True)
class Product:
    """One project folder with a legacy and a target file."""

    project: Project

    @classmethod
    def create(cls, folder: Path, mappings: str, legacy: str, target: str, more: str = "") -> Product:
        """Make both databases from SQL scripts, and a project for the bundled set *mappings*."""
        project = Project.create(folder, SETTINGS.format(mappings=REPOSITORY / "mappings" / mappings, more=more))
        for name, script in (("legacy", legacy), ("target", target)):
            with closing(sqlite3.connect(folder / f"{name}.sqlite")) as db:
                db.executescript(script)
        return cls(project)

    @contextmanager
    def legacy(self) -> Iterator[sqlite3.Connection]:
        """The old product's database, to be filled."""
        with closing(sqlite3.connect(self.project.folder / "legacy.sqlite")) as db, db:
            yield db

    def add(self, table: str, *rows: Sequence[Any]) -> None:
        """Put rows into a legacy table, values in the order of its columns."""
        with self.legacy() as db:
            for row in rows:
                db.execute(f"insert into {table} values ({', '.join('?' * len(row))})", row)

    def move(self, code: int = 0) -> None:
        """From an empty control database to everybody moved (4: somebody is held)."""
        self.project.do("mapping", "lint")
        self.project.do("mapping", "test")
        self.project.do("store", "upgrade")
        self.project.do("plan", "create")
        self.project.do("plan", "approve", "--yes")
        self.project.do("run", "--workers", "1", "--yes", code=code)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds in the target."""
        with closing(sqlite3.connect(self.project.folder / "target.sqlite")) as db:
            return list(db.execute(query))

    def table(self, name: str, key: str = "id") -> dict[Any, dict[str, Any]]:
        """All rows of a target table by one of its columns."""
        with closing(sqlite3.connect(self.project.folder / "target.sqlite")) as db:
            db.row_factory = sqlite3.Row
            return {row[key]: dict(row) for row in db.execute(f"select * from {name}")}

    def dump(self) -> str:
        """The whole target but our own tables, and but the counters of sequences."""
        with closing(sqlite3.connect(self.project.folder / "target.sqlite")) as db:
            said = (line for line in db.iterdump() if "migrator_" not in line and "sqlite_sequence" not in line)
            return "\n".join(said)

    def held(self) -> dict[str, set[tuple[str, str, str]]]:
        """Who is held, and for what: user -> (mapping, field, rule)."""
        found: dict[str, set[tuple[str, str, str]]] = {}
        for case in self.project.do("review", "list", "--json").json["cases"]:
            for user in case["users"]:
                found.setdefault(user, set()).add((case["mapping"], case["field"], case["rule"]))
        return found

    def books(self) -> list[dict[str, Any]]:
        """The row balance of every mapping, as the report has it."""
        return list(self.project.do("report", "--json").json["books"])
