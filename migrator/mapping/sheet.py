"""The rows of one mapping while they are mapped: every COLUMN a rule can name, and what it computes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import polars as pl

from migrator.errors import Refused, WrongInput
from migrator.mapping import values as columns
from migrator.mapping.environment import Env
from migrator.mapping.model import Rule, Source
from migrator.mapping.outcome import Override
from migrator.mapping.schema import Kind
from migrator.mapping.troubles import Result
from migrator.mapping.values import Values

Evaluate: TypeAlias = "Callable[[Rule, str, Sheet], Result]"


@dataclass(eq=False)
class Sheet:
    """
    Rows in, values out.

    Args:
        frame: `__user`, `__key` and the columns as `shapes.read` gives them; for items of a collect, their columns.
        rules: The vars and fields that `$name` may mean.
        evaluate: How a rule is carried out on a sheet.
        kinds: What columns are declared as that are text because of some value.
        outer: For items: the sheet of their rows, and each item's row number there.
    """

    name: str
    source: Source
    frame: pl.DataFrame
    rules: Mapping[str, Rule]
    env: Env
    evaluate: Evaluate
    overrides: tuple[Override, ...] = ()
    scales: Mapping[str, int | None] = field(default_factory=dict)
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    outer: tuple[Sheet, pl.Series] | None = None
    _results: dict[str, Result] = field(default_factory=dict)
    _under_way: set[str] = field(default_factory=set)
    _items: dict[str, tuple[pl.Series, pl.DataFrame]] = field(default_factory=dict)

    @property
    def height(self) -> int:
        """How many rows there are."""
        return self.frame.height

    @property
    def users(self) -> pl.Series:
        """Whose each row is."""
        return self.frame["__user"]

    @property
    def keys(self) -> pl.Series:
        """Each row's key as text."""
        return self.frame["__key"]

    @property
    def all_rules(self) -> Mapping[str, Rule]:
        """The rules that `$name` may mean, also from within the items of a collect."""
        return self.outer[0].all_rules if self.outer else self.rules

    def column(self, name: str) -> Values:
        """
        Say the values of a COLUMN.

        Raises:
            Refused: the rows that were read have no such column.
        """
        if name.startswith("$"):
            return self._computed(str(name))
        if name in self.frame.columns:
            return columns.of(self.frame.get_column(str(name)), self.kinds.get(name))
        if self.outer:
            sheet, row_of = self.outer
            return _gathered(sheet.column(name), row_of)
        raise Refused(f'the rows read for mapping {self.name} have no column "{name}"; read them again')

    def _computed(self, name: str) -> Values:
        if name in ("$plan.id", "$plan.as_of"):
            return columns.literal(self.env.literal(name), self.height)
        if self.outer:
            sheet, row_of = self.outer
            return _gathered(sheet.column(name), row_of)
        return self.result(name[1:]).values

    def result(self, name: str) -> Result:
        """
        Carry out the var or field *name*, once.

        Raises:
            WrongInput: it is made of itself.
        """
        if name not in self._results:
            if name in self._under_way:
                raise WrongInput(f"mapping {self.name}: ${name} is made of itself; run migrator mapping lint")
            self._under_way.add(name)
            self._results[name] = self.evaluate(self.rules[name], name, self)
            self._under_way.discard(name)
        return self._results[name]

    def items(self, join: str | None) -> tuple[pl.Series, pl.DataFrame]:
        """The items of a `many` join, or of a grouped source: each one's row number, and their columns."""
        name = join or ""
        if name not in self._items:
            self._items[name] = _unfolded(self.frame, join)
        return self._items[name]

    def item_kinds(self, join: str | None) -> dict[str, Kind]:
        """What columns of the items are declared as that are text because of some value."""
        if join is None:
            return dict(self.kinds)
        return {name.removeprefix(f"{join}."): kind for name, kind in self.kinds.items() if name.startswith(f"{join}.")}

    def item_key(self, join: str | None) -> str | None:
        """Say which column of the items names them."""
        if join is not None:
            return self.source.joins[join].item_key
        return self.source.group.item_key if self.source.group else None

    def overriding(self, path: str) -> list[tuple[pl.Series, Override]]:
        """The decisions of people about one field, each with the rows it is about."""
        found = []
        for override in self.overrides:
            if override.field == path:
                about = self.users == override.user
                if override.key is not None:
                    about = about & (self.keys == override.key)
                found.append((columns.is_true(about), override))
        return found


def _gathered(values: Values, row_of: pl.Series) -> Values:
    bad = None if values.bad is None else values.bad.gather(row_of)
    return Values(values.values.gather(row_of), values.kind, bad=bad)


def _unfolded(frame: pl.DataFrame, join: str | None) -> tuple[pl.Series, pl.DataFrame]:
    numbered = frame.drop("__user", "__key", "__faults", strict=False).with_row_index("__row")
    lists = [name for name, dtype in numbered.schema.items() if isinstance(dtype, pl.List)]
    if join is None:
        lists = [name for name in lists if not isinstance(numbered.schema[name].inner, pl.Struct)]  # type: ignore[attr-defined]  # a List has one
    else:
        lists = [join]
    if not lists:
        return pl.Series([], dtype=pl.Int64), pl.DataFrame()
    some = numbered.select("__row", *lists).filter(pl.col(lists[0]).list.len() > 0)
    flat = some.explode(lists)
    if join is not None:
        flat = flat.unnest(join)
    return flat["__row"].cast(pl.Int64), flat.drop("__row")
