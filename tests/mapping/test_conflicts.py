"""Rows that meet rows already in the target: held by default, skipped or written over where the mapping says so."""

from __future__ import annotations

import polars as pl

from migrator.mapping import conflicts
from migrator.mapping.outcome import Mapped
from tests.mapping.engine import a_legacy, a_schema, a_set, a_table, findings, mapped, rows_of

PERSON = a_table("person", id="integer not null", email="text", name="text")
WISH = a_table("wish", id="integer not null", person_id="integer", sku="text")
ACCOUNT = a_table("account", uniques=[("email",)], id="integer not null", email="text", name="text")
WISHES = a_table("wishes", uniques=[("id", "sku")], id="integer not null", account_id="integer", sku="text")
TARGET = a_schema(ACCOUNT, WISHES)
LEGACY = a_legacy(
    PERSON,
    WISH,
    person=[{"id": n, "email": f"p{n}@x.org", "name": f"P{n}"} for n in (1, 2)],
    wish=[{"id": n * 10, "person_id": n, "sku": "A"} for n in (1, 2)],
)


def _set(conflict: str = ""):  # type: ignore[no-untyped-def]
    on_conflict = f", on_conflict: {conflict}" if conflict else ""
    accounts = (
        "mapping: accounts\nsource: {table: person, key: id, user: id}\n"
        f"target: {{table: account, id: {{keep: id}}{on_conflict}}}\n"
        "fields:\n  email: {from: email, sensitive: true}\n  name: name\n"
    )
    wishes = (
        "mapping: wishes\nsource: {table: wish, key: id, user: person_id}\n"
        "target: {table: wishes, id: {keep: id}}\n"
        "fields:\n  account_id: {lookup: accounts, by: person_id, required: true}\n  sku: sku\n"
    )
    return a_set(accounts, wishes)


def _decided(there: list[dict[str, object]], conflict: str = "", by: str = "email") -> Mapped:
    set_ = _set(conflict)
    made = mapped(set_, LEGACY, TARGET)
    frame = pl.DataFrame(there, schema={"id": pl.Int64, "email": pl.String, "name": pl.String})
    done = conflicts.decide(set_, TARGET, made, {conflicts.Meeting("accounts", "account", (by,)): frame})
    assert all(book.balanced for book in done.books.values()), done.books
    return done


def test_every_key_that_a_mapping_sets_is_looked_at_once() -> None:
    found = {(one.mapping, one.columns) for one in conflicts.meetings(_set(), TARGET)}

    # a unique key around the primary key, as that of wishes, can meet nothing else
    assert found == {("accounts", ("id",)), ("accounts", ("email",)), ("wishes", ("id",))}


def test_nothing_there_changes_nothing() -> None:
    assert rows_of(_decided([]), "accounts", "id") == [1, 2]


def test_a_row_that_is_there_holds_the_user_and_blocks_the_rest_of_his_rows() -> None:
    made = _decided([{"id": 77, "email": "p1@x.org", "name": "Early"}])

    assert made.held == {"1"}
    assert rows_of(made, "accounts", "id") == [2] and rows_of(made, "wishes", "id") == [20]
    assert findings(made, "user", "field", "rule", "value", "sensitive") == [
        ("1", "email", "on_conflict", "p1@x.org", True)
    ]
    assert (made.books["accounts"].review, made.books["wishes"].blocked) == (1, 1)


def test_skip_leaves_the_row_that_is_there() -> None:
    made = _decided([{"id": 77, "email": "p1@x.org", "name": "Early"}], "{match: [email], action: skip}")

    assert (made.held, rows_of(made, "accounts", "id"), made.books["accounts"].skipped) == (frozenset(), [2], 1)


def test_skip_if_equal_holds_where_the_row_that_is_there_says_something_else() -> None:
    rule = "{match: [email], action: skip_if_equal}"

    same = _decided([{"id": 77, "email": "p1@x.org", "name": "P1"}], rule)
    other = _decided([{"id": 77, "email": "p1@x.org", "name": "Early"}], rule)

    assert (same.held, same.books["accounts"].skipped) == (frozenset(), 1)
    assert other.held == {"1"}


def test_update_writes_over_a_row_with_the_same_primary_key() -> None:
    made = _decided([{"id": 1, "email": "old@x.org", "name": "Old"}], "{match: [id], action: update}", by="id")

    assert (made.held, rows_of(made, "accounts", "id")) == (frozenset(), [1, 2])


def test_a_null_meets_nothing() -> None:
    set_ = _set()
    legacy = a_legacy(PERSON, WISH, person=[{"id": 1, "email": None, "name": "P"}], wish=[])
    made = mapped(set_, legacy, TARGET)
    there = pl.DataFrame({"id": [7], "email": [None], "name": ["X"]}, schema_overrides={"email": pl.String})

    done = conflicts.decide(set_, TARGET, made, {conflicts.Meeting("accounts", "account", ("email",)): there})

    assert done.held == frozenset()
