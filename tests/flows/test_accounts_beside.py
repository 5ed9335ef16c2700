"""The accounts beside those that move rows: for our memory, for replicas, for what triggers keep; with what is printed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
import sqlalchemy as sa

from migrator import accounts, settings
from migrator.edges.databases import connect
from migrator.edges.databases.change_log import change_log
from migrator.edges.databases.freeze_lock import FreezeLock
from migrator.edges.databases.watching import LAG, SESSIONS, watch
from migrator.errors import Refused, Unreachable
from migrator.flows.homes import cutover, legacy_lock
from migrator.flows.parts import Capture
from migrator.flows.syncing import capture, sync, watching_changes
from migrator.runtime import Runtime
from migrator.store.control import Control
from tests.flows.bakery import Bakery
from tests.flows.mariadb_bakery import MariadbBakery
from tests.flows.test_accounts import PostgresqlBakery
from tests.mariadb_server import MariadbServer
from tests.postgresql_server import PostgresqlServer

WHO = "migrator_beside"


def printed(folder: Path, role: str, account: str, **sections: str) -> list[str]:
    """What `store grants --for ROLE` prints for a project with these settings."""
    said = {"legacy": 'url = "sqlite:///legacy.db"', "target": 'url = "sqlite:///target.db"'} | sections
    text = "".join(f"[{name}]\n{lines}\n" for name, lines in said.items())
    (folder / "migrator.toml").write_text(text, encoding="utf-8")
    rt = Runtime(settings.load(folder, {}))
    try:
        return [line for one in accounts.needed(rt, (role,), account) for line in one.statements]
    finally:
        rt.close()


def as_(url: str, account: str) -> str:
    return sa.make_url(url).set(username=account).render_as_string(hide_password=False)


@contextmanager
def postgresql_account(url: str) -> Iterator[psycopg.Connection[Any]]:
    """An account that may do nothing yet, in a database where nobody may; taken out afterwards."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"create role {WHO} login")
        db.execute("revoke all on schema public from public")
        db.execute(f"revoke all on database {sa.make_url(url).database} from public")
        try:
            yield db
        finally:
            db.execute(f"drop owned by {WHO}")
            db.execute(f"drop role {WHO}")


def test_our_memory_lives_in_a_database_of_its_own_with_what_is_printed(
    postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    url = postgresql.url()
    with postgresql_account(url) as db:
        without = Control(as_(url, WHO))
        with pytest.raises(Unreachable):
            without.revision()
        without.close()
        for statement in printed(Bakery(tmp_path / "b", customers=3).folder, "control", WHO, control=f'url = "{url}"'):
            db.execute(statement)

        control = Control(as_(url, WHO))
        control.upgrade()
        bakery = Bakery(tmp_path / "again", customers=9)
        bakery.parts.control.close()
        control.sign = bakery.parts.key.sign
        bakery.parts = replace(bakery.parts, control=control)
        bakery.move()

        assert set(bakery.users().values()) == {"live"}
        with psycopg.connect(url, user=WHO, autocommit=True) as theirs, pytest.raises(psycopg.Error):
            theirs.execute("create schema elsewhere")
        bakery.close()


def test_a_replica_of_postgresql_is_asked_with_what_is_printed(postgresql: PostgresqlServer, tmp_path: Path) -> None:
    url = postgresql.url()
    bakery = Bakery(tmp_path / "b", customers=3)
    with postgresql_account(url) as db:
        for statement in printed(bakery.folder, "replica", WHO, throttle=f'replicas = ["{url}"]'):
            db.execute(statement)
        looked = watch(as_(url, WHO), "replica 1", replica=True)
        with pytest.raises(
            Refused, match="it is no replica"
        ):  # so far it comes; what stands in its way would be a right
            looked.pressure(frozenset({LAG}))
        looked.close()
        seen = watch(as_(url, WHO), "legacy")
        assert seen.pressure(frozenset({SESSIONS})).sessions is not None
        seen.close()
    bakery.close()


@contextmanager
def mariadb_account(url: str) -> Iterator[pymysql.cursors.Cursor]:
    address = sa.make_url(url)
    root = pymysql.connect(
        unix_socket=str(address.query["unix_socket"]), user="root", database=address.database, autocommit=True
    )
    with root, root.cursor() as db:
        db.execute(f"create or replace user '{WHO}'@'localhost'")
        try:
            yield db
        finally:
            db.execute(f"drop user '{WHO}'@'localhost'")


def test_a_replica_of_mariadb_is_asked_with_what_is_printed(mariadb: MariadbServer, tmp_path: Path) -> None:
    url = mariadb.url()
    bakery = Bakery(tmp_path / "b", customers=3)
    with mariadb_account(url) as db:
        for statement in printed(bakery.folder, "replica", f"{WHO}@localhost", throttle=f'replicas = ["{url}"]'):
            db.execute(statement)
        looked = watch(as_(url, WHO), "replica 1", replica=True)
        with pytest.raises(Refused, match="it is no replica"):
            looked.pressure(frozenset({LAG}))
        looked.close()
    bakery.close()


# ---- what triggers keep, and what they go by --------------------------------------------------------------------


def beside(bakery: Bakery, url: str, account: str) -> None:
    """From here on legacy is read by the account; its changes are noted by triggers, and it refuses the frozen."""
    bakery.parts.legacy.close()
    theirs = as_(url, account)
    bakery.parts = replace(
        bakery.parts,
        legacy=connect(theirs, None, "legacy"),
        capture=Capture(how={"legacy": "trigger"}, logs={"legacy": change_log(theirs, None, "legacy")}),
        locks={"legacy": FreezeLock(theirs, None, "legacy")},
        cutting=replace(bakery.parts.cutting, lock=True),
        watches={"legacy": watch(theirs, "legacy")},
    )


def install(bakery: Bakery, url: str) -> None:
    """What somebody does who may."""
    log, lock = change_log(url, None, "legacy"), FreezeLock(url, None, "legacy")
    log.install(capture.watched(bakery.parts, bakery.parts.folder_set)["legacy"])
    lock.install(legacy_lock.trails(bakery.parts, bakery.parts.folder_set)["legacy"])
    log.close(), lock.close()


SECTIONS = {"changes": 'capture = "trigger"', "cutover": "lock = true"}


def cut_over_with_a_change(bakery: Bakery, change: Any) -> None:
    bakery.move(cutover="manual")
    change()
    found = sync.passes(bakery.parts, sync.scope(bakery.parts), scan=False)
    done = cutover.cut_over_wave(bakery.parts, "whole")

    assert (found.brought, done.live, done.left) == (1, 9, {})
    assert watching_changes.status(bakery.parts)["locks"] == {"legacy": {"installed": True}}
    assert bakery.parts.legacy.powers() == [], "it may write to no table but ours"


def test_triggers_of_postgresql_are_read_and_gone_by_with_what_is_printed(
    postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    bakery = PostgresqlBakery(tmp_path / "b", postgresql)
    url = bakery.urls["legacy"]
    install(bakery, url)
    with postgresql_account(url) as db:
        for statement in printed(bakery.folder, "legacy", WHO, legacy=f'url = "{url}"', **SECTIONS):
            db.execute(statement)
        beside(bakery, url, WHO)

        cut_over_with_a_change(bakery, lambda: db.execute("update customer set name = 'Renamed' where id = 7"))

        with psycopg.connect(url, user=WHO, autocommit=True) as theirs:
            for forbidden in ("delete from migrator_changes", "drop table migrator_frozen", "delete from customer"):
                with pytest.raises(psycopg.Error):
                    theirs.execute(forbidden)
        for thing in (
            *bakery.parts.locks.values(),
            *bakery.parts.capture.logs.values(),
            *bakery.parts.watches.values(),
        ):
            thing.close()
        bakery.parts.legacy.close()
    bakery.end()


def test_triggers_of_mariadb_are_read_and_gone_by_with_what_is_printed(mariadb: MariadbServer, tmp_path: Path) -> None:
    bakery = MariadbBakery(tmp_path / "b", mariadb)
    url = bakery.legacy_url
    install(bakery, url)
    with mariadb_account(url) as db:
        for statement in printed(bakery.folder, "legacy", f"{WHO}@localhost", legacy=f'url = "{url}"', **SECTIONS):
            db.execute(statement)
        beside(bakery, url, WHO)

        cut_over_with_a_change(bakery, lambda: db.execute("update customer set name = 'Renamed' where id = 7"))

        for thing in (
            *bakery.parts.locks.values(),
            *bakery.parts.capture.logs.values(),
            *bakery.parts.watches.values(),
        ):
            thing.close()
        bakery.close()
