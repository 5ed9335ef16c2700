"""How busy a server is, asked of real ones while something is at work in them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import pymysql
import pytest
import sqlalchemy as sa

from migrator.edges.databases.watching import LAG, SESSIONS, STATEMENT, Watch, watch
from migrator.errors import MigratorError, Refused, SettingWrong, Unreachable
from tests.edges.databases.places import at_work
from tests.mariadb_server import MariadbServer
from tests.postgresql_server import PostgresqlServer

ALL = (LAG, SESSIONS, STATEMENT)


@contextmanager
def watching(url: str, *, replica: bool = False) -> Iterator[Watch]:
    found = watch(url, "target", replica=replica)
    try:
        yield found
    finally:
        found.close()


def seen(found: Watch, enough: Callable[[Watch], bool]) -> bool:
    """A statement needs a moment to begin, and to be a second old."""
    pause = threading.Event()
    return any(_asked(found, enough) or pause.wait(0.05) for _ in range(400))


def _asked(found: Watch, enough: Callable[[Watch], bool]) -> bool:
    try:
        return enough(found)
    except (Unreachable, Refused):  # it is only just starting, or has nothing yet
        return False


def test_sessions_at_work_in_postgresql_are_counted(postgresql: PostgresqlServer) -> None:
    url = postgresql.url()
    with psycopg.connect(url, application_name="shop") as other, watching(url) as found:
        before = found.pressure(ALL)
        with at_work(lambda: _quietly(lambda: other.execute("select pg_sleep(60)")), other.cancel):
            assert seen(found, lambda one: (one.pressure(ALL).sessions or 0) > (before.sessions or 0))
            assert (found.pressure(ALL).statement or 0) > 0
        assert found.pressure(ALL).lag == 0.0, "nobody follows it"


def test_transactions_of_ours_are_not_somebody_elses(postgresql: PostgresqlServer) -> None:
    url = postgresql.url()
    with watching(url) as found, psycopg.connect(url, application_name="migrator") as ours:
        ours.execute("select 1")
        assert found.pressure([STATEMENT]).statement == 0
        with psycopg.connect(url, application_name="shop") as other:
            other.execute("select 1")
            assert (found.pressure([STATEMENT]).statement or 0) > 0


def test_a_user_of_postgresql_who_may_not_look_is_told_what_to_grant(postgresql: PostgresqlServer) -> None:
    url = postgresql.url()
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("create role clerk login")
    try:
        with watching(url.replace("postgres@", "clerk@")) as found, pytest.raises(Refused, match="grant pg_read_all"):
            found.pressure([SESSIONS])
    finally:
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute("drop role clerk")


def test_what_is_no_replica_is_none(postgresql: PostgresqlServer, mariadb: MariadbServer) -> None:
    for url in (postgresql.url(), mariadb.url()):
        with watching(url, replica=True) as found, pytest.raises(Refused, match="it is no replica"):
            found.pressure([LAG])


def test_sessions_at_work_in_mariadb_are_counted(mariadb: MariadbServer) -> None:
    url = mariadb.url()
    with _connected(url, "root") as admin, watching(url) as found:
        with admin.cursor() as cursor:
            cursor.execute("create user if not exists shop")
        before = found.pressure(ALL)
        with _connected(url, "shop") as other:

            def run() -> None:
                with other.cursor() as cursor:
                    _quietly(lambda: cursor.execute("select sleep(60)"))

            def stop() -> None:
                with admin.cursor() as cursor:
                    cursor.execute(f"kill query {other.thread_id()}")

            with at_work(run, stop):
                assert seen(found, lambda one: (one.pressure(ALL).sessions or 0) > (before.sessions or 0))
                assert seen(found, lambda one: (one.pressure(ALL).statement or 0) >= 1)
        assert before.lag is None, "a primary does not know"


def test_a_user_of_mariadb_who_may_not_look_is_told_so(mariadb: MariadbServer) -> None:
    url = mariadb.url()
    with _connected(url, "root") as admin, admin.cursor() as cursor:
        cursor.execute("create user if not exists clerk")
        cursor.execute(f"grant select on {sa.make_url(url).database}.* to clerk")
    with watching(url.replace("root@", "clerk@")) as found, pytest.raises(Refused, match="PROCESS"):
        found.pressure([STATEMENT])


def every_kind(request: pytest.FixtureRequest, kind: str, folder: Path) -> str:
    if kind == "sqlite":
        with sa.create_engine(f"sqlite:///{folder / 'a.db'}").begin() as db:
            db.exec_driver_sql("create table jobs (id integer)")
        return f"sqlite:///{folder / 'a.db'}"
    return str(request.getfixturevalue(kind).url())


@pytest.mark.parametrize("kind", ["postgresql", "mariadb", "sqlite"])
def test_a_query_of_ones_own_gives_one_number_or_says_why_not(
    request: pytest.FixtureRequest, kind: str, tmp_path: Path
) -> None:
    with watching(every_kind(request, kind, tmp_path)) as found:
        assert found.number("select 12.5;") == 12.5
        assert found.number("select length('a:b :c') -- what is :this?") == 6
        assert found.number("select count(*) from (select 'a%' as name) x where name like '%a%'") == 1
        for wrong, said in (
            ("select 1, 2", "one number"),
            ("select null", "one number"),
            ("select 1 union all select 2", "one number"),
            ("select 1; select 2", "more than one statement"),
            ("select broken from nowhere", "nowhere"),
        ):
            with pytest.raises(MigratorError, match=said):
                found.number(wrong)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb", "sqlite"])
def test_a_query_of_ones_own_cannot_write(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> None:
    with watching(every_kind(request, kind, tmp_path)) as found, pytest.raises(MigratorError):
        found.number("create table stolen (id integer)" if kind != "sqlite" else "insert into jobs values (1)")


def test_a_server_that_is_away_is_named_without_its_password(tmp_path: Path) -> None:
    for kind in ("postgresql", "mysql"):
        with watching(f"{kind}://ada:secret@127.0.0.1:1/shop") as found, pytest.raises(Unreachable) as told:
            found.pressure(ALL)
        assert "secret" not in str(told.value)
        assert "127.0.0.1:1" in str(told.value)
    with watching(f"sqlite:///{tmp_path / 'none.db'}") as found:
        assert found.pressure(ALL).sessions is None
        with pytest.raises(Unreachable):
            found.number("select 1")


def test_sqlite_has_no_replicas() -> None:
    with pytest.raises(SettingWrong, match="sqlite has no replicas"):
        watch("sqlite:///a.db", "replica 1", replica=True)


def _quietly(run: Callable[[], object]) -> None:
    try:
        run()
    except (psycopg.errors.QueryCanceled, pymysql.MySQLError):
        return


@contextmanager
def _connected(url: str, user: str) -> Iterator[pymysql.Connection]:  # type: ignore[type-arg]
    socket = str(sa.make_url(url).query["unix_socket"])
    with pymysql.connect(unix_socket=socket, user=user) as connection:
        yield connection


def test_a_replica_of_postgresql_tells_how_far_it_is_behind(postgresql: PostgresqlServer, tmp_path: Path) -> None:
    url = postgresql.url()
    with _following(url) as follower, watching(url) as primary, watching(follower, replica=True) as replica:
        assert seen(replica, lambda one: one.pressure([LAG]).lag == 0.0)

        with psycopg.connect(follower, autocommit=True) as there, psycopg.connect(url, autocommit=True) as here:
            here.execute("create table bread (id integer)")
            assert seen(replica, lambda _: there.execute("select to_regclass('bread')").fetchone() != (None,))
            assert seen(replica, lambda one: one.pressure([LAG]).lag == 0.0)
            there.execute("select pg_wal_replay_pause()")

            def late(one: Watch) -> bool:
                here.execute("insert into bread values (1)")
                return (one.pressure([LAG]).lag or 0) > 0.5

            assert seen(replica, late)
            assert seen(primary, late), "it knows who follows it"
            there.execute("select pg_wal_replay_resume()")
            assert seen(replica, lambda one: one.pressure([LAG]).lag == 0.0)


@contextmanager
def _following(url: str) -> Iterator[str]:
    """A server that follows the one under *url*; its URL for the same database."""
    address = sa.make_url(url)
    host, name = str(address.query["host"]), str(address.database)
    folder = Path(tempfile.mkdtemp(prefix="pgr"))
    with psycopg.connect(url) as db:
        found = db.execute("select setting from pg_config where name = 'BINDIR'").fetchone()
    binaries = Path(found[0]) if found else Path()
    account = Path(host).owner()
    shutil.chown(folder, account)
    if not (binaries / "pg_basebackup").is_file():
        pytest.skip("there is no pg_basebackup here")
    copy = [str(binaries / "pg_basebackup"), "-h", host, "-U", "postgres", "-D", str(folder / "data"), "-R"]
    subprocess.run([*copy, "-c", "fast", "--no-sync"], check=True, user=account, cwd=folder)
    settings = ("listen_addresses=", f"unix_socket_directories={folder}", "fsync=off", "wal_receiver_status_interval=1")
    words = [str(binaries / "postgres"), "-D", str(folder / "data"), *(w for one in settings for w in ("-c", one))]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, user=account, cwd=folder, stdout=log, stderr=log)
    try:
        yield f"postgresql://postgres@/{name}?host={quote(str(folder))}"
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def test_who_writes_in_postgresql_is_named_until_he_ends(postgresql: PostgresqlServer) -> None:
    url = postgresql.url()
    with psycopg.connect(url, autocommit=True) as admin, watching(url) as found:
        admin.execute("create table shelf (id integer primary key, n integer)")
        admin.execute("insert into shelf values (1, 1)")
        assert found.writers() == frozenset()
        with psycopg.connect(url) as reads, psycopg.connect(url) as writes, psycopg.connect(url) as locks:
            reads.execute("select * from shelf")
            writes.execute("insert into shelf values (2, 2)")
            locks.execute("select * from shelf where id = 1 for update")
            both = found.writers()
            assert len(both) == 2, "who only reads keeps nobody waiting"
            writes.commit()
            left = found.writers()
            assert len(left) == 1 and left < both
            writes.execute("insert into shelf values (3, 3)")
            assert found.writers() & both == left, "what begins later has another name"


def test_who_may_see_nothing_else_sees_who_writes_in_postgresql(postgresql: PostgresqlServer) -> None:
    url = postgresql.url()
    parsed = sa.make_url(url)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("create table shelf (id integer primary key)")
        admin.execute(f'create role "only {parsed.database}" login')
    humble = parsed.set(username=f"only {parsed.database}").render_as_string(hide_password=False)
    with psycopg.connect(url) as other, watching(humble) as found:
        other.execute("insert into shelf values (1)")
        assert len(found.writers()) == 1


def test_who_writes_elsewhere_on_the_server_keeps_nobody_waiting(postgresql: PostgresqlServer) -> None:
    with psycopg.connect(postgresql.url()) as other, watching(postgresql.url()) as found:
        other.execute("create table shelf (id integer)")
        assert found.writers() == frozenset()


def test_who_writes_in_mariadb_is_named_until_he_ends(mariadb: MariadbServer) -> None:
    url = mariadb.url()
    parsed = sa.make_url(url)
    user = str(parsed.username or "root")
    with _connected(url, user) as writes, _connected(url, user) as reads, watching(url) as found:
        for one in (writes, reads):
            one.select_db(str(parsed.database))
        writes.cursor().execute("create table shelf (id integer primary key) engine=innodb")
        assert found.writers() == frozenset()
        reads.cursor().execute("start transaction read only")
        reads.cursor().execute("select * from shelf")
        writes.cursor().execute("insert into shelf values (1)")
        _innodb_looks_anew()
        assert len(found.writers()) == 1, "who only reads keeps nobody waiting"
        writes.commit()
        _innodb_looks_anew()
        assert found.writers() == frozenset()


def _innodb_looks_anew() -> None:
    """It shows the list that it showed a tenth of a second ago."""
    threading.Event().wait(0.15)


def test_nobody_can_tell_who_writes_in_sqlite(tmp_path: Path) -> None:
    with watching(f"sqlite:///{tmp_path}/shelf.db") as found:
        assert found.writers() == frozenset()
