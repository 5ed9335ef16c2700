"""Tables and columns may be called anything: what must be quoted, what looks like a parameter, what is another word."""

from __future__ import annotations

import json
from pathlib import Path

from tests.pairs.grounds import Ground, quoted
from tests.pairs.moving import LIVELY, Move, visited

TABLE = 'Odd "name" %(x)s, 100% :y'
KEY = "the `key` 100%"
NAMES = [
    "select", "group", "null", "a b", " a", 'say "hi"', "it's", "`tick`", "MiXed", "ünï 日本", "100%", "%s", "%(x)s", "%%", ":name",
    "a:b", "::text", "?", "--", "/*", "{x}", "{", "a,b", "(a)", "back\\slash", "[0]", "1st", "ñ;drop", "@v", "#", "&", "=", "true", "user",
    "false", "value", "returning", "nothing", "collation", "lateral", "portion", "excluded", "main", "via", "found", "row", "key", "meant", "kind", "column", "id",
]  # fmt: skip
SET = f"set: names\nusers: {{table: {json.dumps(TABLE)}, key: {json.dumps(KEY)}}}\n{LIVELY}"
FIELDS = "".join(
    f"  {json.dumps(name, ensure_ascii=False)}: {{from: {json.dumps(name, ensure_ascii=False)}}}\n" for name in NAMES
)
MAPPING = (
    f"mapping: names\nsource: {{table: {json.dumps(TABLE)}, key: {json.dumps(KEY)}, user: {json.dumps(KEY)}}}\n"
    f"target: {{table: {json.dumps(TABLE)}, id: {{keep: {json.dumps(KEY)}}}}}\nfields:\n{FIELDS}"
)


def test_names_that_need_quoting_are_names(pair: tuple[Ground, Ground], tmp_path: Path) -> None:
    legacy, target = pair
    for ground in pair:
        more = ["__row", "__faults", "a.b"] if ground is target else []
        ground.table(TABLE, {KEY: "integer primary key"} | dict.fromkeys([*NAMES, *more], "varchar(20)"))
    rows = [(n, *(f"{n}.{place}" for place in range(len(NAMES)))) for n in (1, 2)]
    for row in rows:
        legacy.run(f"insert into {quoted(TABLE)} values {row}")
    visited(legacy)

    move = Move(tmp_path / "project", legacy, target, set=SET, names=MAPPING)
    move.move()
    named = ", ".join(map(quoted, [KEY, *NAMES]))
    held, arrived, found = move.held(), target.ask(f"select {named} from {quoted(TABLE)}"), move.verified()
    back = move.roll_back()
    move.close()

    assert held == {}
    assert sorted(arrived) == rows
    assert (found.checked_rows, found.differences, found.drift) == (2, [], [])
    assert (back.refused, back.restored, target.ask(f"select * from {quoted(TABLE)}")) == ({}, 2, [])
