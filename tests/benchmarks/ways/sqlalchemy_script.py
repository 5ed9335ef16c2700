"""A careful script in SQLAlchemy Core: streamed rows become dicts, dicts are inserted some thousands at a time."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby, islice
from typing import Any

import sqlalchemy as sa

from tests.benchmarks.databases import Database
from tests.benchmarks.ways.base import Way, nothing, script

ROWS = 5_000
STATUSES = {0: "pending", 1: "active", 2: "suspended", 3: "closed"}
ORDERS = {0: "pending", 1: "paid", 2: "shipped", 3: "completed", 4: "cancelled"}
THEMES = {"1": "light", "2": "dark"}
LOCALES = {"zh": "zh-CN", "en": "en-US", "de": "de-DE"}
NEWS = {"1": True, "0": False}
NO_DIGIT = re.compile("[^0-9+]")
Row = Mapping[str, Any]


def moment(seconds: int) -> datetime:
    """Seconds since 1970 as an instant."""
    return datetime.fromtimestamp(seconds, UTC)


def account(row: Row) -> dict[str, Any]:
    """A user."""
    return {
        "id": row["user_id"],
        "email": row["email"].strip().lower(),
        "full_name": f"{row['first_name']} {row['last_name']}",
        "phone": NO_DIGIT.sub("", row["phone"]) if row["phone"] is not None else None,
        "status": STATUSES[row["status"]],
        "created_at": moment(row["created_at"]),
    }


def preference(rows: tuple[int, list[Row]]) -> dict[str, Any]:
    """The settings of a user."""
    user, settings = rows
    said = {row["skey"]: row["svalue"] for row in settings}
    chosen = {"theme": THEMES[said["theme"]], "locale": LOCALES[said["lang"]], "newsletter": NEWS[said["news"]]}
    return {"account_id": user, "settings": chosen}


def order(row: Row) -> dict[str, Any]:
    """An order."""
    return {
        "id": row["order_id"],
        "account_id": row["user_id"],
        "number": row["order_no"],
        "status": ORDERS[row["status"]],
        "total": Decimal(row["total_cents"]) / 100,
        "placed_at": moment(row["created_at"]),
    }


def line(row: Row) -> dict[str, Any]:
    """A line of an order."""
    return {
        "id": row["item_id"],
        "order_id": row["order_id"],
        "sku": row["sku"],
        "quantity": row["quantity"],
        "unit_price": Decimal(row["price_cents"]) / 100,
    }


def wish(row: Row) -> dict[str, Any]:
    """A favourite."""
    return {
        "id": row["id"],
        "account_id": row["user_id"],
        "product_id": row["product_id"],
        "added_at": moment(row["added_at"]),
    }


class Script:
    """Both ends."""

    def __init__(self, legacy: Database, target: Database) -> None:
        self._legacy, self._target = (
            sa.create_engine(side.url.replace("postgresql:", "postgresql+psycopg:")) for side in (legacy, target)
        )
        self._old, self._new = sa.MetaData(schema=legacy.schema), sa.MetaData(schema=target.schema)

    def run(self) -> None:
        """One transaction, table by table."""
        self._old.reflect(self._legacy)
        self._new.reflect(self._target)
        with self._legacy.connect() as reading, self._target.begin() as writing:
            self._move(writing, "accounts", account, self._rows(reading, "t_user"))
            self._move(writing, "preferences", preference, self._settings(reading))
            self._move(writing, "orders", order, self._rows(reading, "t_order"))
            self._move(writing, "order_lines", line, self._rows(reading, "t_order_item"))
            self._move(writing, "wishlist", wish, self._rows(reading, "t_favorite"))
        self._legacy.dispose()
        self._target.dispose()

    def _settings(self, reading: sa.Connection) -> Iterator[tuple[int, list[Row]]]:
        rows = self._rows(reading, "t_user_setting", "user_id")
        return ((user, list(found)) for user, found in groupby(rows, lambda row: row["user_id"]))

    def _rows(self, reading: sa.Connection, table: str, order: str | None = None) -> Iterator[Row]:
        source = _table(self._old, table)
        query = sa.select(source).order_by(source.c[order]) if order else sa.select(source)
        for row in reading.execution_options(yield_per=ROWS).execute(query):
            yield row._asdict()

    def _move(self, writing: sa.Connection, table: str, make: Callable[[Any], Any], rows: Iterator[Any]) -> None:
        insert = sa.insert(_table(self._new, table))
        for some in _some(rows):
            writing.execute(insert, [make(row) for row in some])


def _some(rows: Iterator[Any]) -> Iterator[tuple[Any, ...]]:
    while some := tuple(islice(rows, ROWS)):
        yield some


def _table(metadata: sa.MetaData, name: str) -> sa.Table:
    return metadata.tables[f"{metadata.schema}.{name}" if metadata.schema else name]


WAY = Way(
    "SQLAlchemy Core script", "dicts, executemany; no snapshot, verify, resume", nothing,
    lambda legacy, target, users: script("sqlalchemy_script", legacy, target),
)  # fmt: skip

if __name__ == "__main__":
    from_url, from_schema, to_url, to_schema = sys.argv[1:]
    Script(Database("postgresql", from_url, from_schema), Database("postgresql", to_url, to_schema)).run()
