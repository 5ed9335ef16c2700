"""The machine that the figures belong to, in a few lines."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from tests.benchmarks.databases import Servers
from tests.postgresql_server import NoServer

PACKAGES = ("polars", "sqlalchemy", "celery", "psycopg", "pymysql", "duckdb", "dlt")
FSYNCS = 200


def describe(servers: Servers) -> dict[str, str]:
    """Cores, memory, how fast the disk says that something is durable, versions."""
    told = {
        "machine": f"{os.cpu_count()} cores ({_processor()}), {psutil.virtual_memory().total / 2**30:.0f} GiB memory",
        "disk": f"{_fsyncs():,.0f} fsyncs of 8 KiB a second in {tempfile.gettempdir()}",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "databases": ", ".join([*_servers(servers), f"SQLite {sqlite3.sqlite_version}"]),
        "packages": ", ".join(f"{name} {number}" for name in PACKAGES if (number := _version(name))),
    }
    if shutil.which("pgloader"):
        told["pgloader"] = _first_line(["pgloader", "--version"])
    return told


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _fsyncs() -> float:
    """Per second; the median of some, as a disk that others use is uneven."""
    times = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(FSYNCS):
            file.write(b"x" * 8192)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return 1 / max(statistics.median(times), 1e-9)


def _servers(servers: Servers) -> list[str]:
    told = []
    for dialect, name, sql in (
        ("postgresql", "PostgreSQL", "show server_version"),
        ("mariadb", "MariaDB", "select version()"),
    ):
        try:
            database, _ = servers.pair(dialect, dialect)
        except NoServer as lacking:
            told.append(f"no {name} ({lacking})")
            continue
        told.append(f"{name} {database.rows(sql)[0][0].split('-')[0].split()[0]} (durable)")
    return told


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _first_line(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).partition("\n")[0]
