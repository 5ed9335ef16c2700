"""Fills a database from a script and rows, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, column, create_engine, func, insert, make_url, select, table
from sqlalchemy.schema import CreateSchema

from migrator.flows.demo.rows import Row


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """Open a database of the demo and give its connections back in the end."""
    address = make_url(url)
    if address.get_backend_name() == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    engine = create_engine(address, hide_parameters=True)
    try:
        yield engine
    finally:
        engine.dispose()


def enter(connection: Connection, schema: str | None) -> None:
    """Create *schema* where it is missing, and work in it until the transaction ends."""
    if schema is None:
        return
    connection.execute(CreateSchema(schema, if_not_exists=True))
    quoted = connection.dialect.identifier_preparer.quote(schema)
    connection.execute(select(func.set_config("search_path", quoted, True)))


def run(connection: Connection, script: Path) -> None:
    """Run the statements of *script*, which end in a semicolon at the end of a line."""
    # the scripts hold percent signs, which drivers would take for parameters
    plain = connection.execution_options(no_parameters=True)
    for statement in script.read_text("utf-8").split(";\n"):
        if statement.strip():
            plain.exec_driver_sql(statement)


def fill(connection: Connection, schema: str | None, tables: Mapping[str, Sequence[Row]]) -> None:
    """Insert *tables* in their order. Text goes into columns of any type; the database reads it as its own."""
    for name, rows in tables.items():
        into = table(name, *map(column, rows[0]), schema=schema)
        connection.execute(insert(into), list(rows))
