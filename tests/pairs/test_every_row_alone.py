"""A row comes out the same whichever rows stand beside it, also beside one whose value is not what its column says."""

from __future__ import annotations

from pathlib import Path

from tests.edges.databases.places import SqlitePlace
from tests.pairs.grounds import Dump, Ground
from tests.pairs.moving import LIVELY, Move, visited

SET = "set: odd\nusers: {table: thing, key: id}\n" + LIVELY
THINGS = """
mapping: thing
source: {table: thing, key: id, user: id, join: {parts: {table: part, match: {thing: id}, many: {order: id, item_key: id}}}}
target: {table: thing, id: {keep: id}}
fields:
  plain: {from: n}
  said:
    object:
      n: {from: n}
      price: {from: price}
      ratio: {from: ratio}
      ok: {from: ok}
      at: {from: at, transform: [datetime]}
      defaulted: {from: n, default: 7}
      whole: {from: n, transform: [integer], on_error: {use: -1}}
      halved: {from: price, transform: [{divide: 2}], on_error: {use: -1}}
      either: {from: [n, price], transform: [coalesce]}
      text: {from: [n, name], transform: [coalesce]}
      nothing: {from: n, transform: [{null_if: 3}]}
      mapped: {from: n, transform: [{map: {1: one, 2: 2, else: keep}}]}
      yes: {from: ok, transform: [boolean], on_error: {use: false}}
      cased: {choose: [{when: {ok: true}, from: n}, {else: {value: 0}}]}
      most: {from: parts.weight, aggregate: max}
      parts: {of: parts, collect: {weight: {from: weight}, fine: {from: fine}}, default: []}
  moment: {from: at, transform: [datetime]}
"""
ROWS = [
    (1, 1, 1.5, 0.1, 1, "2020-01-01 10:00:00", "a"),
    (2, 2, 2, 2.5, 0, "2020-01-01 10:00:00+02:00", "b"),
    (3, 3, -1.25, 1e10, None, None, None),
    (4, None, None, None, 1, "2020-06-01 10:00:00.5", "d"),
]
ODD = [
    (5, "abc", "n/a", "?", "maybe", "2020-02-02 00:00:00", "e"),
    (6, 6, 1e30, 1e-30, "true", "2020-01-01T10:00:00Z", "f"),
]
PARTS = [
    (n * 10 + place, n, weight, fine)
    for n in range(1, 7)
    for place, (weight, fine) in enumerate([(n, 1), (n + 0.5, 0)])
]


def moved(folder: Path, batch_users: int) -> tuple[Dump, dict[str, list[str]]]:
    legacy, target = (Ground("sqlite", SqlitePlace(_made(folder / role))) for role in ("legacy", "target"))
    columns = {
        "n": "integer",
        "price": "numeric(9, 2)",
        "ratio": "real",
        "ok": "boolean",
        "at": "datetime",
        "name": "text",
    }
    legacy.table("thing", {"id": "integer primary key"} | columns)
    legacy.table("part", {"id": "integer primary key", "thing": "integer", "weight": "numeric", "fine": "boolean"})
    legacy.run("create index part_thing on part (thing)")
    legacy.insert("thing", ["id", *columns], [*ROWS, *ODD])
    legacy.insert("part", ["id", "thing", "weight", "fine"], [*PARTS, (99, 5, "heavy", "x")])
    visited(legacy)
    target.table("thing", {"id": "integer primary key", "plain": "text", "said": "text", "moment": "datetime"})
    move = Move(folder / "project", legacy, target, set=SET, thing=THINGS)
    move.move(batch_users=batch_users, max_held=1.0)
    found, held, differences = target.dump(), move.held(), move.verified().differences
    move.close()
    assert differences == []
    return found, held


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def test_rows_together_come_out_as_each_does_alone(tmp_path: Path) -> None:
    together, alone = moved(tmp_path / "together", 50), moved(tmp_path / "alone", 1)

    assert together == alone
    assert len(together[0]["thing"]) == 6
    assert '"n":1,"price":1.5,"ratio":0.1,"ok":true,' in str(together)
