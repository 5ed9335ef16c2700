"""Builds the new shop of the demo: empty but for its products and three accounts that were made there."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import inspect, make_url

from migrator.errors import Refused
from migrator.flows.demo import databases
from migrator.flows.demo.goods import catalogue
from migrator.flows.demo.planting import TAKEN_EMAIL
from migrator.flows.demo.rows import Row

#: Accounts that the new shop had before anybody was moved; one has the e-mail of a user of the old shop.
EARLY_EMAILS: Final = (TAKEN_EMAIL, "anna@example.org", "ben@example.org")


def build(url: str, schema: str | None = None) -> None:
    """
    Create the tables of the new shop in an empty database and put in what is there before the move.

    Args:
        url: SQLite (the file is created) or PostgreSQL.
        schema: PostgreSQL only; created where it is missing.

    Raises:
        Refused: there are tables already.
    """
    dialect = make_url(url).get_backend_name()
    script = Path(__file__).with_name(f"target.{dialect}.sql")
    with databases.opened(url) as engine, engine.begin() as connection:
        if inspect(connection).get_table_names(schema):
            raise Refused(
                "there are tables already where the new shop is to be; the demo builds it only in an empty place"
            )
        databases.enter(connection, schema)
        databases.run(connection, script)
        databases.fill(connection, schema, _first_rows())


def _first_rows() -> dict[str, list[Row]]:
    accounts = [_new_id(f"accounts/{email}") for email in EARLY_EMAILS]
    return {
        "products": [
            {
                "id": product.new_id,
                "legacy_id": product.goods_id,
                "sku": f"SKU-{product.goods_id}-{product.size}",
                "title": html.unescape(product.title),
                "price": str(product.price),
            }
            for product in catalogue()
        ],
        "accounts": [_account(*pair) for pair in zip(accounts, EARLY_EMAILS, strict=True)],
        "profiles": [{"account_id": account, "display_name": "Early", "address": "{}"} for account in accounts],
        "preferences": [{"account_id": account, "settings": '{"theme": "dark"}'} for account in accounts],
        "orders": [_order(number, account) for number, account in enumerate(accounts[1:], start=1)],
    }


def _account(account: str, email: str) -> Row:
    return {
        "id": account,
        "username": email.partition("@")[0],
        "email": email,
        "status": "active",
        "tier": "basic",
        "created_at": "2026-02-01T09:00:00Z",
    }


def _order(number: int, account: str) -> Row:
    return {
        "id": _new_id(f"orders/{number}"),
        "number": f"N-{number:06d}",
        "account_id": account,
        "status": "pending",
        "currency": "CNY",
        "total": "42.00",
        "paid": "0.00",
        "shipping": "{}",
        "placed_at": "2026-02-02T09:00:00Z",
    }


def _new_id(path: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"https://shop.example.com/{path}"))
