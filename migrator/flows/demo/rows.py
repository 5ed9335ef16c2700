"""The rows of the old shop while they are being made: what each person leaves behind in each table."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from hashlib import md5
from random import Random
from typing import Final, TypeAlias

from migrator.flows.demo.goods import Product
from migrator.flows.demo.people import CLOSING, Habit, Person

Row: TypeAlias = dict[str, int | str | None]

_DAY: Final = 86_400
_SHANGHAI: Final = timedelta(hours=8)
_PLACES: Final = (
    ("上海市", "上海", "南京东路"),
    ("浙江省", "杭州", "龙井路"),
    ("广东省", "广州", "北京路"),
    ("四川省", "成都", "春熙路"),
    ("Shanghai", "Shanghai", "Huaihai Road"),
    ("Beijing", "Beijing", "Gulou East Street"),
)
_DELIVERED: Final = (1, 2, 3, 3, 3)  # paid, shipped, mostly completed
_ACTS: Final = ("pv", "pv", "pv", "click", "buy", "share")


@dataclass(slots=True)
class Shop:
    """All rows, by table; ids count up in the order of adding."""

    goods: tuple[Product, ...]
    rng: Random
    tables: defaultdict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    users: dict[int, Row] = field(default_factory=dict)
    orders: defaultdict[int, list[Row]] = field(default_factory=lambda: defaultdict(list))

    def add(self, table: str, key: str, **values: int | str | None) -> Row:
        """Add a row under the next free *key*."""
        row: Row = {key: len(self.tables[table]) + 1, **values}
        self.tables[table].append(row)
        return row


def at(day: int, rng: Random) -> int:
    """Some second of the day that lies *day* days before the last one."""
    return int(CLOSING.timestamp()) - day * _DAY - rng.randint(1, _DAY)


def live(shop: Shop, person: Person) -> None:
    """Write down all that *person* did."""
    shop.users[person.user_id] = _user(shop, person)
    if shop.rng.random() < 0.8:
        _set_up(shop, person)
    _buy(shop, person)
    _look_around(shop, person)
    if shop.rng.random() < 0.3:
        _fill_cart(shop, person)
    if shop.rng.random() < 0.35:
        _wish(shop, person)


def _user(shop: Shop, person: Person) -> Row:
    rng = shop.rng
    login = f"{'yh' if person.chinese else person.given.lower()}{person.user_id}"
    salt = f"{rng.getrandbits(32):08x}"
    province, city, road = rng.choice(_PLACES[:4] if person.chinese else _PLACES[4:])
    registered = CLOSING - timedelta(days=person.joined, seconds=rng.randint(1, _DAY)) + _SHANGHAI
    row: Row = {
        "user_id": person.user_id,
        "login_name": login,
        "email": f"{login}@{rng.choice(('mail.example.com', 'post.example.net', 'example.org'))}",
        "mobile": f"{rng.choice(('138', '139', '150', '152', '186'))}{rng.randint(10_000_000, 99_999_999)}",
        "pwd": md5(f"{salt}{login}".encode(), usedforsecurity=False).hexdigest(),
        "salt": salt,
        "status": rng.choices((1, 0, 2), (95, 3, 2))[0],
        "level": rng.choice((0, 1, 1, 2, 3, None)),
        "nick": person.given if rng.random() < 0.9 else None,
        "real_name": person.full_name,
        "sex": rng.choice((0, 2 if person.female else 1, 2 if person.female else 1)),
        "birthday": _birthday(rng),
        "province": province,
        "city": city,
        "address": f"{road} {rng.randint(1, 400)}\n{rng.randint(1, 30)}-{rng.randint(101, 2904)}",
        "points": rng.randint(0, 5000),
        "reg_time": registered.strftime("%Y-%m-%d %H:%M:%S"),
        "last_login": at(person.days[0], rng) if rng.random() < 0.95 else 0,
        "is_deleted": 0,
        "bak1": None,
    }
    shop.tables["t_user"].append(row)
    return row


def _birthday(rng: Random) -> str | None:
    if rng.random() < 0.15:
        return None
    return f"{rng.randint(1950, 2006)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"


def _set_up(shop: Shop, person: Person) -> None:
    rng = shop.rng
    language = "zh-CN" if person.chinese else rng.choice(("en", "en-US"))
    choices = {"lang": language, "theme": rng.choice("123"), "notify_email": rng.choice("YN10")}
    if rng.random() < 0.5:
        choices["notify_sms"] = rng.choice("YN")
    for name, value in choices.items():
        setting(shop, person.user_id, name, value, day=person.days[-1])


def setting(shop: Shop, user_id: int, name: str, value: str, day: int) -> None:
    """Let a user choose something on a day."""
    shop.add("t_user_setting", "id", user_id=user_id, skey=name, svalue=value, updated_at=at(day, shop.rng))


def _buy(shop: Shop, person: Person) -> None:
    rng = shop.rng
    paying_days = [day for day in person.days if day < 360]
    if person.habit is Habit.REGULAR:
        for day in rng.sample(paying_days, rng.randint(4, 8)):
            order(shop, person, day, rng.choice(_DELIVERED))
    elif person.habit is Habit.BUYER:
        for day in rng.sample(paying_days, min(len(paying_days), rng.randint(2, 5))):
            order(shop, person, day, rng.choice(_DELIVERED))
    elif rng.random() < 0.15:
        order(shop, person, person.days[0], rng.choice((0, 5)))
    if person.joined > 400 and person.habit is not Habit.BROWSER and rng.random() < 0.25:
        order(shop, person, rng.randint(370, min(person.joined, 700)), rng.choice((*_DELIVERED, 5)))


def order(shop: Shop, person: Person | None, day: int, status: int) -> Row:
    """Let somebody (None: a guest) order two things or so."""
    rng = shop.rng
    placed_at = at(day, rng)
    refunded = status == 5 and rng.random() < 0.3
    paid = status in (1, 2, 3) or refunded
    province, city, road = rng.choice(_PLACES)
    user_id = person.user_id if person else 0
    row = shop.add(
        "t_order",
        "order_id",
        order_sn=f"SN{len(shop.tables['t_order']) + 1:08d}",
        user_id=user_id,
        status=status,
        consignee=person.full_name if person else "Guest",
        addr=f"{province} {city} {road} {rng.randint(1, 400)}",
        ext=rng.choice((None, "", '{"gift": true}', f'{{"coupon": "C{day}", "off": {rng.randint(1, 9)}.50}}')),
        pay_type=rng.choice((1, 2)),
        add_time=placed_at,
        pay_time=placed_at + rng.randint(20, 900) if paid else 0,
    )
    cents = sum(_line(shop, len(shop.tables["t_order"])) for _ in range(rng.randint(1, 3)))
    row |= {"total_fee": cents, "money_paid": str(Decimal(cents if paid else 0) / 100)}
    shop.orders[user_id].append(row)
    return row


def _line(shop: Shop, order_id: int) -> int:
    rng = shop.rng
    product, number = rng.choice(shop.goods), rng.choice((1, 1, 2, 3))
    shop.add(
        "t_order_item",
        "rec_id",
        order_id=order_id,
        goods_id=product.goods_id,
        goods_name=product.title,
        price=str(product.price),
        num=number,
        attrs=rng.choice((None, f'{{"size": "{product.size}"}}')),
    )
    return product.cents * number


def _look_around(shop: Shop, person: Person) -> None:
    for day in person.days:
        event(shop, person.user_id, at(day, shop.rng))


def event(shop: Shop, uid: int, ts: int, ext: str | None = None) -> None:
    """Log one act of somebody, at any moment in any unit."""
    rng = shop.rng
    target = f"/goods/{rng.choice(shop.goods).goods_id}"
    ext = ext or rng.choice((None, None, '{"ref": "mail"}', '{"ref": "search", "q": "茶"}'))
    shop.add("t_behavior_log", "log_id", uid=uid, act=rng.choice(_ACTS), target=target, ext=ext, ts=ts)


def _fill_cart(shop: Shop, person: Person) -> None:
    for product in shop.rng.sample(shop.goods, shop.rng.randint(1, 4)):
        cart_line(shop, person, product, shop.rng.choice((1, 1, 2, None)))


def cart_line(shop: Shop, person: Person, product: Product, number: int | None) -> None:
    """Put a product into somebody's cart."""
    shop.add(
        "t_cart",
        "id",
        user_id=person.user_id,
        goods_id=product.goods_id,
        num=number,
        checked=shop.rng.choice((0, 1, None)),
        add_time=at(person.days[0], shop.rng),
    )


def _wish(shop: Shop, person: Person) -> None:
    wished = shop.rng.sample(shop.goods, shop.rng.randint(1, 5))
    folder(shop, person, [product.goods_id for product in wished], shop.rng.choice((None, "", "送礼", "Gifts")))


def folder(shop: Shop, person: Person, goods: list[int], name: str | None) -> None:
    """Give somebody a folder of favourites."""
    wished = ",".join(map(str, goods))
    shop.add(
        "t_favorite",
        "id",
        user_id=person.user_id,
        goods_ids=wished,
        folder=name,
        add_time=at(person.days[-1], shop.rng),
    )
