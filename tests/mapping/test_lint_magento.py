"""The Magento set against the databases it was written for, read as the program reads them."""

from __future__ import annotations

import gzip
import os
import shutil
import sqlite3
from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from migrator.edges.databases import connect
from migrator.mapping import document
from migrator.mapping.lint import lint
from migrator.mapping.schema import Schema
from tests.postgresql_server import PostgresqlServer

MAGENTO = Path(__file__).parents[2] / "mappings" / "magento1"
pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def data() -> Path:
    if not (folder := os.environ.get("MIGRATOR_REAL_DATA")):
        pytest.skip("MIGRATOR_REAL_DATA is not set: it names the folder with the real data")
    return Path(folder) / "magento1"


@pytest.fixture(scope="module")
def legacy(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Schema:
    file = tmp_path_factory.mktemp("legacy") / "legacy.sqlite"
    with gzip.open(data / "legacy_300.sqlite.gz") as packed, file.open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    return schema(f"sqlite:///{file}", None, "legacy")


def schema(url: str, name: str | None, role: str) -> Schema:
    database = connect(url, name, role)  # type: ignore[arg-type]  # one of the two words
    try:
        return database.schema()
    finally:
        database.close()


def test_it_fits_the_new_schema_on_sqlite(data: Path, legacy: Schema, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "new.sqlite")
    connection.executescript((data / "new_schema.sqlite.sql").read_text())
    connection.close()

    assert lint(document.load(MAGENTO), legacy, schema(f"sqlite:///{tmp_path}/new.sqlite", None, "target")) == []


def test_it_fits_the_new_schema_on_postgresql(data: Path, legacy: Schema, postgresql: PostgresqlServer) -> None:
    url = postgresql.url()
    plain = sqlalchemy.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection:
        connection.execute((data / "new_schema.postgresql.sql").read_text())

    assert lint(document.load(MAGENTO), legacy, schema(url, "shop", "target")) == []
