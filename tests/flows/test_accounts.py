"""Accounts with what `store grants` prints and nothing else: users move with them, and a right that is missing is named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from migrator import accounts, settings
from migrator.edges.databases import connect
from migrator.errors import Refused
from migrator.flows.checking import verify
from migrator.flows.steering import waves
from migrator.flows.undoing import rollbacks
from migrator.runtime import Runtime
from migrator.store import tables
from tests.flows.bakery import LEGACY, TARGET, Bakery
from tests.flows.mariadb_bakery import MariadbBakery
from tests.mariadb_server import MariadbServer
from tests.postgresql_server import PostgresqlServer

WHO = {"legacy": 'the "reader"', "target": "writer"}


class PostgresqlBakery(Bakery):
    """The bakery in two databases of one PostgreSQL server that lets nobody do anything unasked."""

    def __init__(self, folder: Path, server: PostgresqlServer) -> None:
        self.urls = {"legacy": server.url(), "target": server.url()}
        super().__init__(folder, customers=9, target=connect(self.urls["target"], None, "target"))
        self.parts.legacy.close()
        self.parts = replace(self.parts, legacy=connect(self.urls["legacy"], None, "legacy"))

    def ask(self, role: str, *statements: str) -> None:
        with psycopg.connect(self.urls[role], autocommit=True) as db:
            for statement in statements:
                db.execute(statement)

    def _fill(self, customers: int) -> None:
        super()._fill(customers)
        with self.legacy() as db:
            rows = {table: db.execute(f"select * from {table}").fetchall() for table in ("customer", "purchase")}
        self.ask("legacy", LEGACY, "create table secret (words text)")
        set_ = self.folder / "mappings" / "set.yaml"
        set_.write_text(f"{set_.read_text(encoding='utf-8')}\ntables: {{secret: not the bakery's}}\n", encoding="utf-8")
        self.ask("target", TARGET.replace("notes (id integer", "notes (id serial"))
        with psycopg.connect(self.urls["legacy"]) as db:
            for table, found in rows.items():
                places = ", ".join(["%s"] * len(found[0]))
                db.cursor().executemany(f"insert into {table} values ({places})", found)
        for role, who in WHO.items():
            name = '"' + who.replace('"', '""') + '"'
            self.ask(role, f"drop role if exists {name}", f"create role {name} login")
            self.ask(role, "revoke all on schema public from public")
            database = sa.make_url(self.urls[role]).database
            self.ask(role, f"revoke all on database {database} from public")

    def told(self) -> None:
        """Raise what a batch was refused with, as its worker recorded it."""
        with self.parts.control.read() as db:
            for error in db.execute(
                sa.select(tables.batches.c.error).where(tables.batches.c.error.is_not(None))
            ).scalars():
                raise Refused(error)

    def end(self) -> None:
        """Take the accounts out of the server, which other tests use."""
        self.close()
        for role, who in WHO.items():
            name = '"' + who.replace('"', '""') + '"'
            self.ask(role, f"drop owned by {name}", f"drop role {name}")


def printed(bakery: Bakery, urls: dict[str, str], role: str, account: str) -> list[str]:
    """What the command prints for one account."""
    said = "".join(f'[{name}]\nurl = "{url}"\n' for name, url in urls.items())
    (bakery.folder / "migrator.toml").write_text(said, encoding="utf-8")
    rt = Runtime(settings.load(bakery.folder, {}))
    try:
        (one,) = accounts.needed(rt, (role,), account)
    finally:
        rt.close()
    return one.statements


@pytest.fixture
def bakery(postgresql: PostgresqlServer, tmp_path: Path) -> Iterator[PostgresqlBakery]:
    bakery = PostgresqlBakery(tmp_path / "bakery", postgresql)
    yield bakery
    bakery.end()


def log_in(bakery: PostgresqlBakery) -> None:
    """From here on the bakery works with the accounts."""
    bakery.parts.legacy.close(), bakery.parts.target.close()
    legacy, target = (
        sa.make_url(bakery.urls[role]).set(username=WHO[role]).render_as_string(hide_password=False)
        for role in ("legacy", "target")
    )
    bakery.parts = replace(bakery.parts, legacy=connect(legacy, None, "legacy"), target=connect(target, None, "target"))


def grant(bakery: PostgresqlBakery, without: str = "nothing") -> None:
    for role, who in WHO.items():
        bakery.ask(role, *(one for one in printed(bakery, bakery.urls, role, who) if without not in one))


def test_users_move_and_go_back_with_what_is_printed_on_postgresql(bakery: PostgresqlBakery) -> None:
    grant(bakery)
    log_in(bakery)

    bakery.move()
    moved, found = bakery.users(), verify.verify(bakery.parts, verify.scope(bakery.parts))
    done = rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts))

    assert set(moved.values()) == {"live"}
    assert (found.checked_rows, found.differences) == (36, [])
    assert (done.restored, done.refused) == (9, {})


def test_the_accounts_can_do_nothing_else(bakery: PostgresqlBakery) -> None:
    grant(bakery)
    forbidden = {
        "legacy": ("select * from secret", "update customer set name = 'x'", "delete from purchase", "create table x (y int)"),
        "target": ("create table x (y int)", "drop table accounts", "truncate accounts", "delete from notes"),
    }  # fmt: skip
    for role, statements in forbidden.items():
        with psycopg.connect(bakery.urls[role], user=WHO[role], autocommit=True) as db:
            for statement in statements:
                with pytest.raises(psycopg.Error) as refused:
                    db.execute(statement)
                assert refused.value.sqlstate in ("42501", "25006"), statement


@pytest.mark.parametrize(
    ("without", "named"),
    [('SELECT ON TABLE "public"."purchase"', "purchase"), ('"migrator_fence"', "migrator_fence"), ('"orders"', "orders"),
     ('ON TABLE "public"."notes"', "notes")],
)  # fmt: skip
def test_a_right_that_is_missing_is_named_with_its_table(bakery: PostgresqlBakery, without: str, named: str) -> None:
    grant(bakery, without)
    log_in(bakery)

    with pytest.raises(Refused, match=rf"permission denied for table {named}.*store grants"):
        bakery.plan()
        waves.start(bakery.parts, "whole")
        for _ in range(4):
            bakery.work_once()
        bakery.told()
        rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts))


def test_an_account_that_may_more_than_it_needs_is_told_until_it_may_not(bakery: PostgresqlBakery) -> None:
    (reads,), (writes,) = bakery.parts.legacy.powers(), bakery.parts.target.powers()
    assert (reads.result, writes.result) == ("warn", "pass")
    assert reads.said.startswith("the account postgres is a superuser, may write to customer, purchase, secret")
    assert "store grants --for legacy" in reads.remedy

    grant(bakery)
    log_in(bakery)
    assert (bakery.parts.legacy.powers(), bakery.parts.target.powers()) == ([], [])


def test_users_move_and_go_back_with_what_is_printed_on_mariadb(mariadb: MariadbServer, tmp_path: Path) -> None:
    bakery = MariadbBakery(tmp_path / "bakery", mariadb)
    urls = {"legacy": bakery.legacy_url, "target": bakery.target_url}
    for role, url in urls.items():
        account = f"it's_{role}@localhost"
        bakery.ask(url, f"create or replace user 'it''s_{role}'@'localhost'")
        bakery.ask(url, *printed(bakery, urls, role, account))
    (before,) = bakery.parts.legacy.powers()
    bakery.parts.legacy.close(), bakery.parts.target.close()
    used = {
        role: sa.make_url(url).set(username=f"it's_{role}").render_as_string(hide_password=False)
        for role, url in urls.items()
    }
    bakery.parts = replace(
        bakery.parts,
        legacy=connect(used["legacy"], None, "legacy"),
        target=connect(used["target"], None, "target"),
    )

    after = bakery.parts.legacy.powers()
    bakery.move()
    moved = bakery.users()
    done = rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts))
    bakery.ask(bakery.target_url, "revoke select on orders from 'it''s_target'@'localhost'", "flush privileges")
    with pytest.raises(Refused, match=r"orders.*store grants"), bakery.parts.target.reading() as reader:
        reader.look("orders")
    bakery.close()

    assert set(moved.values()) == {"live"}
    assert (done.restored, done.refused) == (9, {})
    assert before.result == "warn" and "INSERT" in before.said
    assert after == []
