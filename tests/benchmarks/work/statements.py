"""
The work as plain SQL: what a careful person would write to make the target's rows of the legacy ones.

`COPY` and `INSERT … SELECT` use it, and so does the check of every other way.
"""

from __future__ import annotations

_STATUSES = {0: "pending", 1: "active", 2: "suspended", 3: "closed"}
_ORDERS = {0: "pending", 1: "paid", 2: "shipped", 3: "completed", 4: "cancelled"}
_THEMES = {"'1'": "light", "'2'": "dark"}
_LOCALES = {"'zh'": "zh-CN", "'en'": "en-US", "'de'": "de-DE"}


def _case(column: str, values: dict[int, str] | dict[str, str]) -> str:
    return f"case {column} " + " ".join(f"when {old} then '{new}'" for old, new in values.items()) + " end"


def _of(name: str) -> str:
    """One setting of a user, of the rows that are grouped by user."""
    return f"max(case when skey = '{name}' then svalue end)"


_THEME, _LOCALE = _case(_of("theme"), _THEMES), _case(_of("lang"), _LOCALES)

#: What each database says in its own words.
WORDS = {
    "postgresql": {
        "name": "first_name || ' ' || last_name",
        "phone": "regexp_replace(phone, '[^0-9+]', '', 'g')",
        "moment": "to_timestamp({})",
        "money": "({}::numeric / 100)::numeric(12, 2)",
        "json": f"jsonb_build_object('theme', {_THEME}, 'locale', {_LOCALE}, 'newsletter', {_of('news')} = '1')",
    },
    "sqlite": {
        "name": "first_name || ' ' || last_name",
        "phone": "replace(replace(replace(replace(phone, '(', ''), ')', ''), ' ', ''), '-', '')",
        "moment": "strftime('%Y-%m-%dT%H:%M:%SZ', {}, 'unixepoch')",
        "money": "{} / 100.0",
        "json": f"json_object('theme', {_THEME}, 'locale', {_LOCALE},"
        f" 'newsletter', json(case {_of('news')} when '1' then 'true' when '0' then 'false' end))",
    },
    "duckdb": {
        "name": "first_name || ' ' || last_name",
        "phone": "regexp_replace(phone, '[^0-9+]', '', 'g')",
        "moment": "to_timestamp({})",
        "money": "cast({} / 100 as decimal(12, 2))",
        "json": f"json_object('theme', {_THEME}, 'locale', {_LOCALE}, 'newsletter', {_of('news')} = '1')",
    },
    "mariadb": {
        "name": "concat(first_name, ' ', last_name)",
        "phone": "regexp_replace(phone, '[^0-9+]', '')",
        "moment": "from_unixtime({})",
        "money": "cast({} / 100 as decimal(12, 2))",
        "json": f"json_object('theme', {_THEME}, 'locale', {_LOCALE},"
        f" 'newsletter', json_extract(if({_of('news')} = '1', 'true', 'false'), '$'))",
    },
}


def selects(dialect: str, users: tuple[int, int] | None = None) -> dict[str, str]:
    """
    A query per target table over the legacy tables, columns as the target has them.

    Args:
        users: Only those whose numbers lie between these two, both included.
    """
    words = WORDS[dialect]
    mine = f" where {{}} between {users[0]} and {users[1]}" if users else ""
    lines = f" join t_order o on o.order_id = i.order_id{mine.format('o.user_id')}" if users else ""

    def moment(column: str) -> str:
        return words["moment"].format(column)

    return {
        "accounts": f"select user_id as id, lower(trim(email)) as email, {words['name']} as full_name,"
        f" {words['phone']} as phone, {_case('status', _STATUSES)} as status, {moment('created_at')} as created_at"
        f" from t_user{mine.format('user_id')}",
        "preferences": f"select user_id as account_id, {words['json']} as settings"
        f" from t_user_setting{mine.format('user_id')} group by user_id",
        "orders": f"select order_id as id, user_id as account_id, order_no as number, {_case('status', _ORDERS)} as status,"
        f" {words['money'].format('total_cents')} as total, {moment('created_at')} as placed_at"
        f" from t_order{mine.format('user_id')}",
        "order_lines": f"select i.item_id as id, i.order_id, i.sku, i.quantity,"
        f" {words['money'].format('i.price_cents')} as unit_price from t_order_item i{lines}",
        "wishlist": f"select id, user_id as account_id, product_id, {moment('added_at')} as added_at"
        f" from t_favorite{mine.format('user_id')}",
    }
