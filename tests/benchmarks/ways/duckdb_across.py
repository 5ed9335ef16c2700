"""DuckDB with both databases attached: INSERT … SELECT from one to the other."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from tests.benchmarks.databases import Database
from tests.benchmarks.ways.base import Way, host_and_name, script
from tests.benchmarks.ways.plain_sql import columns
from tests.benchmarks.work import statements

EXTENSION = "duckdb_extension_postgres_scanner"


def across(legacy: Database, target: Database) -> None:
    """One transaction, table by table, as DuckDB's pages say."""
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"load '{_extension()}'")
    for name, side, mode in (("source", legacy, ", read_only"), ("sink", target, "")):
        host, database = host_and_name(side)
        connection.execute(f"attach 'host={host} user=postgres dbname={database}' as {name} (type postgres{mode})")
    connection.execute(f"use source.{legacy.schema or 'public'}")
    connection.execute("begin")
    for table, sql in statements.selects("duckdb").items():
        into = f"sink.{target.schema or 'public'}.{table} ({', '.join(columns(table))})"
        connection.execute(f"insert into {into} {sql}")
    connection.execute("commit")


def _extension() -> Path:
    package = find_spec(EXTENSION)
    assert package and package.origin
    return next(Path(package.origin).parent.rglob("*.duckdb_extension"))


def _missing() -> str | None:
    lacking = [name for name in ("duckdb", EXTENSION) if find_spec(name) is None]
    return f"{', '.join(lacking)} (the extra [bench])" if lacking else None


WAY = Way(
    "DuckDB across attached databases", "no snapshot, verify, resume; one bad value aborts it", _missing,
    lambda legacy, target, users: script("duckdb_across", legacy, target),
)  # fmt: skip

if __name__ == "__main__":
    from_url, from_schema, to_url, to_schema = sys.argv[1:]
    across(Database("postgresql", from_url, from_schema), Database("postgresql", to_url, to_schema))
