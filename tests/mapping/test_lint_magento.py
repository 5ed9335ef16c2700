"""The Magento set against the databases it was written for, read as the program reads them."""

from __future__ import annotations

import gzip
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from migrator.edges.databases import connect
from migrator.edges.databases.base import Database
from migrator.flows.drafting import linting
from migrator.mapping import document
from tests.postgresql_server import PostgresqlServer

MAGENTO = Path(__file__).parents[2] / "mappings" / "magento1"
pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def data() -> Path:
    if not (folder := os.environ.get("MIGRATOR_REAL_DATA")):
        pytest.skip("MIGRATOR_REAL_DATA is not set: it names the folder with the real data")
    return Path(folder) / "magento1"


@pytest.fixture(scope="module")
def legacy(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    file = tmp_path_factory.mktemp("legacy") / "legacy.sqlite"
    with gzip.open(data / "legacy_300.sqlite.gz") as packed, file.open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    database = connect(f"sqlite:///{file}", None, "legacy")
    yield database
    database.close()


#: The smaller database has the customers of one website only.
SAMPLE = {("W404", "no row of customer_entity has the website_id 2")}


def told(legacy: Database, target: Database, *, data: bool = True) -> set[tuple[str, str]]:
    try:
        with linting.live(legacy, target, data=data) as known:
            return {(problem.code, problem.text) for problem in linting.check(document.read(MAGENTO), known)}
    finally:
        target.close()


@pytest.fixture
def new(data: Path, tmp_path: Path) -> Database:
    connection = sqlite3.connect(tmp_path / "new.sqlite")
    connection.executescript((data / "new_schema.sqlite.sql").read_text())
    connection.close()
    return connect(f"sqlite:///{tmp_path}/new.sqlite", None, "target")


def test_it_fits_the_new_schema_on_sqlite(legacy: Database, new: Database) -> None:
    assert told(legacy, new) == SAMPLE


def test_without_a_look_at_the_data_some_doubts_stay(legacy: Database, new: Database) -> None:
    assert told(legacy, new, data=False) == {
        ("W208", "log_customer is read by customer_id, and no index begins with that"),
        ("W401", "currency takes 3 characters, and this may have 255"),
    }


def test_it_fits_the_new_schema_on_postgresql(data: Path, legacy: Database, postgresql: PostgresqlServer) -> None:
    url = postgresql.url()
    plain = sqlalchemy.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection:
        connection.execute((data / "new_schema.postgresql.sql").read_text())

    assert told(legacy, connect(url, "shop", "target")) == SAMPLE
