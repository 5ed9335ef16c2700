"""Every type with its hardest values, between every two databases: arrived as an independent look says, and gone again."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.pairs.grounds import Ground, quoted
from tests.pairs.moving import LIVELY, Move, visited
from tests.pairs.zoo import COLOURS, SORTS, Sort

SET = "set: zoo\nusers: {table: zoo, key: id}\n" + LIVELY


def mapping(sorts: tuple[Sort, ...]) -> str:
    fields = "\n".join(f"  {sort.name}: {{from: {sort.name}, transform: [{sort.steps}]}}" for sort in sorts)
    return (
        "mapping: zoo\nsource: {table: zoo, key: id, user: id}\n"
        f"target: {{table: zoo, id: {{keep: id}}, on_conflict: {{match: [id], action: update}}}}\nfields:\n{fields}\n"
    )


def built(ground: Ground) -> None:
    if ground.dialect == "postgresql":
        words = ", ".join("'" + word.replace("'", "''") + "'" for word in COLOURS)
        ground.run(f"create type colour as enum ({words})")
    ground.table("zoo", {"id": "integer primary key"} | {sort.name: sort.type_(ground.dialect) for sort in SORTS})


def filled(ground: Ground, other: Ground) -> int:
    """Each value of each sort that both databases can hold stands in some row, and a null of each in another."""
    columns = [[None, *sort.between(ground.dialect, other.dialect)] for sort in SORTS]
    height = max(map(len, columns))
    _insert(ground, columns, list(range(height)))
    return height


def there_before(ground: Ground, height: int) -> None:
    """Under every other id of ours stands a row already, with every value that this database can hold."""
    columns = [[*filter(_comes_back, sort.between(ground.dialect)), None] for sort in SORTS]
    _insert(ground, columns, list(range(0, 2 * height, 2)))


def _comes_back(value: Any) -> bool:
    """A zero has no sign to us."""
    return not isinstance(value, float) or value != 0 or math.copysign(1, value) > 0


def _insert(ground: Ground, columns: list[list[Any]], ids: list[int]) -> None:
    rows = [
        (id_, *(_bound(values[n % len(values)], sort, ground) for values, sort in zip(columns, SORTS, strict=True)))
        for n, id_ in enumerate(ids)
    ]
    ground.insert("zoo", ["id", *(sort.name for sort in SORTS)], rows)


def _bound(value: Any, sort: Sort, ground: Ground) -> Any:
    """As the driver takes it."""
    if value is None:
        return None
    if ground.dialect in sort.put:
        return sort.put[ground.dialect](value)
    if ground.dialect != "sqlite":
        return value
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


def seen(ground: Ground, height: int) -> dict[str, list[Any]]:
    """What each column means, row by row, to somebody who knows nothing of the program."""
    plain = "{}::text" if ground.dialect == "postgresql" else "{}"
    said = [sort.printed.get(ground.dialect, plain).format(quoted(sort.name)) for sort in SORTS]
    columns = zip(*ground.ask(f"select {', '.join(said)} from zoo where id < {height} order by id"), strict=True)
    return {
        sort.name: [None if raw is None else sort.means(raw) for raw in column]
        for sort, column in zip(SORTS, columns, strict=True)
    }


def test_every_value_arrives_and_goes_back(pair: tuple[Ground, Ground], tmp_path: Path) -> None:
    legacy, target = pair
    built(legacy)
    built(target)
    height = filled(legacy, target)
    visited(legacy)
    there_before(target, height)
    before = target.dump()

    move = Move(tmp_path / "project", legacy, target, set=SET, zoo=mapping(SORTS))
    move.move(batch_users=40)
    held, users = move.held(), move.users()
    there, arrived = seen(legacy, height), seen(target, height)
    found, gone = move.verified(), move.roll_back()
    after = target.dump()
    move.close()

    assert held == {}
    assert set(users.values()) == {"live"}
    for sort in SORTS:
        values = [None, *sort.between(legacy.dialect, target.dialect)]
        meant = [values[n % len(values)] for n in range(height)]
        assert there[sort.name] == [None if value is None else sort.means(value) for value in meant], sort.name
        assert arrived[sort.name] == there[sort.name], sort.name
    assert (found.checked_rows, found.differences, found.drift) == (height, [], [])
    assert (gone.restored, gone.refused, after) == (height, {}, before)
