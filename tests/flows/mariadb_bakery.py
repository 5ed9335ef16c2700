"""The bakery with both of its databases in MariaDB, in the words and with the oddities that such shops have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
import sqlalchemy as sa

from migrator.edges.databases import connect
from tests.flows.bakery import Bakery
from tests.mariadb_server import MariadbServer

LEGACY = (
    (
        "create table customer (id int unsigned auto_increment primary key, email varchar(100) character set latin1 not null,"
        " name varchar(60), status tinyint(1) not null, closed tinyint(1) unsigned not null)"
    ),
    (
        "create table purchase (id bigint unsigned primary key, customer_id int unsigned, total decimal(10, 2) not null,"
        " bought_at datetime not null, key (customer_id))"
    ),
)
TARGET = (
    (
        "create table accounts (id char(36) primary key, email varchar(190) not null unique, name varchar(60),"
        " status enum('active', 'closed') not null, loud varchar(60) as (upper(name)) stored)"
    ),
    (
        "create table orders (id char(36) primary key, account_id char(36) not null references accounts (id),"
        " total decimal(10, 2) not null, placed_at timestamp not null, key (account_id))"
    ),
    "create table notes (id int auto_increment primary key, account_id char(36) references accounts (id), text text)",
)


class MariadbBakery(Bakery):
    """Nine customers with three purchases each, in two databases of one server."""

    def __init__(self, folder: Path, server: MariadbServer) -> None:
        self.legacy_url, self.target_url = server.url(), server.url()
        super().__init__(folder, customers=9, target=connect(self.target_url, None, "target"))
        self.parts.legacy.close()
        self.parts = replace(self.parts, legacy=connect(self.legacy_url, None, "legacy"))

    def ask(self, url: str, *statements: str, rows: Sequence[tuple[object, ...]] = ()) -> list[tuple[Any, ...]]:
        """Behind our back; what the last statement says."""
        address = sa.make_url(url)
        socket = str(address.query["unix_socket"])
        with pymysql.connect(unix_socket=socket, user="root", database=address.database) as db, db.cursor() as cursor:
            for statement in statements:
                if rows:
                    cursor.executemany(statement, rows)
                else:
                    cursor.execute(statement)
            db.commit()
            return list(cursor.fetchall())

    def rows(self) -> dict[str, list[tuple[object, ...]]]:
        """All rows of the target but for our own tables."""
        return {
            table: sorted(self.ask(self.target_url, f"select * from {table}"), key=repr)
            for table in ("accounts", "orders", "notes")
        }

    def ledger(self) -> list[tuple[object, ...]]:
        """user, generation, op of the ledger."""
        asked = "select cast(user_key as char), generation, op from migrator_ledger"
        return sorted(self.ask(self.target_url, asked))

    def _fill(self, customers: int) -> None:
        people = [(n, f" C{n}@Bäckerei.example", f"Customer {n} ", 1, 0) for n in range(1, customers + 1)]
        sales = [
            (n * 10 + k, n, f"{n}.{k}5", f"2026-01-{1 + n % 28:02d} 10:00:00")
            for n in range(1, customers + 1)
            for k in range(3)
        ]
        self.ask(self.legacy_url, *LEGACY)
        self.ask(self.legacy_url, "insert into customer values (%s, %s, %s, %s, %s)", rows=people)
        self.ask(self.legacy_url, "insert into purchase values (%s, %s, %s, %s)", rows=sales)
        self.ask(self.legacy_url, "insert into purchase values (99999, null, 3.5, '2026-01-01 09:00:00')")
        self.ask(self.target_url, *TARGET)
