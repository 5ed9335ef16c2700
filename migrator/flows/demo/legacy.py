"""Builds the old shop of the demo: a SQLite file, the same for the same seed, dirt included."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Final

from migrator.errors import Refused
from migrator.flows.demo import databases, goods, people, rows
from migrator.flows.demo.dirt import Dirt, Planted
from migrator.flows.demo.planting import plant
from migrator.flows.demo.rows import Shop

FEWEST_USERS: Final = 200
_SCRIPT: Final = Path(__file__).with_name("legacy.sql")


def build(path: str | Path, users: int = 2000, seed: int = 7, dirt: Dirt | None = None) -> Planted:
    """
    Write the old shop into a new SQLite file.

    Args:
        path: A file that does not exist yet.
        users: How many users the shop has, deleted ones included; at least 200.
        seed: Another one gives another shop of the same kind.
        dirt: How much of each trouble; by default the share that is right for *users*.

    Returns:
        Who has which trouble.

    Raises:
        Refused: the file is there already, or the shop would be too small for its dirt.
    """
    if Path(path).exists():
        raise Refused(f"{path} exists already; the demo builds its old shop only in a new file")
    if users < FEWEST_USERS:
        raise Refused(f"a shop of {users} users is too small for its dirt; take {FEWEST_USERS} or more")
    rng = Random(seed)
    shop = Shop(goods.catalogue(), rng)
    crowd = people.crowd(users, rng, seed)
    for person in crowd:
        rows.live(shop, person)
    planted = plant(shop, crowd, dirt or Dirt().scaled(users))
    _add_what_nobody_maps(shop)
    with databases.opened(f"sqlite:///{path}") as engine, engine.begin() as connection:
        databases.run(connection, _SCRIPT)
        databases.fill(connection, None, shop.tables)
    return planted


def _add_what_nobody_maps(shop: Shop) -> None:
    for product in shop.goods:
        row: rows.Row = {"goods_id": product.goods_id, "goods_name": product.title, "price": str(product.price)}
        shop.tables["t_goods"].append(row)
    for number in range(4):
        shop.add("t_admin", "admin_id", login_name=f"staff{number}")
    for number in range(30):
        shop.add("t_coupon", "coupon_id", code=f"C{number}", ended_at=rows.at(400, shop.rng))
        shop.add("t_sms_log", "id", mobile="13800138000", sent_at=rows.at(500, shop.rng))
