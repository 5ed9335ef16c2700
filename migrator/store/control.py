"""The control database: connection, transactions, its clock, its revisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from migrator.errors import Refused, Transient, Unreachable
from migrator.keepalive import keepalive
from migrator.store import journal
from migrator.store.chain import Head, Sign

_REVISIONS = Path(__file__).parent / "revisions"
#: As Alembic keeps it. It is read, and the scripts are counted, without Alembic: its import alone takes a quarter of a second.
_VERSION = sa.table("alembic_version", sa.column("version_num", sa.String))
#: What SQLite says of a file that no second attempt makes better, and what is wrong with it.
_BROKEN = {"SQLITE_NOTADB": "no SQLite database", "SQLITE_CORRUPT": "damaged"}
_CACHE = "cache_size=-16384"  # kilobytes: all pages that a batch changes; with 2 MB some are written and read again


class Control:
    """
    Our own memory in SQLite or PostgreSQL. `write()` and `read()` are transactions; nothing in this room commits.

    `sign` chains the journal: without it nothing can be written there. `witness` is told of the journal's head after
    what is worth an anchor, with the reason.
    """

    def __init__(self, url: str) -> None:
        self.sign: Sign | None = None
        self.witness: Callable[[Head, str], None] | None = None
        self.url = sa.make_url(url)
        if self.url.get_backend_name() not in ("sqlite", "postgresql"):
            raise Refused(f"[control] url: our own memory is SQLite or PostgreSQL, not {self.url.get_backend_name()}")
        if self.url.drivername == "postgresql":
            self.url = self.url.set(drivername="postgresql+psycopg")
        patience = {} if self.dialect == "sqlite" else keepalive(self.url.query)
        self.engine = sa.create_engine(
            self.url, hide_parameters=True, pool_pre_ping=self.dialect != "sqlite", connect_args=patience
        )
        if self.dialect == "sqlite":
            event.listen(self.engine, "do_connect", _make_private)
            event.listen(self.engine, "connect", _sqlite_connect)
            event.listen(self.engine, "begin", _sqlite_begin)

    @property
    def dialect(self) -> str:
        """sqlite or postgresql."""
        return self.url.get_backend_name()

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One transaction that may write; Unreachable or Transient where the database is away or busy."""
        added: list[journal.Added] = []
        options = {"writes": True, journal.PENDING: added}
        with _told(self.url), self.engine.connect().execution_options(**options) as db, db.begin():
            yield db
            head = journal.write(db, added, self.sign)
        why = journal.worth_an_anchor(added)
        if head and why and self.witness:
            self.witness(head, why)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One consistent look: all that is read in it is of one moment."""
        with _told(self.url), self.engine.connect() as db:
            if self.dialect != "sqlite":
                db = db.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with db.begin():
                yield db

    def close(self) -> None:
        """Give back all connections."""
        self.engine.dispose()

    def scrub(self) -> bool:
        """Write the tables anew, so that nothing that was deleted is left in them; False where somebody is at work."""
        from migrator.store import scrubbing

        with _told(self.url):
            return scrubbing.scrub(self.engine)

    def revision(self) -> str | None:
        """The Alembic revision the database is at; None where there is none."""
        with self.read() as db:
            if not sa.inspect(db).has_table(_VERSION.name):
                return None
            return db.scalar(sa.select(_VERSION.c.version_num))

    def upgrade(self, sign: Sign | None = None) -> None:
        """Bring the tables to the newest revision. With *sign* a journal that was not chained yet is chained."""
        from alembic import command

        self.refuse_newer()
        with self.revising() as db:
            command.upgrade(_alembic(db, sign), "head")

    @contextmanager
    def revising(self) -> Iterator[sa.Connection]:
        """
        One transaction in which the tables change; what is in them stays.

        SQLite makes a table anew to change it, and what refers to it would be in the way meanwhile: references are
        looked at once, before the transaction ends.
        """
        with _told(self.url), self.engine.connect().execution_options(writes=True) as db:
            if self.dialect != "sqlite":
                with db.begin():
                    yield db
                return
            driver: Any = db.connection.dbapi_connection
            driver.execute("PRAGMA foreign_keys=OFF")  # heeded outside of transactions only
            try:
                with db.begin():
                    yield db
                    if db.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                        raise Refused("the control database would lose what its rows refer to; nothing was changed")
            finally:
                driver.execute("PRAGMA foreign_keys=ON")

    def head(self) -> str:
        """The newest revision this code knows."""
        return max(_known())

    def refuse_newer(self) -> str | None:
        """Refuse a database at a revision that this code has never heard of; another revision is handed back."""
        found = self.revision()
        if found is None or found in _known():
            return found
        raise Refused(
            f"the control database was made by a newer migrator (revision {found}, this one knows up to {self.head()}); "
            "install that one"
        )

    def require(self) -> None:
        """Refuse to work on a database that is not at the newest revision."""
        found, head = self.refuse_newer(), self.head()
        if found != head:
            what = "has no tables yet" if found is None else f"is at revision {found}, this version needs {head}"
            raise Refused(f"the control database {what}; run `migrator store upgrade`")


def clock(db: sa.Connection) -> datetime:
    """The database's own time: the only clock that leases know."""
    if db.dialect.name == "sqlite":
        text = db.scalar(sa.select(sa.func.strftime("%Y-%m-%d %H:%M:%f", "now")))
        return datetime.fromisoformat(str(text)).replace(tzinfo=UTC)
    now = db.scalar(sa.select(sa.func.clock_timestamp()))
    assert isinstance(now, datetime)
    return now.astimezone(UTC)


def _known() -> set[str]:
    return {script.name.partition("_")[0] for script in _REVISIONS.glob("versions/[0-9]*_*.py")}


@contextmanager
def _told(url: sa.URL) -> Iterator[None]:
    """Say which database is away, without its password."""
    from sqlalchemy import exc

    try:
        yield
    except exc.OperationalError as found:
        words = str(found.orig).strip().splitlines()[0] if found.orig else "no answer"
        if any(word in words for word in ("locked", "full", "deadlock")):
            raise Transient(f"the control database is busy or full: {words}") from found
        raise Unreachable(
            f"cannot reach the control database {url.render_as_string(hide_password=True)}: {words}"
        ) from found
    except exc.DatabaseError as found:
        broken = _BROKEN.get(getattr(found.orig, "sqlite_errorname", ""))
        if broken is None:
            raise
        raise Refused(f"the control database {url.database} is {broken}; restore it from a backup") from found


def _alembic(db: sa.Connection, sign: Sign | None) -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_REVISIONS).replace("%", "%%"))
    config.attributes.update(connection=db, sign=sign)
    return config


def _make_private(_dialect: Any, _record: Any, arguments: list[Any], _options: dict[str, Any]) -> None:
    """Who may not read our memory cannot; what SQLite puts beside the file has its mode."""
    file = Path(arguments[0])
    with suppress(OSError):  # SQLite says better what is wrong with the place
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not file.exists():
            file.touch(mode=0o600)


def _sqlite_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=40000", "foreign_keys=ON", _CACHE):
        connection.execute(f"PRAGMA {pragma}")


def _sqlite_begin(db: sa.Connection) -> None:
    writes = db.get_execution_options().get("writes")
    db.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
