"""Whether what was taken back comes out as it is wanted when it is mapped forward, and nothing else with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from migrator.mapping import compare, compile
from migrator.mapping import values as columns
from migrator.mapping.backward.desk import Desk
from migrator.mapping.identities import id_column
from migrator.mapping.model import Lookup, Rule
from migrator.mapping.outcome import Context
from migrator.mapping.schema import Table

_ON = ["__user", "__key"]


@dataclass(frozen=True, slots=True, eq=False)
class Proof:
    """
    What must come out.

    `wanted`: per mapping and column the rows that change, with `now`. `before`: what came out before. `made`: per mapping
    rows of the target that legacy gets anew, with the `__key` they are to have. `gone`: rows that are removed.
    """

    desk: Desk
    wanted: Mapping[str, Mapping[str, pl.DataFrame]]
    before: Mapping[str, pl.DataFrame]
    made: Mapping[str, pl.DataFrame]
    gone: Mapping[str, pl.DataFrame]

    def look(self, context: Context) -> None:
        """Map the rows of legacy forward, and refuse everybody for whom something else comes out than what is wanted."""
        desk = self.desk
        after = compile.apply(desk.set, desk.target, desk.rows.sources, context).rows
        ids = {name: self._ids(name, after[name]) for name in self.made}
        for name, before in self.before.items():
            table = desk.written(name)
            self._rows(name, before, after[name])
            self._values(name, table, before, after[name])
            if name in self.made:
                self._new(name, table, after[name], ids)

    def _ids(self, name: str, after: pl.DataFrame) -> dict[str, str]:
        """Ids that come out for new rows -> those that the new system gave them."""
        own = id_column(self.desk.set.mappings[name], self.desk.written(name))
        if own is None or own not in after.columns:
            return {}
        rows = after.select(*_ON, columns.text(after[own]).alias("came"))
        made = self.made[name]
        both = rows.join(made.select(*_ON, columns.text(made[own]).alias("is")), on=_ON, how="inner")
        return dict(both.select("came", "is").iter_rows())

    def _new(self, name: str, table: Table, after: pl.DataFrame, ids: Mapping[str, Mapping[str, str]]) -> None:
        """New rows come out as they are, but for their ids, and for those of new rows they hang on."""
        mapping, made = self.desk.set.mappings[name], compare.canonical(self.made[name], table)
        came = compare.canonical(after.join(made, on=_ON, how="semi"), table)
        own = id_column(mapping, table)
        for column in (one for one in self.desk.found[name].names if one in came.columns):
            both = came.select(*_ON, pl.col(column).alias("came")).join(
                made.select(*_ON, pl.col(column).alias("is")), on=_ON, how="inner"
            )
            known = dict(ids[name]) if column == own else {}
            for parent in _looked_up(mapping.fields.get(column)):
                known |= ids.get(parent, {})
            translated = columns.text(both["came"]).replace(known) if known else both["came"]
            off = compare.unlike(translated, columns.text(both["is"]) if known else both["is"], table.columns[column])
            self.desk.refuse(name, column, both.filter(off)["__user"], "legacy would not give this value again")

    def _rows(self, name: str, before: pl.DataFrame, after: pl.DataFrame) -> None:
        kept = before
        if name in self.gone:
            kept = kept.join(self.gone[name], on=_ON, how="anti")
        expected = kept.select(_ON)
        if name in self.made:
            expected = pl.concat([expected, self.made[name].select(_ON)])
        lost = expected.join(after, on=_ON, how="anti")
        more = after.join(expected, on=_ON, how="anti")
        self.desk.refuse(name, "", lost["__user"], "a row would not come out of legacy again")
        self.desk.refuse(name, "", more["__user"], "another row would come out of legacy")

    def _values(self, name: str, table: Table, before: pl.DataFrame, after: pl.DataFrame) -> None:
        names = [column for column in after.columns if column in table.columns and not table.columns[column].generated]
        was, came = (compare.canonical(frame.select(*_ON, *names), table) for frame in (before, after))
        for column in names:
            told = came.select(*_ON, pl.col(column).alias("came")).join(
                was.select(*_ON, pl.col(column).alias("was")), on=_ON, how="inner"
            )
            rows = self.wanted.get(name, {}).get(column)
            if rows is not None:
                asked = told.join(rows.select(*_ON, "now"), on=_ON, how="inner")
                off = compare.unlike(asked["came"], asked["now"], table.columns[column])
                self.desk.refuse(name, column, asked.filter(off)["__user"], "legacy would not give this value again")
                told = told.join(rows, on=_ON, how="anti")
                lost = rows.join(after, on=_ON, how="anti")
                self.desk.refuse(name, column, lost["__user"], "its row would not come out of legacy")
            off = compare.unlike(told["came"], told["was"], table.columns[column])
            self.desk.refuse(name, column, told.filter(off)["__user"], "it would change with another value")


def _looked_up(rule: Rule | None) -> Iterator[str]:
    """The mappings whose ids a field holds."""
    if rule is not None and isinstance(rule.source, Lookup):
        yield str(rule.source.mapping)
    yield from (
        (step.args for step in rule.steps if step.name == "lookup" and isinstance(step.args, str)) if rule else ()
    )
