"""The Magento shop: with 300 customers step by step, and the whole of it against COPY of the same rows from files."""

from __future__ import annotations

import gzip
import lzma
import os
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg

from tests.benchmarks.databases import Database, Servers
from tests.benchmarks.figures import Figure, Line, Missing
from tests.benchmarks.projects import PLANNING, Project

REPOSITORY = Path(__file__).resolve().parents[2]
SETTINGS = """
[legacy]
url = "sqlite:///legacy.sqlite"
[target]
url = "sqlite:///target.sqlite"
[mappings]
path = "{repository}/mappings/magento1"
[plan]
soak = "0s"
cutover = "immediate"
[batches]
users = 100
"""
WITHOUT = "MIGRATOR_REAL_DATA names no folder with real data"
CUSTOMERS = 4_372  # of the whole shop


def small() -> Iterator[Line]:
    """300 customers, SQLite to SQLite."""
    data = _data()
    if data is None:
        yield Missing("magento 300", WITHOUT)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _prepare(folder, data)
        project = Project(folder)
        for command in PLANNING:
            project.do(command)
        project.run(2)
        about = _rows(folder)
        project.do("verify")
        project.do("rollback all --yes")
        for step, took in project.took.items():
            yield Figure(f"magento 300: {step}", took.wall, None, about if step == "run" else "")


def whole(servers: Servers) -> Iterator[Line]:
    """All customers from SQLite to PostgreSQL with two workers, and `COPY` of the same rows into the same empty tables."""
    data = _data()
    if data is None:
        yield Missing("magento, SQLite to PostgreSQL", WITHOUT)
        return
    folder = servers.folder("magento")
    legacy = folder / "legacy.sqlite"
    with lzma.open(data / "legacy.sqlite.xz") as packed, legacy.open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    schema = (data / "new_schema.postgresql.sql").read_text(encoding="utf-8")
    moved, copied = (_shop(servers, schema) for _ in range(2))
    project = Project.create(
        folder / "project", Database("sqlite", f"sqlite:///{legacy}"), moved, servers.server_processes(),
        batch=500, mappings=REPOSITORY / "mappings" / "magento1",
    )  # fmt: skip
    project.plan()
    run = project.run(2)
    rows, took = _copy(moved, copied, _tables(schema), folder)
    yield Figure("magento: COPY of the same rows from files", took, None, f"{sum(rows.values()):,} rows")
    if rows["accounts"] != CUSTOMERS:
        raise SystemExit(f"{rows['accounts']} of {CUSTOMERS} customers arrived")
    about = f"{run.wall:.1f} s / {took:.1f} s; SQLite to PostgreSQL, two workers; planning {project.planned.wall:.1f} s"
    yield Figure("magento, all of it, against COPY from files", run.wall / took, 2.0, about, "x")


def _data() -> Path | None:
    folder = Path(os.environ.get("MIGRATOR_REAL_DATA", REPOSITORY.parent / "shared" / "data")) / "magento1"
    return folder if folder.is_dir() else None


def _prepare(project: Path, data: Path) -> None:
    with gzip.open(data / "legacy_300.sqlite.gz") as packed, (project / "legacy.sqlite").open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    with closing(sqlite3.connect(project / "target.sqlite")) as db:
        db.executescript((data / "new_schema.sqlite.sql").read_text())
    (project / "migrator.toml").write_text(SETTINGS.format(repository=REPOSITORY))


def _rows(project: Path) -> str:
    """A fast wrong answer is no answer: everybody must be there."""
    with closing(sqlite3.connect(project / "target.sqlite")) as db:
        (users,) = db.execute("select count(*) from accounts").fetchone()
        (lines,) = db.execute("select count(*) from order_lines").fetchone()
    if (users, lines) != (300, 27_226 - _guests_lines(project)):
        raise SystemExit(f"the run left {users} accounts and {lines} order lines behind")
    return f"{users} users, {lines} order lines"


def _guests_lines(project: Path) -> int:
    with closing(sqlite3.connect(project / "legacy.sqlite")) as db:
        found = db.execute(
            "select count(*) from sales_flat_order_item i join sales_flat_order o on o.entity_id = i.order_id"
            " where o.customer_id is null"
        ).fetchone()
    return int(found[0])


def _shop(servers: Servers, schema: str) -> Database:
    shop = Database("postgresql", servers.postgresql.url(), "shop")
    with psycopg.connect(shop.url) as connection:
        connection.execute(schema.encode())
    return shop


def _tables(schema: str) -> list[str]:
    """In the order in which they are made, which is that of their foreign keys."""
    return re.findall(r"create table shop\.(\w+)", schema)


def _copy(source: Database, sink: Database, tables: list[str], folder: Path) -> tuple[dict[str, int], float]:
    """Write what arrived into files, then load the files: rows per table, and the seconds of loading."""
    rows, took = {}, 0.0
    for table in tables:
        columns = ", ".join(name for (name,) in source.rows(_WRITABLE.format(table)))
        file = folder / f"{table}.csv"
        out_of = f"copy {table} ({columns}) to stdout (format csv)"
        with source.open() as connection, file.open("wb") as sheet, connection.cursor().copy(out_of) as out:
            for part in out:
                sheet.write(part)
        with sink.open() as connection, file.open("rb") as sheet:
            began = time.perf_counter()
            cursor = connection.cursor()
            with cursor.copy(f"copy {table} ({columns}) from stdin (format csv)") as into:
                while part := sheet.read(1 << 20):
                    into.write(part)
            connection.commit()
            took += time.perf_counter() - began
        rows[table] = cursor.rowcount
    return rows, took


_WRITABLE = (
    "select column_name from information_schema.columns where table_schema = 'shop' and table_name = '{}'"
    " and is_generated = 'NEVER' order by ordinal_position"
)
