"""A shop whose users carry what must be found nowhere: each personal value holds a word that exists only there."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
from pathlib import Path
from typing import Self

import psutil
import psycopg
import redis

from migrator.edges import processes
from tests.journeys.project import Project

#: One word per personal column; no word of ours and no path has it in it.
WORDS = ("xqmail", "xqname", "xqphone", "xqstreet", "xqcity", "xqnote", "xqhash", "xqcrash")
FOUND = re.compile("|".join(WORDS).encode(), re.IGNORECASE)

CUSTOMERS = 40
#: Who is in trouble, and by what.
(
    ODD_STREET,
    NO_CITY,
    CALLED_AS_A_NATIVE,
    REFUSED_NOTE,
    NO_ADDRESS,
    CRASHES,
    LONG_PHONE,
    SPOKEN_OF,
    MANGLED,
    NO_NUMBER,
) = range(3, 13)

SETTINGS = """
[legacy]
url = "sqlite:///legacy.sqlite"
[target]
url = "{target}"
[mappings]
path = "mappings"
[plan]
soak = "0s"
strategy = "whole"
cutover = "immediate"
[gates]
max_held = 0.9
max_failed = 0.8
[batches]
users = 20
retry_after = "1s"
attempts = 2
lease = "10s"
grace = "1s"
reap_every = "1s"
[notices]
sender = "file"
path = "sent"
[logs]
level = "info"
format = "{form}"
"""
SET = """
set: canaries
users: {table: customer, key: id, email: email, name: name}
at: [{datetime: {timezone: UTC}}]
activity: [{table: purchase, user: customer_id, at: bought_at}]
paid: [{table: purchase, user: customer_id, at: bought_at, amount: total}]
"""
ACCOUNTS = """
mapping: accounts
source: {table: customer, key: id, user: id}
target: {table: accounts, id: {uuid5: id}}
fields:
  email: {from: email, transform: [trim, lower, email], required: true, sensitive: true}
  name: {from: name, transform: [trim, {call: 'canary_code:name'}], required: true, sensitive: true}
  phone: {from: phone, transform: [trim, {truncate: 20}], sensitive: true}
  street: {from: street, transform: [trim, {matches: '[A-Za-z0-9 ]+'}], sensitive: true}
  city_id: {from: city, transform: [{lookup: {file: cities.csv, match: city, take: id}}], sensitive: true}
  secret: {from: hash, sensitive: true}
"""
ORDERS = """
mapping: orders
source: {table: purchase, key: id, user: customer_id}
target: {table: orders, id: {uuid5: id}}
fields:
  account_id: {lookup: accounts, by: customer_id, required: true}
  total: {from: total, transform: [decimal], required: true, sensitive: true}
  note: {from: note, sensitive: true}
"""
CODE = """
from migrator.mapping.custom import transform


@transform(takes=str, gives=str)
def name(values):
    for value in values:
        if "xqcrash" in value:
            raise ValueError(f"cannot greet {value}")
    return values
"""
LEGACY = """
create table customer (id integer primary key, email text, name text, phone text, street text, city text, hash text);
create table purchase (id integer primary key, customer_id integer not null, total text not null, note text,
                       bought_at timestamp not null);
"""
#: What refuses, what changes and what says a user's values aloud: no mapping can know of it.
TARGET = f"""
create table accounts (id text primary key, email text not null, name text not null, phone text, street text,
                       city_id integer, secret text);
create unique index accounts_called on accounts (upper(name));
create table orders (id text primary key, account_id text not null references accounts (id),
                     total numeric(10, 2) not null, note text);
alter table orders add constraint orders_told check (note not like '%refused%');
create function speak() returns trigger language plpgsql as $$ begin
  if new.email like 'xqmail{SPOKEN_OF}@%' then raise exception 'no % % here', new.email, new.phone; end if;
  if new.email like 'xqmail{MANGLED}@%' then new.street := new.street || ' xqstreet mangled'; end if;
  return new;
end $$;
create trigger speaks before insert on accounts for each row execute function speak();
"""


def a_shop(folder: Path, target_url: str, form: str = "text") -> Project:
    """Forty customers, some of whom every part of the way has something to say about."""
    project = Project.create(folder, SETTINGS.format(target=target_url, form=form))
    mappings = folder / "mappings"
    mappings.mkdir()
    for name, text in (("set", SET), ("accounts", ACCOUNTS), ("orders", ORDERS)):
        (mappings / f"{name}.yaml").write_text(text, encoding="utf-8")
    (mappings / "cities.csv").write_text("city,id\nSpringfield,1\nShelbyville,2\n", encoding="utf-8")
    (mappings / "canary_code.py").write_text(CODE, encoding="utf-8")
    with contextlib.closing(sqlite3.connect(folder / "legacy.sqlite")) as db, db:
        db.executescript(LEGACY)
        db.executemany("insert into customer values (?, ?, ?, ?, ?, ?, ?)", map(_customer, range(1, CUSTOMERS + 1)))
        db.executemany("insert into purchase values (?, ?, ?, ?, ?)", map(_purchase, range(1, CUSTOMERS + 1)))
    with psycopg.connect(target_url, autocommit=True) as target:
        target.execute(TARGET)  # type: ignore[call-overload]
        target.execute(
            f"insert into accounts values ('native', 'a@b.c', 'XQNAME {CALLED_AS_A_NATIVE}', null, null, null, null)"
        )
    return project


def _customer(number: int) -> tuple[object, ...]:
    email = f"Xqmail{number}@xqmail.example" if number != NO_ADDRESS else f"xqmail{number} at xqmail"
    name = f"Xqname {number}" if number != CRASHES else f"Xqname xqcrash {number}"
    phone = f"xqphone {number}" + ("0" * 20 if number == LONG_PHONE else "")
    street = f"Xqstreet {number}" + (" / left" if number == ODD_STREET else "")
    city = f"Xqcity{number}" if number == NO_CITY else ("Springfield", "Shelbyville")[number % 2]
    return (number, email, name, phone, street, city, f"$2y$10$xqhash{number:045d}")


def _purchase(number: int) -> tuple[object, ...]:
    total = "12.50" if number != NO_NUMBER else "xqnote euros"
    note = f"xqnote {number}" if number != REFUSED_NOTE else f"xqnote refused {number}"
    return (number, number, total, note, "2026-01-05 10:00:00")


class Ears:
    """Hears, while a run goes on, what every process was called with, and everything that is said to its Redis."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.heard: dict[str, bytes] = {}
        self._silent = threading.Event()
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._processes, self._redis)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._silent.set()
        for thread in self._threads:
            thread.join(10)

    def _add(self, name: str, said: bytes) -> None:
        self.heard[name] = self.heard.get(name, b"") + said + b"\n"

    def _processes(self) -> None:
        me = psutil.Process()
        while not self._silent.wait(0.2):
            for process in me.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    self._add("process list", " ".join(process.cmdline()).encode())

    def _redis(self) -> None:
        while not self._silent.wait(0.1):
            url = redis_of(self.project)
            if url is None:
                continue
            with contextlib.suppress(redis.RedisError, OSError), redis.Redis.from_url(url).monitor() as monitor:
                while not self._silent.is_set():
                    self._add("redis", repr(monitor.next_command()).encode())


def redis_of(project: Project) -> str | None:
    """Where the Redis of a run is, while there is one."""
    known = processes.load(project.folder / ".migrator" / "run.json")
    return next((f"unix://{one.note}/redis.sock" for one in known if one.name == "redis"), None)


def kept_in_redis(project: Project) -> bytes:
    """Every key of the Redis that runs, with all that is in it."""
    url = redis_of(project)
    assert url is not None
    with redis.Redis.from_url(url) as client:
        return b"\n".join(bytes(key) + b" " + (client.dump(key) or b"") for key in client.scan_iter())


def files(folder: Path, *but: str) -> dict[str, bytes]:
    """Every file below *folder* whose path has none of *but* in it."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    named = {str(path.relative_to(folder)): path for path in paths}
    return {name: path.read_bytes() for name, path in named.items() if not any(word in name for word in but)}


def leaks(places: dict[str, bytes]) -> dict[str, list[str]]:
    """Where canaries sing: per place what is around the first of them."""
    found = {}
    for name, content in places.items():
        hits = [content[max(0, hit.start() - 60) : hit.end() + 40] for hit in FOUND.finditer(content)]
        if hits:
            found[name] = [f"{len(hits)} times", *(hit.decode("utf-8", "replace") for hit in hits[:3])]
    return found
