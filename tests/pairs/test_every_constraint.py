"""What a target asks of its rows, between every two databases: keys, references, circles, checks, triggers."""

from __future__ import annotations

from pathlib import Path

from tests.pairs.grounds import Ground
from tests.pairs.moving import LIVELY, Move, visited

SET = "set: club\nusers: {table: person, key: id, email: email}\n" + LIVELY
ALONE = SET.replace("tables: {", "tables: {item: not moved here, ")
ACCOUNTS = """
mapping: account
source: {table: person, key: id, user: id}
target: {table: account, id: {uuid5: id}}
fields:
  email: {from: email, required: true, sensitive: true}
  name: {from: name}
"""
ITEMS = """
mapping: item
source: {table: item, key: id, user: person}
target: {table: item, id: {fields: [account_id, no]}}
fields:
  account_id: {lookup: account, by: person, required: true}
  no: {from: no, required: true}
  parent: {from: parent}
"""
IDENTITY = {
    "sqlite": "integer default 7",
    "postgresql": "bigint generated always as identity",
    "mysql": "bigint auto_increment unique",
}
#: By item its number and the number of the one above it: a tree, one that is above itself, two above each other.
ITEMS_OF_EACH = {1: None, 2: 1, 3: 2, 4: 4, 5: 6, 6: 5, 7: None}
PEOPLE = range(1, 6)


def filled(legacy: Ground) -> None:
    legacy.table(
        "person",
        {"id": "integer primary key", "email": "varchar(60) not null", "name": "varchar(40)", "best": "integer"},
    )
    legacy.table("item", {"id": "integer primary key", "person": "integer", "no": "integer", "parent": "integer"})
    legacy.run("create index item_person on item (person)")
    legacy.insert("person", ["id", "email", "name", "best"], [(n, f"p{n}@x.org", f"name {n}", 7) for n in PEOPLE])
    rows = [(n * 10 + no, n, no, parent) for n in PEOPLE for no, parent in reversed(ITEMS_OF_EACH.items())]
    legacy.insert("item", ["id", "person", "no", "parent"], rows)
    visited(legacy)


def accounts(target: Ground, *more: str, **columns: str) -> None:
    target.table(
        "account",
        {"id": "varchar(36) not null primary key", "email": "varchar(60) not null", "name": "varchar(40)", **columns},
        *more,
    )


def emails(target: Ground) -> list[str]:
    return sorted(str(email) for (email,) in target.ask("select email from account"))


def everybody(*but: int) -> list[str]:
    return [f"p{n}@x.org" for n in PEOPLE if n not in but]


def test_composite_keys_and_rows_that_point_at_each_other(pair: tuple[Ground, Ground], tmp_path: Path) -> None:
    legacy, target = pair
    filled(legacy)
    upper = "varchar(40) generated always as (upper(name)) stored"
    accounts(target, loud=upper, best="integer", no=IDENTITY[target.dialect])
    target.table(
        "item",
        {"account_id": "varchar(36) not null", "no": "integer not null", "parent": "integer"},
        "primary key (account_id, no)",
        "foreign key (account_id) references account (id)",
        "foreign key (account_id, parent) references item (account_id, no)",
    )
    circle = target.dialect == "postgresql"
    if circle:
        target.run(
            "alter table account add foreign key (id, best) references item (account_id, no)"
            " deferrable initially deferred"
        )
    before = target.dump()

    move = Move(tmp_path / "p", legacy, target, set=SET, account=ACCOUNTS + "  best: {from: best}\n", item=ITEMS)
    move.move()
    held, found = move.held(), move.verified()
    arrived = target.ask(
        "select email, i.no, parent, loud, best from account a join item i on i.account_id = a.id order by 1, 2"
    )
    counted = target.ask("select distinct no from account order by 1")
    back = move.roll_back()
    after = target.dump()
    move.close()

    assert held == {}
    assert arrived == [
        (f"p{n}@x.org", no, parent, f"NAME {n}", 7) for n in PEOPLE for no, parent in ITEMS_OF_EACH.items()
    ]
    assert [no for (no,) in counted] == ([7] if target.dialect == "sqlite" else [1, 2, 3, 4, 5])
    assert (found.checked_rows, found.differences, found.drift) == (40, [], [])
    assert (back.restored, back.refused, after) == (5, {}, before)


def test_a_circle_of_two_tables_needs_a_key_that_can_wait(crossed: tuple[Ground, Ground], tmp_path: Path) -> None:
    legacy, target = crossed
    filled(legacy)
    waits = "" if target.dialect == "mysql" else " deferrable initially deferred"
    circle = f"foreign key (id, best) references item (account_id, no){waits}"
    accounts(target, *([circle] if target.dialect == "sqlite" else []), best="integer")
    target.table(
        "item",
        {"account_id": "varchar(36) not null references account (id)", "no": "integer not null", "parent": "integer"},
        "primary key (account_id, no)",
        "foreign key (account_id) references account (id)",
    )
    if target.dialect != "sqlite":
        target.run(f"alter table account add {circle}")

    move = Move(tmp_path / "p", legacy, target, set=SET, account=ACCOUNTS + "  best: {from: best}\n", item=ITEMS)
    problems = move.linted()
    if target.dialect != "mysql":
        move.move()
    arrived, back = emails(target), move.roll_back() if target.dialect != "mysql" else None
    move.close()

    if target.dialect == "mysql":
        assert [problem[:4] for problem in problems] == ["E509"]
    else:
        assert (problems, arrived) == ([], everybody())
        assert back is not None and (back.restored, emails(target)) == (5, [])


def test_who_breaks_a_constraint_stays_behind_alone_with_its_cause(pair: tuple[Ground, Ground], tmp_path: Path) -> None:
    legacy, target = pair
    filled(legacy)
    legacy.run("update person set name = 'far too loud' where id = 4")
    accounts(target, "constraint quiet check (length(name) < 10)")
    # no key that could be asked beforehand: the database alone knows that these two are one
    unique = "email" if target.dialect == "mysql" else "lower(email)"
    target.run(f"create unique index one_each on account ({unique})")
    target.run("insert into account (id, email) values ('old', 'P2@X.ORG')")
    before = target.dump()

    move = Move(tmp_path / "p", legacy, target, set=ALONE, account=ACCOUNTS + "ignore: {best: of the other tests}\n")
    move.move()
    users, held, arrived, found = move.users(), move.held(), emails(target), move.verified()
    back = move.roll_back()
    after = target.dump()
    move.close()

    assert {key for key, status in users.items() if status == "failed"} == {"2", "4"}
    assert {key for key, status in users.items() if status == "live"} == {"1", "3", "5"}
    assert arrived == ["P2@X.ORG", *everybody(2, 4)]
    causes = {key: cause for cause, keys in held.items() for key in keys}
    assert set(causes) == {"2", "4"}
    assert "quiet" in causes["4"]
    assert "one_each" in causes["2"]
    assert (found.differences, back.restored, after) == ([], 3, before)


TRIGGERS = {
    "sqlite": (
        "create trigger meddles after insert on account begin update account set name = {} where id = new.id; end"
    ),
    "postgresql": (
        "create function meddle() returns trigger language plpgsql as $$ begin new.name := {}; return new; end $$;"
        "create trigger meddles before insert on account for each row execute function meddle()"
    ),
    "mysql": "create trigger meddles before insert on account for each row set new.name = {}",
}


def test_a_trigger_that_changes_what_was_written_is_found(pair: tuple[Ground, Ground], tmp_path: Path) -> None:
    users, held, arrived = beside_a_trigger(pair, tmp_path, "upper({})")

    assert (set(users.values()), arrived) == ({"failed"}, [])
    assert held == {"name read back": [str(n) for n in PEOPLE]}


def test_a_trigger_that_makes_no_difference_is_none_of_our_business(
    crossed: tuple[Ground, Ground], tmp_path: Path
) -> None:
    users, held, arrived = beside_a_trigger(crossed, tmp_path, "{}")

    assert (set(users.values()), held, arrived) == ({"live"}, {}, everybody())


def beside_a_trigger(
    pair: tuple[Ground, Ground], folder: Path, makes: str
) -> tuple[dict[str, str], dict[str, list[str]], list[str]]:
    """Who is where, and what is in the way, when a trigger of the target makes something of each name."""
    legacy, target = pair
    filled(legacy)
    accounts(target)
    target.run(TRIGGERS[target.dialect].format(makes.format("name" if target.dialect == "sqlite" else "new.name")))
    move = Move(folder / "p", legacy, target, set=ALONE, account=ACCOUNTS + "ignore: {best: of the other tests}\n")
    move.move()
    users, held = move.users(), move.held()
    move.close()
    return users, held, emails(target)
