"""A library whose readers move into one that is in use: its target counts its rows itself, and has members already."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from migrator.edges.databases import connect
from migrator.flows.checking import verify
from migrator.flows.steering import waves
from migrator.flows.undoing import rollbacks, rolled_back
from tests.edges.databases.places import Place, SqlitePlace
from tests.flows.bakery import Bakery, parts_of

SET = """
set: library
users: {table: reader, key: id, email: email, name: name}
activity: [{table: loan, user: reader_id, at: lent_at}]
paid: [{table: loan, user: reader_id, at: lent_at, amount: fee}]
at: [{datetime: {timezone: UTC}}]
"""
MEMBERS = """
mapping: members
source: {table: reader, key: id, user: id}
target: {table: members, id: {sequence: true}%s}
fields:
  email: {from: email, required: true, sensitive: true}
  name: {from: name}
  phone: {from: phone}
  changed: {from: changed}
"""
LOANS = """
mapping: loans
source: {table: loan, key: id, user: reader_id}
target: {table: loans, id: {sequence: true}%s}
fields:
  member_id: {lookup: members, by: reader_id, required: true}
  title: {from: title, required: true}
"""
LEGACY = """
create table reader (id integer primary key, email text not null, name text, phone text, changed integer not null);
create table loan (id integer primary key, reader_id integer not null, title text not null, fee numeric(6, 2) not null, lent_at timestamp not null);
"""
COUNTS = {
    "sqlite": "integer primary key autoincrement",
    "postgresql": "bigint generated always as identity primary key",
}
MEMBERS_TABLE = "create table members (id {id}, email text not null, name text, phone text, changed integer, seen text default 'never')"
LOANS_TABLE = "create table loans (id {id}, member_id integer not null references members (id), title text not null)"


class Library(Bakery):
    """Readers with two loans each, on whatever place the target is. A folder that has been one is opened as it is."""

    def __init__(
        self,
        folder: Path,
        place: Place,
        *,
        readers: int = 3,
        members: str = "",
        loans: str = "",
        id_: str | None = None,
    ) -> None:
        self.folder, self.place = folder, place
        new = not (folder / "legacy.db").exists()
        folder.mkdir(parents=True, exist_ok=True)
        mappings = folder / "mappings"
        if new:
            mappings.mkdir()
            texts = {"set": SET, "members": MEMBERS % members, "loans": LOANS % loans}
            for name, text in texts.items():
                (mappings / f"{name}.yaml").write_text(text, encoding="utf-8")
            self._fill_with(readers, id_ or COUNTS["sqlite" if place.url.startswith("sqlite") else "postgresql"])
        self.parts = parts_of(folder, target=connect(place.url, None, "target"))

    @classmethod
    def started(cls, folder: Path, readers: int, *, members: str = "", there: tuple[Any, ...] = ()) -> Library:
        """One on SQLite, all of it in one folder, whose wave runs; to be copied."""
        folder.mkdir()
        library = cls(folder, SqlitePlace(folder), readers=readers, members=members)
        if there:
            library.there(there)
        library.plan()
        waves.start(library.parts, "whole")
        return library

    def copy(self, folder: Path) -> Library:
        """Another that stands where this one stands now."""
        shutil.copytree(self.folder, folder)
        return Library(folder, SqlitePlace(folder))

    def _fill_with(self, readers: int, id_: str) -> None:
        with self.legacy() as db:
            db.executescript(LEGACY)
            people = [(n, f"r{n}@x.org", f"Reader {n}", f"+{n}", 10) for n in range(1, readers + 1)]
            db.executemany("insert into reader values (?, ?, ?, ?, ?)", people)
            loans = [(n * 10 + k, n, f"Book {n}.{k}", 1.5, "2026-01-01 10:00:00") for n, *_ in people for k in (1, 2)]
            db.executemany("insert into loan values (?, ?, ?, ?, ?)", loans)
        self.place.run(MEMBERS_TABLE.format(id=id_))
        self.place.run(LOANS_TABLE.format(id=id_))

    def there(self, *people: tuple[Any, ...]) -> None:
        """Members who are in the target already: email, name, phone, changed."""
        self.place.run("insert into members (email, name, phone, changed) values (?, ?, ?, ?)", *people)

    def members(self) -> list[tuple[Any, ...]]:
        """id, email, name, phone, changed, seen of the target."""
        return self.place.ask("select id, email, name, phone, changed, seen from members order by id")

    def loans(self) -> list[tuple[Any, ...]]:
        """id, whose (by e-mail), title."""
        return self.place.ask(
            "select loans.id, members.email, title from loans join members on members.id = member_id order by loans.id"
        )

    def rows(self) -> dict[str, list[tuple[object, ...]]]:
        """All rows of the target but for our own tables."""
        return {
            "members": self.place.ask("select * from members order by id"),
            "loans": self.place.ask("select * from loans order by id"),
        }

    def ledger(self) -> list[tuple[object, ...]]:
        """user, generation, op of the ledger."""
        return sorted(self.place.ask("select user_key, generation, op from migrator_ledger"))

    def held(self) -> list[str]:
        """Who waits for a person."""
        return sorted(user for user, status in self.users().items() if status == "held")

    def back(self, **scope: str) -> rolled_back.RolledBack:
        """Roll back."""
        return rollbacks.roll_back(self.parts, rollbacks.scope(self.parts, **scope))

    def differences(self) -> Sequence[object]:
        """What a verification finds."""
        return verify.verify(self.parts, verify.scope(self.parts)).differences
