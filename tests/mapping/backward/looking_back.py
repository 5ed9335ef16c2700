"""A round: rows of legacy moved, changed in the new system, carried back, and legacy read again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from migrator.mapping import backward, compare, compile
from migrator.mapping.ids import SEPARATOR
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Context, SourceRows
from migrator.mapping.schema import Schema
from migrator.mapping.values import text
from tests.mapping.engine import PLAN, Legacy, sources

Change = Callable[[pl.DataFrame], pl.DataFrame]


@dataclass
class Round:
    """Everybody was moved; `now` is the target since."""

    set: MappingSet
    legacy: Legacy
    target: Schema
    users: list[str]
    context: Context = PLAN
    written: dict[str, pl.DataFrame] = field(init=False)
    now: dict[str, pl.DataFrame] = field(init=False)

    def __post_init__(self) -> None:
        self.written = self.mapped()
        self.now = dict(self.written)

    def read(self) -> dict[str, SourceRows]:
        return sources(self.set, self.legacy, self.users, self.context)

    def mapped(self) -> dict[str, pl.DataFrame]:
        return compile.apply(self.set, self.target, self.read(), self.context).rows

    def ways(self) -> dict[str, backward.Ways]:
        return backward.ways(self.set, self.legacy.schema, self.target)

    def sets(self, mapping: str, key: str, **values: Any) -> None:
        """The new system writes into one row."""
        frame = self.now[mapping]
        rows = frame.to_dicts()
        for row in rows:
            if row["__key"] == key:
                row.update(values)
        self.now[mapping] = pl.DataFrame(rows, schema=frame.schema)

    def makes(self, mapping: str, user: str, **values: Any) -> None:
        """The new system makes a row."""
        frame = self.now[mapping]
        row = dict.fromkeys(frame.columns) | {"__user": user} | values
        self.now[mapping] = pl.concat([frame, pl.DataFrame([row], schema=frame.schema)])

    def removes(self, mapping: str, key: str) -> None:
        """The new system removes a row."""
        self.now[mapping] = self.now[mapping].filter(pl.col("__key") != key)

    def carried(self, *, merge: bool = False) -> backward.Carried:
        return backward.carried(
            self.set,
            self.ways(),
            self.written,
            {name: frame.drop("__key") for name, frame in self.now.items()},
            self.read(),
            legacy=self.legacy.schema,
            target=self.target,
            context=self.context,
            merge=merge,
        )

    def write(self, done: backward.Carried) -> None:
        """What a database would do with it."""
        for table, updates in done.updates.items():
            for one in updates:
                for row in one.rows.drop("__user").to_dicts():
                    self._row(table, {name: row[name] for name in one.key}).update(_plain(row))
        for table, deletes in done.deletes.items():
            for one in deletes:
                for row in one.rows.select(one.key).to_dicts():
                    self.legacy.rows[table].remove(self._row(table, row))
        self._insert(done)

    def _row(self, table: str, key: Mapping[str, Any]) -> dict[str, Any]:
        (found,) = (row for row in self.legacy.rows[table] if all(_same(row[name], key[name]) for name in key))
        return found

    def _insert(self, done: backward.Carried) -> None:
        given: dict[str, Any] = {}
        for table, frames in done.inserts.items():
            (key,) = self.legacy.schema.tables[table].key
            for row in (row for frame in frames for row in frame.to_dicts()):
                made = {name: value for name, value in row.items() if not name.startswith("__")}
                made |= {name[5:]: given[of] for name, of in row.items() if name.startswith("__of ") and of}
                made.setdefault(key, max((one[key] for one in self.legacy.rows[table]), default=0) + 1)
                given[row["__target_table"] + SEPARATOR + row["__target_key"]] = made[key]
                self.legacy.rows.setdefault(table, []).append(_plain(made))

    def unlike(self) -> list[Any]:
        """What legacy, mapped forward again, does not give of what is in the target."""
        again, found = self.mapped(), []
        for name, now in self.now.items():
            table = self.target.tables[self.set.mappings[name].target.table]
            known = now.drop("__key")
            found += compare.differences(known, again[name], table, table.key).rows()
        return found


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """As the rows of the builder's legacy database are written: times as texts."""
    return {
        name: value if value is None or isinstance(value, int | str | bytes | bool) else _said(value)
        for name, value in row.items()
    }


def _said(value: Any) -> Any:
    return value if not hasattr(value, "isoformat") else text(pl.Series([value])).item().replace("T", " ")


def _same(one: Any, other: Any) -> bool:
    return str(one) == str(other)
