"""
What the Magento shop holds before and after, asked in plain SQL.

The oracle shares no line with the program it judges: `sqlite3`, `psycopg` and SQL, nothing else. It also plants: small
damage in a target, dirt in a copy of the legacy file, rows that live in the target before anybody moves.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

ZERO = "0000-00-00 00:00:00"
#: Accounts of the new system itself carry legacy ids from here on; no customer has one.
FIRST_NATIVE = 900_000_000

Facts = dict[str, dict[int, tuple[Any, ...]]]


class Target(Protocol):
    """The new schema in some database, as far as the oracle needs it."""

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]: ...
    def run(self, sql: str, *values: object) -> int: ...
    def tables(self) -> list[str]: ...
    def shape(self) -> list[str]: ...
    def lines(self, table: str) -> Iterator[str]: ...
    def utc(self, column: str) -> str: ...
    def length(self, column: str) -> str: ...
    def item_sum(self, column: str, key: str) -> str: ...


@dataclass(frozen=True)
class SqliteTarget:
    """The new schema in a SQLite file."""

    path: Path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=40)) as db, db:
            yield db

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self._open() as db:
            return db.execute(sql, values).fetchall()

    def run(self, sql: str, *values: object) -> int:
        with self._open() as db:
            return db.execute(sql, values).rowcount

    def tables(self) -> list[str]:
        return [name for (name,) in self.rows("select name from sqlite_master where type = 'table' order by 1")]

    def shape(self) -> list[str]:
        ours = "name not like 'migrator\\_%' escape '\\' and tbl_name not like 'migrator\\_%' escape '\\'"
        return [
            sql for (sql,) in self.rows(f"select sql from sqlite_master where sql is not null and {ours} order by 1")
        ]

    def lines(self, table: str) -> Iterator[str]:
        with self._open() as db:
            # quote() keeps the storage class: 1, 1.0 and '1' are three different things
            columns = [row[1] for row in db.execute(f'pragma table_xinfo("{table}")')]
            quoted = ", ".join(f'quote("{column}")' for column in columns)
            for row in db.execute(f'select {quoted} from "{table}"'):
                yield "|".join(row)

    def utc(self, column: str) -> str:
        return column

    def length(self, column: str) -> str:
        return f"json_array_length({column})"

    def item_sum(self, column: str, key: str) -> str:
        return f"(select sum(json_extract(value, '$.{key}')) from json_each({column}))"


@dataclass(frozen=True)
class PostgresqlTarget:
    """The new schema in a PostgreSQL database."""

    url: str
    schema: str = "shop"

    @contextmanager
    def _open(self) -> Iterator[Any]:
        import psycopg

        with psycopg.connect(_libpq(self.url), options=f"-c search_path={self.schema} -c timezone=UTC") as db:
            yield db

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self._open() as db:
            return list(db.execute(_placeholders(sql, values), values or None).fetchall())

    def run(self, sql: str, *values: object) -> int:
        with self._open() as db:
            return int(db.execute(_placeholders(sql, values), values or None).rowcount)

    def tables(self) -> list[str]:
        found = self.rows("select table_name from information_schema.tables where table_schema = ?", self.schema)
        return sorted(name for (name,) in found)

    def shape(self) -> list[str]:
        columns = self.rows(
            "select table_name, column_name, data_type, is_nullable, coalesce(column_default, ''), is_generated"
            " from information_schema.columns where table_schema = ?",
            self.schema,
        )
        indexes = self.rows("select tablename, indexdef from pg_indexes where schemaname = ?", self.schema)
        return sorted("|".join(row) for row in [*columns, *indexes] if not row[0].startswith("migrator_"))

    def lines(self, table: str) -> Iterator[str]:
        with self._open() as db, db.cursor(name="dump") as cursor:
            cursor.execute(f'select t::text from "{table}" t')
            for (line,) in cursor:
                yield line

    def utc(self, column: str) -> str:
        return f"to_char({column} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"

    def length(self, column: str) -> str:
        return f"jsonb_array_length({column})"

    def item_sum(self, column: str, key: str) -> str:
        return f"(select sum((value ->> '{key}')::bigint) from jsonb_array_elements({column}))"


def _placeholders(sql: str, values: tuple[object, ...]) -> str:
    return sql.replace("%", "%%").replace("?", "%s") if values else sql


def _libpq(url: str) -> str:
    """A `postgresql+driver://` address as libpq likes it."""
    scheme, rest = url.split("://", 1)
    return f"{scheme.split('+')[0]}://{rest}"


def target(url: str) -> Target:
    """The target that a `[target] url` names; SQLite paths must be absolute."""
    if url.startswith("sqlite"):
        return SqliteTarget(Path(unquote(urlsplit(url).path).replace("//", "/")))
    return PostgresqlTarget(url)


# ---------------------------------------------------------------- what is true of every customer

#: Money in ten-thousandths: whole numbers add up exactly in any database.
_MONEY = "cast(round({} * 10000) as bigint)"

_LEGACY: dict[str, str] = {
    "account": f"""
        select c.entity_id, case c.website_id when 1 then 'main' when 2 then 'wholesale' end, lower(trim(c.email)),
               case c.is_active when 1 then 'active' else 'disabled' end,
               case c.group_id when 1 then 'general' when 2 then 'wholesale' when 3 then 'retailer' end,
               replace(coalesce(nullif(c.created_at, '{ZERO}'),
                   (select min(nullif(o.created_at, '{ZERO}')) from sales_flat_order o where o.customer_id = c.entity_id)),
                   ' ', 'T') || 'Z'
        from customer_entity c""",
    "password": """
        select v.entity_id, case when instr(v.value, ':') then
                   '$legacy$' || case instr(v.value, ':') when 33 then 'md5-salted' else 'sha256-salted' end || '$'
                   || substr(v.value, instr(v.value, ':') + 1) || '$' || substr(v.value, 1, instr(v.value, ':') - 1)
               else '$legacy$md5$$' || v.value end
        from customer_entity_varchar v join eav_attribute a using (attribute_id)
        where a.attribute_code = 'password_hash' and a.entity_type_id = 1 and v.value <> ''""",
    "given name": """
        select v.entity_id, trim(v.value)
        from customer_entity_varchar v join eav_attribute a using (attribute_id)
        where a.attribute_code = 'firstname' and a.entity_type_id = 1 and trim(v.value) <> ''""",
    "newsletter": """
        select c.entity_id, case s.subscriber_status when 1 then 'subscribed' when 3 then 'unsubscribed' else 'none' end
        from customer_entity c left join newsletter_subscriber s on s.customer_id = c.entity_id""",
    "addresses": """
        select e.parent_id, count(*),
               sum(e.entity_id = (select i.value from customer_entity_int i join eav_attribute a using (attribute_id)
                                  where i.entity_id = e.parent_id and a.attribute_code = 'default_billing'))
        from customer_address_entity e group by 1""",
    "country": """
        select e.parent_id, case v.value when 'United Kingdom' then 'GB' when 'EIRE' then 'IE' when 'RSA' then 'ZA' end
        from customer_address_entity e join customer_address_entity_varchar v using (entity_id)
             join eav_attribute a using (attribute_id)
        where a.attribute_code = 'country_id' and v.value in
              ('United Kingdom', 'EIRE', 'RSA', 'Unspecified', 'Channel Islands', 'European Community')""",
    "orders": f"""
        select customer_id, count(*), sum({_MONEY.format("grand_total")}), sum(total_item_count),
               replace(min(created_at), ' ', 'T') || 'Z', min(increment_id), max(increment_id)
        from sales_flat_order where customer_id is not null group by 1""",
    "cancelled orders": f"""
        select customer_id, count(*), sum({_MONEY.format("grand_total")})
        from sales_flat_order where customer_id is not null and status = 'canceled' group by 1""",
    "order lines": f"""
        select o.customer_id, count(*), sum(i.qty_ordered), sum(i.qty_ordered * {_MONEY.format("i.price")}),
               sum(coalesce(i.product_options like '%}}}}', 0)), min(i.sku), sum(coalesce(length(i.name), 0))
        from sales_flat_order_item i join sales_flat_order o on o.entity_id = i.order_id
        where o.customer_id is not null group by 1""",
    "carts": f"""
        select q.customer_id, count(distinct q.entity_id), sum(q.total), sum(q.items), sum(q.quantity)
        from (select entity_id, customer_id, {_MONEY.format("grand_total")} total,
                     (select count(*) from sales_flat_quote_item i where i.quote_id = q.entity_id) items,
                     (select coalesce(sum(qty), 0) from sales_flat_quote_item i where i.quote_id = q.entity_id) quantity
              from sales_flat_quote q where is_active = 1 and customer_id is not null) q group by 1""",
    "wishes": """
        select w.customer_id, count(distinct i.product_id), sum(i.qty), sum(i.product_id)
        from wishlist_item i join wishlist w using (wishlist_id) group by 1""",
    "views": """
        select subject_id, count(*), sum(object_id), replace(max(logged_at), ' ', 'T') || 'Z'
        from report_event where event_type_id = 1 and subtype = 0 group by 1""",
}


def _target_queries(db: Target) -> dict[str, str]:
    of_account = "join accounts a on a.id = t.account_id"
    return {
        "account": f"select legacy_id, site, email, status, customer_group, {db.utc('created_at')} from accounts a",
        "password": "select legacy_id, password_hash from accounts a where password_hash is not null",
        "given name": f"select legacy_id, given_name from profiles t {of_account} where given_name is not null",
        "newsletter": f"select legacy_id, settings ->> 'newsletter' from preferences t {of_account}",
        "addresses": f"select legacy_id, count(*), sum(case when is_default then 1 else 0 end)"
        f" from addresses t {of_account} group by 1",
        "country": f"select legacy_id, country from addresses t {of_account}"
        " where country in ('GB', 'IE', 'ZA') or country is null",
        "orders": f"select legacy_id, count(*), sum({_MONEY.format('total')}), sum(line_count),"
        f" min({db.utc('placed_at')}), min(number {by_code_point(db)}), max(number {by_code_point(db)})"
        f" from orders t {of_account} group by 1",
        "cancelled orders": f"select legacy_id, count(*), sum({_MONEY.format('total')})"
        f" from orders t {of_account} where t.status = 'cancelled' group by 1",
        "order lines": f"select legacy_id, count(*), sum(quantity), sum(quantity * {_MONEY.format('unit_price')}),"
        f" count(options), min(sku {by_code_point(db)}), sum(coalesce(length(title), 0))"
        f" from order_lines t {of_account} group by 1",
        "carts": f"select legacy_id, count(*), sum({_MONEY.format('total')}), sum({db.length('items')}),"
        f" sum(coalesce({db.item_sum('items', 'quantity')}, 0)) from carts t {of_account} group by 1",
        "wishes": f"select legacy_id, count(*), sum(quantity), sum(product_id)"
        f" from wishlist_items t {of_account} group by 1",
        "views": f"select legacy_id, count(*), sum(product_id), max({db.utc('occurred_at')})"
        f" from events t {of_account} group by 1",
    }


def by_code_point(db: Target) -> str:
    """Compare text by code point, as SQLite does."""
    return 'collate "C"' if isinstance(db, PostgresqlTarget) else ""


def legacy_facts(path: Path) -> Facts:
    """What the legacy file says of every customer: one dict per kind of thing, the customer's number -> figures."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return {name: _by_customer(name, db.execute(sql).fetchall()) for name, sql in _LEGACY.items()}


def target_facts(db: Target) -> Facts:
    """The same of the target, of customers that came from legacy."""
    return {
        name: {key: value for key, value in _by_customer(name, db.rows(sql)).items() if key < FIRST_NATIVE}
        for name, sql in _target_queries(db).items()
    }


def _by_customer(name: str, rows: Sequence[tuple[Any, ...]]) -> dict[int, tuple[Any, ...]]:
    if name == "country":  # one customer may have several addresses
        found: dict[int, tuple[Any, ...]] = {}
        for customer, country in rows:
            found[customer] = tuple(sorted([*found.get(customer, ()), country or ""]))
        return found
    return {customer: tuple(values) for customer, *values in rows}


def without(facts: Facts, users: set[int]) -> Facts:
    """The same facts, of everybody else."""
    return {name: {user: row for user, row in rows.items() if user not in users} for name, rows in facts.items()}


def unlike(meant: Facts, found: Facts, most: int = 5) -> list[str]:
    """Say where two books of facts differ, a few lines per kind; nothing means equal."""
    said = []
    for name, rows in meant.items():
        other = found[name]
        wrong = [user for user in sorted(rows.keys() | other.keys()) if rows.get(user) != other.get(user)]
        said += [f"{name} of {user}: legacy {rows.get(user)}, target {other.get(user)}" for user in wrong[:most]]
        if len(wrong) > most:
            said.append(f"{name}: {len(wrong)} customers differ in all")
    return said


def customers(path: Path) -> list[int]:
    """Every customer of the legacy file."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return [key for (key,) in db.execute("select entity_id from customer_entity order by 1")]


def all_orders(path: Path) -> int:
    """Orders of customers and guests."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return int(db.execute("select count(*) from sales_flat_order").fetchone()[0])


def guests_orders(path: Path) -> int:
    """Orders that belong to no customer."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return int(db.execute("select count(*) from sales_flat_order where customer_id is null").fetchone()[0])


def guests_lines(path: Path) -> int:
    """Lines of such orders."""
    sql = "select count(*) from sales_flat_order_item where order_id in (select entity_id from sales_flat_order where customer_id is null)"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return int(db.execute(sql).fetchone()[0])


# ---------------------------------------------------------------- whole tables, before and after


class Dump(NamedTuple):
    """A table as it stands: how many rows, and a digest of all of them in order."""

    rows: int
    digest: str


def dump(db: Target) -> dict[str, Dump]:
    """Every table but `migrator_*`, and the shape of the schema; equal dumps are equal databases."""
    tables = [name for name in db.tables() if not name.startswith(("migrator_", "sqlite_"))]
    found = {name: _digest(sorted(db.lines(name))) for name in tables}
    return found | {"(schema)": _digest(db.shape())}


def _digest(lines: list[str]) -> Dump:
    digest = hashlib.blake2b(digest_size=16)
    for line in lines:
        digest.update(line.encode() + b"\n")
    return Dump(len(lines), digest.hexdigest())


def ledger(db: Target) -> list[tuple[str, int, str]]:
    """User, generation and last act of everybody the ledger knows."""
    return [
        (str(user), int(generation), str(op))
        for user, generation, op in db.rows("select user_key, generation, op from migrator_ledger order by 1")
    ]


def settle_natives(db: Target) -> None:
    """Three accounts that the new system already has, with an order, a cart and a wish: nobody may touch them."""
    for n in range(3):
        account = f"00000000-0000-4000-8000-00000000000{n}"
        order = f"00000000-0000-4000-8000-00000000001{n}"
        cart = f"00000000-0000-4000-8000-00000000002{n}"
        db.run(
            "insert into accounts (id, legacy_id, site, email, status, customer_group, created_at)"
            " values (?, ?, 'main', ?, 'active', 'general', '2012-01-01T00:00:00Z')",
            account, FIRST_NATIVE + n, f"native{n}@new.example",
        )  # fmt: skip
        db.run("insert into profiles (account_id, given_name) values (?, ?)", account, f"Native {n}")
        db.run(
            "insert into orders (id, number, account_id, status, currency, total, line_count, placed_at)"
            " values (?, ?, ?, 'open', 'GBP', 12.3400, 0, '2012-01-02T00:00:00Z')",
            order, f"NEW-{n}", account,
        )  # fmt: skip
        db.run("insert into carts (id, account_id, items, total) values (?, ?, '[]', 0)", cart, account)
        db.run("insert into wishlist_items (account_id, product_id, quantity) values (?, 17, 1)", account)


# ---------------------------------------------------------------- small damage in the target


@dataclass(frozen=True)
class Planted:
    """One thing that was changed behind the migrator's back, and how to put it back."""

    table: str
    customer: int
    column: str | None  # None: the row is gone
    undo: Callable[[], object] = field(compare=False, repr=False)


def plant(db: Target) -> list[Planted]:
    """One cent more, one row gone, one trailing blank, one flag flipped: of four customers."""
    taken: set[int] = set()
    return [_one_cent(db, taken), _one_row(db, taken), _one_blank(db, taken), _one_flag(db, taken)]


def _pick(db: Target, taken: set[int], sql: str) -> tuple[Any, ...]:
    """The first row of a customer who has not been chosen yet; the customer comes first."""
    row = next(row for row in db.rows(f"{sql} order by 1, 2") if row[0] not in taken and row[0] < FIRST_NATIVE)
    taken.add(row[0])
    return row


def _one_cent(db: Target, taken: set[int]) -> Planted:
    customer, key = _pick(db, taken, "select legacy_id, t.id from orders t join accounts a on a.id = t.account_id")
    before = db.rows("select total from orders where id = ?", key)[0][0]
    db.run("update orders set total = total + 0.01 where id = ?", key)
    return Planted("orders", customer, "total", lambda: db.run("update orders set total = ? where id = ?", before, key))


def _one_row(db: Target, taken: set[int]) -> Planted:
    columns = "t.id, t.account_id, t.kind, t.product_id, t.occurred_at"
    customer, *row = _pick(
        db, taken, f"select legacy_id, {columns} from events t join accounts a on a.id = t.account_id"
    )
    db.run("delete from events where id = ?", row[0])
    back = "insert into events (id, account_id, kind, product_id, occurred_at) values (?, ?, ?, ?, ?)"
    return Planted("events", customer, None, lambda: db.run(back, *row))


def _one_blank(db: Target, taken: set[int]) -> Planted:
    customer, key = _pick(
        db, taken,
        "select legacy_id, t.account_id from profiles t join accounts a on a.id = t.account_id"
        " where given_name is not null",
    )  # fmt: skip
    db.run("update profiles set given_name = given_name || ' ' where account_id = ?", key)
    back = "update profiles set given_name = rtrim(given_name) where account_id = ?"
    return Planted("profiles", customer, "given_name", lambda: db.run(back, key))


def _one_flag(db: Target, taken: set[int]) -> Planted:
    customer, key = _pick(db, taken, "select legacy_id, t.id from addresses t join accounts a on a.id = t.account_id")
    flip = "update addresses set is_default = not is_default where id = ?"
    db.run(flip, key)
    return Planted("addresses", customer, "is_default", lambda: db.run(flip, key))


# ---------------------------------------------------------------- dirt in a copy of the legacy file


@dataclass(frozen=True)
class Dirt:
    """Who was made dirty, by kind; nobody twice. Values are what stands in the file now."""

    groups: dict[int, int]
    emails: dict[int, str]
    pairs: list[tuple[int, int]]
    statuses: dict[int, str]
    totals: dict[int, int]

    @property
    def users(self) -> set[int]:
        """Everybody who must be held."""
        paired = {user for pair in self.pairs for user in pair}
        return {*self.groups, *self.emails, *paired, *self.statuses, *self.totals}


def soil(path: Path) -> Dirt:
    """Make 60 customers dirty, each in one way; *path* must be a copy."""
    with closing(sqlite3.connect(path)) as db, db:
        ids = _plain_customers(db)
        take = iter(ids)
        dirt = Dirt(
            groups={next(take): 99 for _ in range(30)},
            emails={(user := next(take)): f"nobody {user}" for _ in range(10)},
            pairs=[(next(take), next(take)) for _ in range(5)],
            statuses={next(take): "fraud" for _ in range(7)},
            totals={next(take): 10**12 for _ in range(3)},
        )
        _each(db, "update customer_entity set group_id = ? where entity_id = ?", dirt.groups)
        _each(db, "update customer_entity set email = ? where entity_id = ?", dirt.emails)
        for first, second in dirt.pairs:
            db.execute(
                "update customer_entity set email = (select upper(email) from customer_entity where entity_id = ?)"
                " where entity_id = ?", (first, second),
            )  # fmt: skip
        first_order = "entity_id = (select min(entity_id) from sales_flat_order where customer_id = ?)"
        _each(db, f"update sales_flat_order set status = ? where {first_order}", dirt.statuses)
        _each(db, f"update sales_flat_order set grand_total = ? where {first_order}", dirt.totals)
    return dirt


def clean(path: Path, original: Path, users: set[int]) -> None:
    """Give *users* back what the original file says of them: e-mail, group, and the orders' status and total."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("attach ? as original", (str(original),))
        with db:
            for user in sorted(users):
                db.execute(
                    "update customer_entity as c set (email, group_id) ="
                    " (select o.email, o.group_id from original.customer_entity o where o.entity_id = c.entity_id)"
                    " where c.entity_id = ?", (user,),
                )  # fmt: skip
                db.execute(
                    "update sales_flat_order as c set (status, grand_total) ="
                    " (select o.status, o.grand_total from original.sales_flat_order o where o.entity_id = c.entity_id)"
                    " where c.customer_id = ?", (user,),
                )  # fmt: skip


def mend(path: Path, original: Path, dirt: Dirt) -> None:
    """Put right in the file what nobody can decide: e-mails, shared e-mails, totals."""
    paired = {user for pair in dirt.pairs for user in pair}
    clean(path, original, {*dirt.emails, *paired, *dirt.totals})


def decide(path: Path, dirt: Dirt, *, group: int, status: str) -> None:
    """Write into the file what a person decided for unknown groups and statuses, as if it had always said so."""
    with closing(sqlite3.connect(path)) as db, db:
        for user, value in dirt.groups.items():
            db.execute(
                "update customer_entity set group_id = ? where entity_id = ? and group_id = ?", (group, user, value)
            )
        for user, unknown in dirt.statuses.items():
            db.execute(
                "update sales_flat_order set status = ? where customer_id = ? and status = ?", (status, user, unknown)
            )


def _plain_customers(db: sqlite3.Connection) -> list[int]:
    """Customers with an order, on website 1, whose e-mail nobody else has; spread over the file."""
    found = db.execute(
        "select min(c.entity_id) from customer_entity c"
        " where exists (select 1 from sales_flat_order o where o.customer_id = c.entity_id)"
        " group by lower(c.email) having count(*) = 1 and min(c.website_id) = 1 order by 1"
    ).fetchall()
    step = max(1, len(found) // 70)
    return [key for (key,) in found[::step]]


def _each(db: sqlite3.Connection, sql: str, values: dict[int, Any]) -> None:
    for user, value in values.items():
        changed = db.execute(sql, (value, user)).rowcount
        assert changed == 1, f"{sql} changed {changed} rows for {user}"
