"""
A cinema whose visitors move, on SQLite, small enough to be moved thousands of times. What is odd about each visitor is
here; what must come of it is in `oracle`, which knows nothing of this file's mapping.

The target counts how often each row is inserted, updated and deleted (`applied`): two moves that leave the same values
still show.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from migrator.edges.databases import connect
from migrator.edges.keys import ProjectKey
from migrator.edges.snapshots import Snapshots
from migrator.flows.parts import Cutting, Limits, Parts, Telling
from migrator.flows.plans import planning, tiering
from migrator.flows.telling.templates import Templates
from migrator.mapping import document
from migrator.store.control import Control

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
WAVE, LATE = "whole", "late"

SET = """
set: cinema
users: {table: visitor, key: id, email: mail, name: nick}
at: [{datetime: {timezone: UTC}}]
activity: [{table: ticket, user: visitor_id, at: bought}]
paid: [{table: ticket, user: visitor_id, at: bought, amount: price}]
"""
MEMBERS = """
mapping: members
source: {table: visitor, key: id, user: id}
target: {table: members, %s}
fields:
  email: {from: mail, transform: [trim, lower, email], required: true, sensitive: true}
  name: {from: nick, transform: [trim]}
  status: {from: state, transform: [{map: {1: active, 2: closed}}], required: true%s}
"""
TICKETS = """
mapping: tickets
source: {table: ticket, key: id, user: visitor_id, without_user: {leave: bought at the counter}}
target: {table: tickets, id: {uuid5: id}}
fields:
  member_id: {lookup: members, by: visitor_id, required: true}
  film: {from: film, required: true}
  price: {from: price, transform: [decimal], required: true}
checks: {sums: {price: price}}
"""
LEGACY = """
create table visitor (id integer primary key, mail text not null, nick text, state integer not null);
create table ticket (id integer primary key, visitor_id integer, film text not null, price numeric(8, 2) not null, bought timestamp not null);
create index ticket_visitor on ticket (visitor_id);
"""
TARGET = """
create table members (id %s, email text not null, name text, status text not null check (status in ('active', 'closed')));
create unique index members_email on members (email);
create table tickets (id text primary key, member_id %s not null references members (id), film text not null, price numeric(8, 2) not null);
create index tickets_member on tickets (member_id);
create table applied (tab text, row text, what text, n integer not null, primary key (tab, row, what));
"""
COUNTING = """
create trigger {tab}_{what} after {what} on {tab} begin
  insert into applied values ('{tab}', {row}.{key}, '{what}', 1) on conflict do update set n = n + 1;
end;
"""
NO_ENTRY = """
create trigger no_entry before insert on members when new.email = 'v{user}@cinema.example'
begin select raise(abort, 'not this one'); end;
"""
RENAMED = """
create trigger renamed after insert on members when new.email = 'v{user}@cinema.example'
begin update members set name = 'somebody' where email = new.email; end;
"""
TIERS = tiering.TierOptions(
    "all", "all", {"recency": {"fixed": 30}, "frequency": {"fixed": 1}, "money": {"fixed": 0}}, {}
)


@dataclass(frozen=True, slots=True)
class Kind:
    """What is special about a cinema."""

    name: str
    standing: bool = False  # some members are in the target before, and the target counts its members itself
    refused: int | None = None  # the target refuses this visitor
    changed: int | None = None  # a trigger changes what was written of this visitor
    aborts: bool = False  # a rule says `on_error: abort` for the one who is held elsewhere
    disturbed: bool = False  # a visitor writes to legacy while he is moved
    told: bool = True  # visitors are written to
    manual: bool = False  # a person cuts the wave over, once it has passed
    restless: bool = False  # legacy changes once they have come

    @property
    def visitors(self) -> int:
        """How many there are."""
        return 7


PLAIN = Kind("plain")
STANDING = Kind("standing", standing=True)
REFUSING = Kind("refusing", refused=2, told=False)
CHANGING = Kind("changing", standing=True, changed=4, told=False)
ABORTING = Kind("aborting", aborts=True, told=False)
DISTURBED = Kind("disturbed", disturbed=True, told=False)
MANUAL = Kind("manual", manual=True)
RESTLESS = Kind("restless", manual=True, restless=True, told=False)
KINDS = {kind.name: kind for kind in (PLAIN, STANDING, REFUSING, CHANGING, ABORTING, DISTURBED, MANUAL, RESTLESS)}
HELD, GONE = 3, 5  # nobody knows the state of the one; the other leaves legacy when the plan is made
ERASED = "4"  # who asks to be forgotten, where somebody does
#: What happens in legacy once they have come: values, a ticket more, a ticket less, one that is given to somebody else.
EDITS = (
    "update visitor set nick = 'Visitor seven ', mail = ' Seven@Cinema.example' where id = 7",
    "insert into ticket values (75, 7, 'Film 5', 9.5, '2026-01-03 20:15:00')",
    "delete from ticket where id = 10",
    "update ticket set visitor_id = 4 where id = 20",
    "update ticket set price = 4.75 where id = 71",
)
#: One comes, one leaves, and the state of one is none that anybody knows.
UPHEAVAL = (
    "insert into visitor values (8, ' V8@Cinema.example', 'Visitor 8', 1)",
    "insert into ticket values (80, 8, 'Film 0', 8.05, '2026-01-03 20:15:00')",
    "delete from ticket where visitor_id = 6",
    "delete from visitor where id = 6",
    "update visitor set state = 9 where id = 1",
)


class Cinema:
    """One cinema in a folder, opened as it is."""

    def __init__(self, folder: Path, *, limits: Limits | None = None, told: bool = True) -> None:
        self.folder = folder
        key = ProjectKey.load(folder / "project.key")
        self.parts = Parts(
            control=Control(f"sqlite:///{folder / 'control.db'}"),
            legacy=connect(f"sqlite:///{folder / 'legacy.db'}", None, "legacy"),
            target=connect(f"sqlite:///{folder / 'target.db'}", None, "target"),
            snapshots=Snapshots(folder / "snapshots", key),
            key=key,
            load_set=lambda: document.load(folder / "mappings"),
            limits=limits or LIMITS,
            cutting=Cutting(drain=timedelta(0), users=3),
            telling=Telling(sender="file", product="Cinema", templates=Templates(TEMPLATES)) if told else Telling(),
            actor="operator",
        )

    def close(self) -> None:
        """Give back all connections: none may be carried into a fork."""
        self.parts.control.close(), self.parts.legacy.close(), self.parts.target.close()


#: Nobody is given up, however often the campaign kills: that a batch is looked into after three lost workers is shown apart.
LIMITS = Limits(
    users=4, lease=timedelta(seconds=60), grace=timedelta(0), retry_after=timedelta(0), reap_every=timedelta(0),
    ring_again=timedelta(0), attempts=10_000, interruptions=10_000,
)  # fmt: skip
OPTIONS = planning.PlanOptions(
    strategy="whole", soak_seconds=0, cutover="immediate", batch_users=4, salt="cinema", max_held=1.0, max_failed=0.85
)


def build(folder: Path, kind: Kind) -> None:
    """Make a cinema with an approved plan of one wave. It maps, so do it in a process of its own."""
    folder.mkdir(parents=True)
    (folder / "mappings").mkdir()
    abort = ", on_error: abort" if kind.aborts else ""
    id_ = "id: {sequence: true}, on_conflict: {match: [email], action: update}" if kind.standing else "id: {uuid5: id}"
    for name, text in (("set", SET), ("members", MEMBERS % (id_, abort)), ("tickets", TICKETS)):
        (folder / "mappings" / f"{name}.yaml").write_text(text, encoding="utf-8")
    _fill_legacy(folder / "legacy.db", kind.visitors)
    _fill_target(folder / "target.db", kind)
    ProjectKey.create(folder / "project.key")
    control = Control(f"sqlite:///{folder / 'control.db'}")
    control.upgrade()
    control.close()
    cinema = Cinema(folder, told=kind.told)
    cinema.parts.target.prepare()
    cutover = "manual" if kind.manual else "immediate"
    planning.create(cinema.parts, replace(OPTIONS, cutover=cutover), TIERS)
    planning.approve(cinema.parts)
    cinema.close()
    with opened(folder / "legacy.db") as db:
        db.execute("delete from visitor where id = ?", (GONE,))
        db.execute("delete from ticket where visitor_id = ?", (GONE,))
    for path in folder.glob("*.db"):
        with closing(sqlite3.connect(path)) as db:
            db.execute("pragma wal_checkpoint(truncate)")


def _fill_legacy(path: Path, visitors: int) -> None:
    with opened(path) as db:
        db.executescript(LEGACY)
        for n in range(1, visitors + 1):
            state = 9 if n == HELD else 1 + n % 2
            db.execute("insert into visitor values (?, ?, ?, ?)", (n, f" V{n}@Cinema.example", f"Visitor {n} ", state))
            for k in range(2):
                values = (10 * n + k, n, f"Film {k}", f"{n}.{k}5", "2026-01-02 20:15:00")
                db.execute("insert into ticket values (?, ?, ?, ?, ?)", values)
        db.execute("insert into ticket values (9999, null, 'Film 0', 7.5, '2026-01-02 20:15:00')")


def _fill_target(path: Path, kind: Kind) -> None:
    with opened(path) as db:
        types = ("integer primary key autoincrement", "integer") if kind.standing else ("text primary key", "text")
        db.executescript(TARGET % types)
        if kind.standing:
            db.execute("insert into members (email, name, status) values ('v1@cinema.example', 'Old', 'closed')")
            db.execute("insert into members (email, name, status) values ('other@x.example', 'Other', 'active')")
            db.execute("insert into members (email, name, status) values ('v6@cinema.example', null, 'active')")
        for tab in ("members", "tickets"):
            key = "email" if tab == "members" else "id"
            for what in ("insert", "update", "delete"):
                row = "old" if what == "delete" else "new"
                db.executescript(COUNTING.format(tab=tab, what=what, row=row, key=key))
        if kind.refused:
            db.executescript(NO_ENTRY.format(user=kind.refused))
        if kind.changed:
            db.executescript(RENAMED.format(user=kind.changed))


def copied(template: Path, folder: Path) -> None:
    """Put a fresh copy of a cinema where another stood."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder)


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A database behind the product's back."""
    with closing(sqlite3.connect(path, timeout=40)) as db, db:
        yield db


def changed(folder: Path, statements: tuple[str, ...]) -> None:
    """Somebody writes to legacy."""
    with opened(folder / "legacy.db") as db:
        for statement in statements:
            db.execute(statement)


def leases_run_out(folder: Path) -> None:
    """Time passes: no lease of any kind holds any more."""
    with opened(folder / "control.db") as db:
        db.execute("update batches set lease_until = '2000-01-01 00:00:00.000000' where lease_until is not null")
        for table in ("leases", "frozen"):
            db.execute(f"update {table} set until = '2000-01-01 00:00:00.000000'")
        db.execute("update frozen set until = '2000-01-01 00:00:00.000000'")
        db.execute("update notices set claimed_at = '2000-01-01 00:00:00.000000' where claimed_at is not null")
