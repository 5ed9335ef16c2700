"""
The legacy side of the work: users, three settings, three orders with two items each and two favourites per user.

The same number of users gives the same rows in every database and every run: values are arithmetic over the row number.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from tests.benchmarks.databases import Database

USERS_A_BLOCK = 50_000
#: Rows per user.
ROWS = {"t_user": 1, "t_user_setting": 3, "t_order": 3, "t_order_item": 6, "t_favorite": 2}
COLUMNS = {
    "t_user": "user_id {big} primary key, email {text} not null, first_name {text} not null, last_name {text} not null,"
    " phone {text}, status integer not null, created_at {big} not null",
    "t_user_setting": "id {big} primary key, user_id {big} not null, skey {text} not null, svalue {text}",
    "t_order": "order_id {big} primary key, user_id {big} not null, order_no {text} not null, status integer not null,"
    " total_cents {big} not null, created_at {big} not null",
    "t_order_item": "item_id {big} primary key, order_id {big} not null, sku {text} not null,"
    " quantity integer not null, price_cents {big} not null",
    "t_favorite": "id {big} primary key, user_id {big} not null, product_id {big} not null, added_at {big} not null",
}
#: By which column rows of a user are found.
OWNER = {"t_user_setting": "user_id", "t_order": "user_id", "t_order_item": "order_id", "t_favorite": "user_id"}
TYPES = {
    "postgresql": {"big": "bigint", "text": "text"},
    "mariadb": {"big": "bigint", "text": "varchar(120)"},
    "sqlite": {"big": "integer", "text": "text"},
}
FIRST = ["Ann", "Bob", "Zoë", "Li", "Noor", "José", "Mia", "Ewa", "Jürgen", "Olga", "Sam", "Ümit", "Yuki", "陈", "Ida"]
LAST = ["Lee", "van der Berg", "Müller", "O'Neil", "Nowak", "García", "Smith", "Öztürk", "王", "Hansen", "Ruiz"]
FIRST_DAY, LAST_DAY = 1_420_070_400, 1_735_603_200  # 2015 to 2024


def fill(database: Database, users: int) -> None:
    """Make the legacy tables, their rows and, afterwards, their indexes; let the server look at them."""
    for table, columns in COLUMNS.items():
        database.run(f"create table {table} ({columns.format(**TYPES[database.dialect])})")
    with database.open() as connection:
        for table, frame in blocks(users):
            _LOAD[database.dialect](connection, table, frame)
    for table, column in OWNER.items():
        database.run(f"create index {table}_{column} on {table} ({column})")
    _look_at(database)


def blocks(users: int) -> Iterator[tuple[str, pl.DataFrame]]:
    """The rows, some users at a time."""
    for first in range(1, users + 1, USERS_A_BLOCK):
        last = min(first + USERS_A_BLOCK - 1, users)
        for table, make in _MAKE.items():
            per_user = ROWS[table]
            numbers = pl.int_range((first - 1) * per_user + 1, last * per_user + 1, eager=True).alias("n")
            yield table, numbers.to_frame().select(make(per_user))


def _look_at(database: Database) -> None:
    if database.dialect == "postgresql":
        for table in ROWS:
            database.maintain(f"vacuum analyze {database.schema or 'public'}.{table}")
    else:
        tables = ", ".join(ROWS)
        database.run(f"analyze table {tables}" if database.dialect == "mariadb" else "analyze")


def _dice(salt: int, sides: int) -> pl.Expr:
    """A number below *sides* that looks like chance and is none."""
    mixed = (pl.col("n") * 2_654_435_761 + salt * 97_531) % 4_294_967_291
    return (mixed * 48_271 % 2_147_483_647) // 13 % sides


def _pick(salt: int, choices: list[str]) -> pl.Expr:
    return _dice(salt, len(choices)).replace_strict(list(range(len(choices))), choices, return_dtype=pl.String)


def _moment(salt: int) -> pl.Expr:
    return FIRST_DAY + _dice(salt, LAST_DAY - FIRST_DAY)


def _owner(per_user: int) -> pl.Expr:
    return (pl.col("n") - 1) // per_user + 1


def _users(_: int) -> list[pl.Expr]:
    blank, city = _pick(1, ["", " ", "  "]), _dice(2, 97)
    phone = [_dice(6, 900) + 100, _dice(7, 9000) + 1000, _dice(8, 9000) + 1000]
    return [
        pl.col("n").alias("user_id"),
        pl.format("{}User.{}@Example{}.COM{}", blank, "n", city, blank).alias("email"),
        _pick(3, FIRST).alias("first_name"),
        _pick(4, LAST).alias("last_name"),
        pl.when(_dice(5, 20) > 0).then(pl.format("+49 ({}) {}-{}", *phone)).alias("phone"),
        _dice(9, 4).alias("status"),
        _moment(10).alias("created_at"),
    ]


def _settings(per_user: int) -> list[pl.Expr]:
    key = (pl.col("n") - 1) % 3
    value = (
        pl.when(key == 0).then(_pick(11, ["1", "2"]))
        .when(key == 1).then(_pick(12, ["zh", "en", "de"]))
        .otherwise(_pick(13, ["0", "1"]))
    )  # fmt: skip
    names = key.replace_strict([0, 1, 2], ["theme", "lang", "news"], return_dtype=pl.String)
    return [pl.col("n").alias("id"), _owner(per_user).alias("user_id"), names.alias("skey"), value.alias("svalue")]


def _orders(per_user: int) -> list[pl.Expr]:
    return [
        pl.col("n").alias("order_id"),
        _owner(per_user).alias("user_id"),
        pl.format("SN{}", pl.col("n").cast(pl.String).str.zfill(10)).alias("order_no"),
        _dice(14, 5).alias("status"),
        (_dice(15, 500_000) + 100).alias("total_cents"),
        _moment(16).alias("created_at"),
    ]


def _items(per_user: int) -> list[pl.Expr]:
    return [
        pl.col("n").alias("item_id"),
        _owner(per_user // ROWS["t_order"]).alias("order_id"),
        pl.format("SKU-{}", _dice(17, 20_000)).alias("sku"),
        (_dice(18, 9) + 1).alias("quantity"),
        (_dice(19, 99_900) + 100).alias("price_cents"),
    ]


def _favourites(per_user: int) -> list[pl.Expr]:
    return [
        pl.col("n").alias("id"),
        _owner(per_user).alias("user_id"),
        (_dice(20, 20_000) + 1).alias("product_id"),
        _moment(21).alias("added_at"),
    ]


_MAKE = {
    "t_user": _users,
    "t_user_setting": _settings,
    "t_order": _orders,
    "t_order_item": _items,
    "t_favorite": _favourites,
}


def _copy(connection: Any, table: str, frame: pl.DataFrame) -> None:
    names = ", ".join(frame.columns)
    with connection.cursor().copy(f"copy {table} ({names}) from stdin (format csv)") as copy:
        copy.write(frame.write_csv(include_header=False))


def _load_data(connection: Any, table: str, frame: pl.DataFrame) -> None:
    plain = io.BytesIO()
    frame.with_columns(pl.all().cast(pl.String).fill_null("\\N")).write_csv(
        plain, include_header=False, separator="\t", quote_style="never"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows"
        file.write_bytes(plain.getvalue())
        names = ", ".join(frame.columns)
        sql = f"load data local infile '{file}' into table {table} character set utf8mb4 ({names})"
        connection.cursor().execute(sql)


def _insert(connection: Any, table: str, frame: pl.DataFrame) -> None:
    marks = ", ".join("?" * frame.width)
    connection.executemany(f"insert into {table} values ({marks})", frame.iter_rows())


_LOAD = {"postgresql": _copy, "mariadb": _load_data, "sqlite": _insert}
