"""Users whose keys and values are SQL: they move as everybody does, and nothing else happens."""

from __future__ import annotations

import json
from pathlib import Path

from tests.pairs.grounds import Ground
from tests.pairs.moving import Move

KEYS = [
    "'; drop table people; --", '"; drop table "people', "` or 1=1 -- ", "x' or '1'='1", "\\'; select 1; --", "%s", "%(key)s", ":key", "?",
    "{0}", "*/ drop table people /*", "$$; drop table people; $$", "1; select pg_sleep(9)", "sleep(9)", "null", "a\x1bb", "ключ", "李",
]  # fmt: skip
SET = (
    "set: hostile\nusers: {table: people, key: name, name: words}\n"
    "at: [{datetime: {timezone: UTC}}]\nactivity: [{table: people, user: name, at: at}]\n"
)
MAPPING = (
    "mapping: people\nsource: {table: people, key: name, user: name}\ntarget: {table: people, id: {keep: name}}\n"
    "fields: {words: words}\nignore: {at: for tiers alone}\n"
)


def test_a_user_whose_key_is_sql_is_a_user(crossed: tuple[Ground, Ground], tmp_path: Path) -> None:
    legacy, target = crossed
    legacy.table("people", {"name": "varchar(60) primary key", "words": "varchar(60)", "at": "varchar(19)"})
    target.table("people", {"name": "varchar(60) primary key", "words": "varchar(60)"})
    rows = [(key, key[::-1], "2026-01-01 10:00:00") for key in KEYS]
    legacy.insert("people", ["name", "words", "at"], rows)
    move = Move(tmp_path / "project", legacy, target, set=SET, people=MAPPING)

    move.move()
    users, arrived, found = move.users(), target.ask("select name, words from people"), move.verified()
    back = move.roll_back()
    move.close()

    assert users == dict.fromkeys(KEYS, "live"), json.dumps(users)
    assert sorted(arrived) == sorted(row[:2] for row in rows)
    assert (found.checked_rows, found.differences, found.drift) == (len(KEYS), [], [])
    assert (back.restored, back.refused, target.ask("select * from people")) == (len(KEYS), {}, [])
