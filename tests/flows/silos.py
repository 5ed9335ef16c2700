"""A product whose people are spread over three databases: a shop, a CRM and a newsletter list."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from migrator.edges.databases import connect
from migrator.edges.databases.several import SeveralDatabases
from tests.flows.bakery import Bakery, parts_of

SET = """
set: spread
users: {table: shop.customer, key: id, email: email, name: name, where: {closed: 0}, verified: {email_ok: 1}}
also:
  crm:
    table: crm.contact
    key: code
    email: mail
    name: full_name
    verified: {mail_ok: 1}
    same: [{id: customer_id}, email]
  news:
    table: news.subscriber
    key: sid
    email: address
    verified: {confirmed: 1}
    same: [{link: {table: news.link, record: sid, user: code, of: crm}}, email]
at: [{datetime: {timezone: UTC}}]
activity:
  - {table: shop.purchase, user: customer_id, at: bought_at}
  - {table: crm.call, user: code, at: called_at}
  - {table: news.subscriber, user: sid, at: joined_at}
"""
ACCOUNTS = """
mapping: accounts
about: One account per person, whoever knows him.
source:
  table: $users
  key: user
  user: user
  join:
    shop: {table: shop.customer, user: id}
    crm: {table: crm.contact, user: code}
    news: {table: news.subscriber, user: sid}
target: {table: accounts, id: {uuid5: user}}
fields:
  email: {from: [shop.email, crm.mail, news.address], transform: [coalesce, trim, lower, email], required: true, sensitive: true}
  name: {from: [shop.name, crm.full_name], transform: [coalesce, trim]}
  phone: {from: crm.phone, transform: [trim], sensitive: true}
  newsletter: {from: news.confirmed, default: 0}
ignore:
  shop.closed: closed customers stay
  shop.email_ok: only says who is who
  crm.mail_ok: only says who is who
  crm.customer_id: only says who is who
  news.joined_at: a sign of life
"""
ORDERS = """
mapping: orders
source: {table: shop.purchase, key: id, user: customer_id, without_user: {leave: sold over the counter}}
target: {table: orders, id: {uuid5: id}}
fields:
  account_id: {lookup: accounts, by: customer_id, required: true}
  total: {from: total, transform: [decimal], required: true}
  placed_at: {from: bought_at, transform: [{datetime: {timezone: UTC}}], required: true}
checks: {sums: {total: total}}
"""
CALLS = """
mapping: calls
source: {table: crm.call, key: id, user: code, without_user: {leave: calls of strangers}}
target: {table: calls, id: {uuid5: id}}
fields:
  account_id: {lookup: accounts, by: code, required: true}
  subject: {from: subject, transform: [trim], required: true}
ignore: {called_at: a sign of life}
"""
SHOP = """
create table customer (id integer primary key, email text, name text, email_ok integer not null, closed integer not null);
create table purchase (id integer primary key, customer_id integer, total numeric(10, 2) not null, bought_at timestamp not null);
"""
CRM = """
create table contact (code text primary key, customer_id integer, mail text, full_name text, phone text, mail_ok integer not null);
create table call (id integer primary key, code text, subject text not null, called_at timestamp not null);
"""
NEWS = """
create table subscriber (sid integer primary key, address text not null, confirmed integer not null, joined_at timestamp not null);
create table link (sid integer not null, code text not null);
"""
TARGET = """
create table accounts (id text primary key, email text not null unique, name text, phone text, newsletter integer not null);
create table orders (id text primary key, account_id text not null references accounts (id), total numeric(10, 2) not null, placed_at text not null);
create table calls (id text primary key, account_id text not null references accounts (id), subject text not null);
"""
DAY = "2026-01-05 10:00:00"
#: Customers 1-6 of the shop; 6 is closed. 1 is known to all three, 2 to the CRM by e-mail, 3 to the list by e-mail, 4 to
#: nobody else; 5 has an address that the CRM has not verified. The CRM alone knows C7, the list alone 70.
ROWS = {
    "shop": {
        "customer": [
            (1, "ann@x.example", "Ann", 1, 0),
            (2, " Bob@x.example ", "Bob", 1, 0),
            (3, "cid@x.example", "Cid", 1, 0),
            (4, "dot@x.example", "Dot", 0, 0),
            (5, "eve@x.example", "Eve", 1, 0),
            (6, "fay@x.example", "Fay", 1, 1),
        ],
        "purchase": [(n, n, f"{n}.50", DAY) for n in range(1, 7)] + [(99, None, "3.00", DAY)],
    },
    "crm": {
        "contact": [
            ("C1", 1, "ann@work.example", "Ann A.", "111", 0),
            ("C2", None, "bob@X.example", "Bob B.", "222", 1),
            ("C5", None, "eve@x.example", "Eve E.", "555", 0),
            ("C7", None, "gus@x.example", "Gus", "777", 1),
        ],
        "call": [(n, f"C{n}", f"call {n}", DAY) for n in (1, 2, 5, 7)] + [(98, "C404", "who?", DAY)],
    },
    "news": {
        "subscriber": [
            (10, "ann@home.example", 1, DAY),
            (30, "cid@x.example", 1, DAY),
            (70, "hal@x.example", 1, DAY),
        ],
        "link": [(10, "C1")],
    },
}


class Silos(Bakery):
    """The three databases in a folder, and everything a bakery can do. An existing folder is opened as it is."""

    def __init__(self, folder: Path, **mappings: str) -> None:
        self.folder = folder
        new = not (folder / "mappings").exists()
        if new:
            (folder / "mappings").mkdir(parents=True)
            texts = {"set": SET, "accounts": ACCOUNTS, "orders": ORDERS, "calls": CALLS} | mappings
            for name, text in texts.items():
                (folder / "mappings" / f"{name}.yaml").write_text(text, encoding="utf-8")
            for name, schema in (("shop", SHOP), ("crm", CRM), ("news", NEWS)):
                self._make(name, schema)
            with self.target() as db:
                db.executescript(TARGET)
        named = {name: connect(f"sqlite:///{folder / f'{name}.db'}", None, "legacy") for name in ROWS}
        self.parts = parts_of(folder, legacy=SeveralDatabases(named))

    def _make(self, name: str, schema: str) -> None:
        with self.source(name) as db:
            db.executescript(schema)
            for table, rows in ROWS[name].items():
                marks = ", ".join("?" * len(rows[0]))
                db.executemany(f"insert into {table} values ({marks})", rows)

    @contextmanager
    def source(self, name: str) -> Iterator[sqlite3.Connection]:
        """One of the three behind our back."""
        db = sqlite3.connect(self.folder / f"{name}.db")
        try:
            with db:
                yield db
        finally:
            db.close()

    def rows(self) -> dict[str, list[tuple[object, ...]]]:
        """All rows of the target but for our own tables."""
        with self.target() as db:
            return {
                table: sorted(db.execute(f"select * from {table}").fetchall(), key=repr)
                for table in ("accounts", "orders", "calls")
            }
