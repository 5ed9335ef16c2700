"""A shop whose customers registered twice: one person with two accounts, look-alikes, and what hangs on each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from migrator.edges.databases import connect
from migrator.store import plans, tables, users
from tests.edges.databases.places import Place
from tests.flows.bakery import Bakery, parts_of

SET = """
set: shop
users: {table: t_user, key: user_id, email: email, name: nick, where: {is_deleted: 0}}
at: [{epoch: s}]
activity: [{table: t_order, user: user_id, at: add_time}]
paid: [{table: t_order, user: user_id, at: add_time, amount: total_fee}]
"""
ACCOUNTS = """
mapping: accounts
about: Every live legacy user becomes one account. Same e-mail means same person.
source:
  table: t_user
  key: user_id
  user: user_id
  where: {is_deleted: 0}
  null_if: ['', '0000-00-00', '0000-00-00 00:00:00']
target:
  table: accounts
  id: {uuid5: user_id}
  on_conflict: {match: [email], action: review}
fields:
  username: {from: login_name, transform: [trim, normalize], required: true}
  email:    {from: email, transform: [trim, lower, email]}
  phone:    {from: mobile, transform: [{phone: CN}], on_error: {use: null}}
  status:   {from: status, transform: [{map: {0: pending, 1: active, 2: suspended}}], required: true}
  tier:     {from: level, transform: [{map: {0: basic, 1: basic, 2: silver, 3: gold, else: basic}}], default: basic}
  created_at:
    from: reg_time
    transform: [{datetime: {timezone: Asia/Shanghai}}]
    required: true
  last_login_at: {from: last_login, transform: [{null_if: 0}, {epoch: s}]}
merge_duplicates:
  match: [$email]
  keep: {most_recent: $last_login_at}
  fields: {created_at: min, phone: first_not_null}
  review_if_different: [$username]
ignore: {bak1: always empty}
"""
PROFILES = """
mapping: profiles
source: {table: t_user, key: user_id, user: user_id, where: {is_deleted: 0}, null_if: ['', '0000-00-00']}
target:
  table: profiles
  id: {lookup: accounts, by: user_id, as: account_id}
fields:
  display_name:
    from: [nick, login_name]
    transform: [coalesce, repair_encoding, normalize, trim, {truncate: 40}]
    required: true
  birth_date:  {from: birthday, transform: [date], on_error: {use: null}}
  loyalty_points: {from: points, transform: [{between: [0, 10000000]}], default: 0}
when_merged: {keep: survivor, loyalty_points: sum, birth_date: first_not_null}
checks: {sums: {loyalty_points: points}}
"""
PREFERENCES = """
mapping: preferences
source:
  table: t_user_setting
  user: user_id
  pivot: {by: user_id, names: skey, values: svalue, duplicates: {most_recent: updated_at}}
  key: user_id
target:
  table: preferences
  id: {lookup: accounts, by: user_id, as: account_id}
fields:
  settings:
    object:
      theme:  {from: theme, transform: [{map: {1: light, 2: dark, else: light}}], default: light}
      locale: {from: lang, transform: [{map: {zh: zh-CN, en: en-US}}], default: zh-CN}
      legacy: {rest: true}
when_merged: {keep: survivor}
ignore: {id: row number}
"""
ORDERS = """
mapping: orders
source: {table: t_order, key: order_id, user: user_id}
target:
  table: orders
  id: {uuid5: order_id}
  on_conflict: {match: [number], action: skip_if_equal}
fields:
  number:     {from: order_sn, transform: [trim], required: true}
  account_id: {lookup: accounts, by: user_id, required: true}
  total:      {from: total_fee, transform: [{divide: 100}], required: true}
  placed_at:  {from: add_time, transform: [{epoch: s}], required: true}
"""
CARTS = """
mapping: carts
source:
  table: t_cart
  user: user_id
  group: {by: user_id, order: add_time, item_key: id}
  key: user_id
target:
  table: carts
  id: {uuid5: user_id}
fields:
  account_id: {lookup: accounts, by: user_id, required: true}
  items:
    collect:
      goods: {from: goods_id}
      quantity: {from: num, transform: [{between: [1, 99]}], default: 1}
  updated_at: {from: add_time, aggregate: max, transform: [{epoch: s}]}
when_merged: {items: append, updated_at: max}
"""
MAPPINGS = {
    "set": SET,
    "accounts": ACCOUNTS,
    "profiles": PROFILES,
    "preferences": PREFERENCES,
    "orders": ORDERS,
    "carts": CARTS,
}
LEGACY = """
create table t_user (
  user_id integer primary key, login_name varchar(40), email varchar(80), mobile varchar(20), status integer, level integer,
  reg_time timestamp, last_login integer, nick varchar(40), birthday text, points integer, bak1 text,
  is_deleted integer not null);
create table t_user_setting (id integer primary key, user_id integer, skey varchar(20), svalue varchar(80), updated_at integer);
create table t_order (order_id integer primary key, user_id integer, order_sn varchar(20), total_fee integer, add_time integer);
create table t_cart (id integer primary key, user_id integer, goods_id integer, num integer, add_time integer);
create index setting_user on t_user_setting (user_id);
create index order_user on t_order (user_id);
create index cart_user on t_cart (user_id);
"""
TARGET = """
create table accounts (
  id varchar(36) primary key, username varchar(40) not null, email varchar(80) unique, phone varchar(20), status varchar(10) not null,
  tier varchar(10) not null, created_at varchar(40) not null, last_login_at varchar(40));
create table profiles (
  account_id varchar(36) primary key references accounts (id), display_name varchar(40) not null, birth_date date,
  loyalty_points integer not null);
create table preferences (account_id varchar(36) primary key references accounts (id), settings json not null);
create table orders (
  id varchar(36) primary key, number varchar(20) not null unique, account_id varchar(36) not null references accounts (id),
  total numeric(10, 2) not null, placed_at varchar(40) not null);
create table carts (
  id varchar(36) primary key, account_id varchar(36) not null unique references accounts (id), items json not null,
  updated_at varchar(40));
create table notes (id integer primary key, account_id varchar(36) references accounts (id), text varchar(40));
"""
TABLES = ("accounts", "profiles", "preferences", "orders", "carts", "notes")
#: user, login, e-mail, mobile, registered, last login, nick, birthday, points, deleted
PEOPLE: list[tuple[Any, ...]] = [
    (1, "ann", " Ann@X.co", None, "2021-03-01 08:00:00", 1700000000, "Ann", None, 10, 0),
    (2, "bob", "bob@x.co", None, "2021-03-02 08:00:00", 0, "Bob", None, 0, 0),
    (3, "ann", "ann@x.co", "13800138000", "2020-01-01 08:00:00", 1600000000, "Annie", "1990-05-06", 5, 0),
    (4, "dan", "not-an-email", None, "2021-03-04 08:00:00", 0, "Dan", None, 0, 0),
    (5, "ann", "ann@x.co", None, "2021-03-05 08:00:00", 1800000000, "Old Ann", None, 900, 1),
    (6, "fay", "fay@x.co", None, "2021-03-06 08:00:00", 0, "Fay", None, 3, 0),
    (8, "eve", "eve@z.co", None, "2021-03-08 08:00:00", 1650000000, "Eve", None, 1, 0),
    (9, "eva", "Eve@Z.co", None, "2021-03-09 08:00:00", 1640000000, "Eva", None, 2, 0),
]
UNKNOWN = {"bob@x.co": 7}  # a status that the map does not know


class Doubles(Bakery):
    """The shop in a folder, and everything a bakery can do. An existing folder is opened as it is."""

    def __init__(
        self, folder: Path, people: list[tuple[Any, ...]] | None = None, place: Place | None = None, **mappings: str
    ) -> None:
        self.folder, self.place = folder, place
        new = not (folder / "legacy.db").exists()
        if new:
            (folder / "mappings").mkdir(parents=True)
            for name, text in (MAPPINGS | mappings).items():
                (folder / "mappings" / f"{name}.yaml").write_text(text, encoding="utf-8")
            self._fill_shop(PEOPLE if people is None else people)
            if place is not None:
                place.run(TARGET)
            else:
                with self.target() as db:
                    db.executescript(TARGET)
        self.parts = parts_of(folder, target=connect(place.url, None, "target") if place else None)

    def copy(self, folder: Path) -> Doubles:
        """Another shop that stands where this one stands now."""
        super().copy(folder).close()
        return Doubles(folder)

    def _fill_shop(self, people: list[tuple[Any, ...]]) -> None:
        with self.legacy() as db:
            db.executescript(LEGACY)
            for user, login, email, mobile, since, seen, nick, birthday, points, deleted in people:
                status = UNKNOWN.get(email, 1)
                row = (user, login, email, mobile, status, 2, since, seen, nick, birthday, points, None, deleted)
                db.execute(f"insert into t_user values ({', '.join('?' * len(row))})", row)
                db.execute(
                    "insert into t_order values (?, ?, ?, ?, ?)",
                    (user, user, f"N{user}", user * 100, 1600000000 + user),
                )
                db.execute("insert into t_cart values (?, ?, ?, ?, ?)", (user, user, 70 + user, 1, 1600000000 + user))
                setting = (user, user, "theme", "2" if user % 2 else "1", 1600000000)
                db.execute("insert into t_user_setting values (?, ?, ?, ?, ?)", setting)

    def rows(self) -> dict[str, list[tuple[object, ...]]]:
        """All rows of the target but for our own tables."""
        if self.place is not None:
            return {table: sorted(self.place.ask(f"select * from {table}"), key=repr) for table in TABLES}
        with self.target() as db:
            return {table: sorted(db.execute(f"select * from {table}").fetchall(), key=repr) for table in TABLES}

    def groups(self) -> dict[str, str]:
        """Who merges with others -> who survives."""
        with self.parts.control.read() as db:
            plan = plans.require(db)
            return users.groups(db, plan.id, self.users())

    def where(self) -> dict[str, tuple[int | None, int | None]]:
        """Every user's wave and batch."""
        with self.parts.control.read() as db:
            columns = (tables.users.c.user_key, tables.users.c.wave_id, tables.users.c.batch_id)
            query = sa.select(*columns).where(tables.users.c.plan_id == plans.require(db).id)
            return {key: (wave, batch) for key, wave, batch in db.execute(query)}

    def reason(self, user: str) -> str | None:
        """Why a user is where he is."""
        with self.parts.control.read() as db:
            found = users.get(db, plans.require(db).id, user)
            return found.reason if found else None
