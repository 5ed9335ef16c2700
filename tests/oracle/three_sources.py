"""
A generated product whose people are spread over a shop, a CRM and a newsletter list; and what must become of them.

The oracle shares no line with the program it judges. It knows who is who because it made the people first and their
records afterwards; what the target must hold it says from the people, not from the records.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import psycopg
import pymysql

SHOP = """
create table customer (id integer primary key, email varchar(120) not null, name varchar(80) not null,
  phone varchar(20), email_verified boolean not null, closed boolean not null);
create table purchase (id integer primary key, customer_id integer, total numeric(10, 2) not null,
  placed_at timestamp not null);
create index purchase_customer on purchase (customer_id);
"""
CRM = """
create table contact (contact_id integer primary key, shop_customer_id integer, mail varchar(120) not null,
  full_name varchar(80) not null, phone varchar(20), mail_ok smallint not null);
create table ticket (id integer primary key, contact_id integer, subject varchar(200) not null, opened_at timestamp not null);
create index ticket_contact on ticket (contact_id);
create table newsletter_link (sid integer not null, contact_id integer not null);
"""
NEWS = """
create table subscriber (sid integer primary key, address text not null, confirmed integer not null, topics text,
  joined_at timestamp not null);
"""
TARGET = """
create table accounts (id uuid primary key, email varchar(120) not null unique, name varchar(80), phone varchar(20),
  topics jsonb, subscribed boolean not null);
create table orders (id uuid primary key, account_id uuid not null references accounts (id), total numeric(10, 2) not null,
  placed_at timestamptz not null);
create table tickets (id uuid primary key, account_id uuid not null references accounts (id),
  subject varchar(200) not null, opened_at timestamptz not null);
create index orders_account on orders (account_id);
create index tickets_account on tickets (account_id);
insert into accounts values ('00000000-0000-0000-0000-000000000001', 'native@new.example', 'Native', null, null, true);
insert into orders values ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', 5, '2026-01-01Z');
"""
TABLES = ("accounts", "orders", "tickets")
DOUBTFUL_SHARE = 0.03
SUBJECTS = ("Where is it?", "Thank you", "¿Cómo?", "払い戻し", "Invoice, please")


@dataclass
class Person:
    """One human being, and the records there are of him."""

    email: str
    name: str
    customer: int | None = None
    contact: int | None = None
    subscriber: int | None = None
    closed: bool = False
    shop_phone: str | None = None
    crm_phone: str | None = None
    topics: list[str] | None = None
    confirmed: bool = True
    orders: list[tuple[str, str]] = field(default_factory=list)  # total, moment
    tickets: list[tuple[str, str]] = field(default_factory=list)  # subject, moment

    @property
    def key(self) -> str:
        """How the program must call him."""
        if self.customer is not None:
            return str(self.customer)
        return f"crm:{self.contact}" if self.contact is not None else f"news:{self.subscriber}"

    def fact(self) -> Fact:
        """What the target must hold of him."""
        return Fact(
            self.email,
            self.name if self.customer is not None or self.contact is not None else None,
            self.crm_phone if self.crm_phone is not None else self.shop_phone,
            tuple(self.topics) if self.topics is not None else None,
            self.subscriber is not None and self.confirmed,
            tuple(sorted(self.orders)),
            tuple(sorted(self.tickets)),
        )


class Fact(NamedTuple):
    """One account with all that hangs on it."""

    email: str
    name: str | None
    phone: str | None
    topics: tuple[str, ...] | None
    subscribed: bool
    orders: tuple[tuple[str, str], ...]
    tickets: tuple[tuple[str, str], ...]


class Doubt(NamedTuple):
    """A record nobody can place, who it may be, and who it really is where it is the same person."""

    source: str
    record: int
    users: frozenset[str]
    really: str | None


@dataclass
class World:
    """The people, the rows of their records by table, and what must be doubtful."""

    people: list[Person] = field(default_factory=list)
    strangers: list[Person] = field(default_factory=list)  # who a doubtful record is, while nobody has decided
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    doubts: list[Doubt] = field(default_factory=list)
    figures: dict[str, dict[str, int]] = field(default_factory=dict)

    def held(self) -> set[str]:
        """Everybody whom a doubt is about."""
        return {user for doubt in self.doubts for user in (f"{doubt.source}:{doubt.record}", *doubt.users)}

    def users(self) -> set[str]:
        """Everybody there must be."""
        return {person.key for person in (*self.people, *self.strangers)}

    def meant(self) -> list[Fact]:
        """What the target must hold before anybody decided anything: everybody but the closed and the held."""
        held = self.held()
        return sorted(person.fact() for person in self.people if not person.closed and person.key not in held)

    def settled(self, doubt: Doubt) -> Fact:
        """What the target must hold of the person once somebody said that the record is his."""
        person = next(one for one in self.people if one.key == doubt.really)
        stranger = next(one for one in self.strangers if one.key == f"{doubt.source}:{doubt.record}")
        mine, theirs = person.fact(), stranger.fact()
        return mine._replace(
            phone=stranger.crm_phone or mine.phone,
            topics=theirs.topics,
            subscribed=theirs.subscribed,
            tickets=tuple(sorted(mine.tickets + theirs.tickets)),
        )


def a_world(people: int, seed: int = 7) -> World:
    """Make *people*, known to one, two or all three sources, and doubtful records for three in a hundred of them."""
    return _Maker(random.Random(seed)).make(people)


class _Maker:
    """People first, then their records."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.world = World(
            rows={name: [] for name in ("customer", "purchase", "contact", "ticket", "link", "subscriber")}
        )
        self.numbers = {name: count(start) for name, start in (("customer", 1), ("contact", 1), ("subscriber", 1))}
        self.orders, self.tickets = count(1), count(1)
        self.told: dict[str, dict[str, int]] = {name: {"records": 0} for name in ("shop", "crm", "news")}

    def make(self, people: int) -> World:
        for number in range(people):
            person = Person(f"p{number}@home.example", f"Person {number}")
            known = self.chance.choice(["s", "s", "c", "n", "sc", "sc", "sn", "cn", "scn", "scn"])
            self._shop(person, closed=self.chance.random() < 0.03) if "s" in known else None
            self._crm(person) if "c" in known else None
            self._news(person) if "n" in known else None
            self.world.people.append(person)
        self._nobody(people // 20)
        free = [
            one
            for one in self.world.people
            if one.customer and not one.contact and not one.subscriber and not one.closed
        ]
        self.chance.shuffle(free)
        for number in range(round(people * DOUBTFUL_SHARE)):
            (self._unconfirmed, self._unverified, self._torn, self._twice)[number % 4](free)
        self.world.figures = self.told
        return self.world

    def _shop(self, person: Person, *, closed: bool = False) -> None:
        person.customer, person.closed = next(self.numbers["customer"]), closed
        person.shop_phone = self.chance.choice([None, f"+49 {self.chance.randrange(10**8)}"])
        shown = self.chance.choice([person.email, f" {person.email.title()} "])
        self._add("customer", person.customer, shown, person.name, person.shop_phone, True, closed)
        for _ in range(self.chance.randrange(4)):
            total, moment = f"{self.chance.randrange(1, 90000) / 100:.2f}", self._moment()
            person.orders.append((total, moment))
            self._add("purchase", next(self.orders), person.customer, total, moment)
        self._tell("shop", "excluded" if closed else "own")

    def _crm(self, person: Person) -> None:
        person.contact = next(self.numbers["contact"])
        person.crm_phone = self.chance.choice([None, f"+33 {self.chance.randrange(10**8)}"])
        by_id = person.customer is not None and self.chance.random() < 0.6
        mail, ok = (f"p{person.contact}@work.example", self.chance.randrange(2)) if by_id else (person.email.upper(), 1)
        self._add(
            "contact", person.contact, person.customer if by_id else None, mail, person.name, person.crm_phone, ok
        )
        self._write(person)
        self._tell("crm", "own" if person.customer is None else "id" if by_id else "email")

    def _news(self, person: Person) -> None:
        person.subscriber = next(self.numbers["subscriber"])
        person.topics = self.chance.choice([None, ["tea"], ["tea", "bread"]])
        by_link = person.contact is not None and self.chance.random() < 0.5
        person.confirmed = not by_link or self.chance.random() < 0.5
        address = f"p{person.subscriber}@list.example" if by_link else person.email
        if by_link:
            self._add("link", person.subscriber, person.contact)
        self._subscribe(person, address)
        elsewhere = person.customer is not None or person.contact is not None
        self._tell("news", "link" if by_link else "email" if elsewhere else "own")

    # ---- doubtful ones

    def _unverified(self, free: list[Person]) -> None:
        """The CRM has the address of a customer, and never verified it: it is the same person."""
        person = free.pop()
        stranger = self._stranger_contact(person.email, verified=0)
        self._doubt("crm", stranger, {person.key}, really=person.key)

    def _unconfirmed(self, free: list[Person]) -> None:
        """Somebody entered the address of a customer into the list, and never confirmed it."""
        person = free.pop()
        stranger = Person(
            person.email, "", subscriber=next(self.numbers["subscriber"]), topics=["tea"], confirmed=False
        )
        self._subscribe(stranger, person.email)
        self._tell("news", "doubtful")
        self._doubt("news", stranger, {person.key}, really=person.key)

    def _torn(self, free: list[Person]) -> None:
        """The CRM names one customer, and has the verified address of another."""
        one, other = free.pop(), free.pop()
        stranger = self._stranger_contact(other.email, verified=1, customer=one.customer)
        self._doubt("crm", stranger, {one.key, other.key}, really=None)

    def _twice(self, free: list[Person]) -> None:
        """Two contacts name the same customer."""
        person = free.pop()
        for _ in range(2):
            number = self.chance.randrange(10**6)
            stranger = self._stranger_contact(f"{number}@twice.example", verified=0, customer=person.customer)
            self._doubt("crm", stranger, {person.key}, really=None)

    def _stranger_contact(self, mail: str, *, verified: int, customer: int | None = None) -> Person:
        stranger = Person(mail, "Stranger", contact=next(self.numbers["contact"]), crm_phone="+1 555")
        self._add("contact", stranger.contact, customer, mail, stranger.name, stranger.crm_phone, verified)
        self._write(stranger)
        self._tell("crm", "doubtful")
        return stranger

    def _doubt(self, source: str, stranger: Person, users: set[str], really: str | None) -> None:
        record = stranger.contact if source == "crm" else stranger.subscriber
        assert record is not None
        self.world.strangers.append(stranger)
        self.world.doubts.append(Doubt(source, record, frozenset(users), really))

    # ---- rows

    def _write(self, person: Person) -> None:
        for _ in range(self.chance.randrange(3)):
            subject, moment = self.chance.choice(SUBJECTS), self._moment()
            person.tickets.append((subject, moment))
            self._add("ticket", next(self.tickets), person.contact, f" {subject} ", moment)

    def _subscribe(self, person: Person, address: str) -> None:
        topics = ",".join(person.topics) if person.topics is not None else None
        self._add("subscriber", person.subscriber, address, int(person.confirmed), topics, self._moment())

    def _nobody(self, rows: int) -> None:
        for _ in range(rows):
            self._add("purchase", next(self.orders), None, "1.00", self._moment())
            self._add("ticket", next(self.tickets), 900_000 + next(self.tickets), "gone", self._moment())

    def _moment(self) -> str:
        return f"2026-{self.chance.randrange(1, 7):02d}-{self.chance.randrange(1, 28):02d} {self.chance.randrange(24):02d}:30:00"

    def _add(self, table: str, *values: Any) -> None:
        self.world.rows[table].append(values)

    def _tell(self, source: str, rule: str) -> None:
        self.told[source]["records"] += 1
        self.told[source][rule] = self.told[source].get(rule, 0) + 1


# ---- databases ------------------------------------------------------------------------------------------------------


def fill(world: World, shop: str, crm: str, news: Path) -> None:
    """Write the records into three empty databases; *shop* and *crm* are URLs."""
    rows = world.rows
    _make(shop, SHOP, customer=rows["customer"], purchase=rows["purchase"])
    _make(crm, CRM, contact=rows["contact"], ticket=rows["ticket"], newsletter_link=rows["link"])
    _make(f"sqlite:///{news}", NEWS, subscriber=rows["subscriber"])


def _make(url: str, script: str, **rows: list[tuple[Any, ...]]) -> None:
    with _opened(url) as (cursor, mark):
        for statement in filter(str.strip, script.split(";")):
            cursor.execute(statement)
        for table, some in rows.items():
            cursor.executemany(f"insert into {table} values ({', '.join([mark] * len(some[0]))})", some)


@contextmanager
def _opened(url: str) -> Iterator[tuple[Any, str]]:
    """A cursor of whatever database *url* names, and what stands for a value in its SQL."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as lite, lite:
            yield lite.cursor(), "?"
    elif url.startswith("mysql"):
        socket, name = unquote(url.rpartition("=")[2]), url.partition("@/")[2].partition("?")[0]
        with pymysql.connect(unix_socket=socket, user="root", database=name, charset="utf8mb4") as maria:
            with maria.cursor() as cursor:
                yield cursor, "%s"
            maria.commit()
    else:
        with psycopg.connect(url) as pg, pg.cursor() as cursor_:
            yield cursor_, "%s"


def build_target(url: str) -> None:
    """The new schema, in which one account lives already."""
    with psycopg.connect(url) as db:
        db.execute(TARGET.encode())


def dump(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the new schema."""
    with psycopg.connect(url) as db:
        return {table: sorted(db.execute(f"select * from {table}".encode()).fetchall(), key=repr) for table in TABLES}


def found(url: str) -> list[Fact]:
    """What the target holds, the native left out."""
    with psycopg.connect(url) as db:
        people = db.execute("select id, email, name, phone, topics, subscribed from accounts").fetchall()
        orders = db.execute(
            "select account_id, total::text, to_char(placed_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') from orders"
        ).fetchall()
        tickets = db.execute(
            "select account_id, subject, to_char(opened_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') from tickets"
        ).fetchall()
    facts = [
        Fact(email, name, phone, tuple(topics) if topics is not None else None, subscribed,
             tuple(sorted((t, at) for account, t, at in orders if account == id_)),
             tuple(sorted((s, at) for account, s, at in tickets if account == id_)))
        for id_, email, name, phone, topics, subscribed in people
        if email != "native@new.example"
    ]  # fmt: skip
    return sorted(facts, key=lambda fact: fact.email)
