"""dlt: its SQL source with Arrow frames, its PostgreSQL destination with COPY, a load per table in foreign-key order."""

from __future__ import annotations

import os
import sys
import tempfile
from importlib.util import find_spec

from tests.benchmarks.databases import Database
from tests.benchmarks.ways.base import Way, host_and_name, script, views


def pipeline(legacy: Database, target: Database) -> None:
    """Read views that hold the statements of the work, append to the tables that are there."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    import dlt
    from dlt.destinations import postgres
    from dlt.sources.sql_database import sql_table

    host, name = host_and_name(target)
    sink = f"postgresql://postgres:none@localhost/{name}?host={host}"
    with views(legacy) as tables, tempfile.TemporaryDirectory() as folder:
        flow = dlt.pipeline(
            "work", pipelines_dir=folder, destination=postgres(credentials=sink), dataset_name=target.schema or "public"
        )
        for table in tables:
            rows = sql_table(
                credentials=legacy.url.replace("postgresql:", "postgresql+psycopg:"), schema=legacy.schema, table=table,
                backend="pyarrow", chunk_size=50_000, reflection_level="full",
            )  # fmt: skip
            flow.run(rows, write_disposition="append", loader_file_format="csv").raise_on_failed_jobs()


def _missing() -> str | None:
    return None if find_spec("dlt") else "dlt (the extra [bench])"


WAY = Way(
    "dlt", "Arrow frames, COPY; no verify, no per-user state", _missing,
    lambda legacy, target, users: script("dlt_pipeline", legacy, target),
)  # fmt: skip

if __name__ == "__main__":
    from_url, from_schema, to_url, to_schema = sys.argv[1:]
    pipeline(Database("postgresql", from_url, from_schema), Database("postgresql", to_url, to_schema))
