"""Somebody who may look on while rules are carried out. Changes nothing; by default nobody looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from migrator.mapping.model import Rule, Step
    from migrator.mapping.sheet import Sheet
    from migrator.mapping.troubles import Result
    from migrator.mapping.values import Values


class Watch:
    """Told of everything that happens to the values of a field, in the order in which it happens; does nothing."""

    def begin(self, rule: Rule, path: str, sheet: Sheet) -> None:
        """A rule is taken up; what is told until its `end` is about it, or about a rule within it."""

    def branch(self, number: int, here: pl.Series) -> None:
        """A choose takes its branch *number* in the rows where *here*."""

    def source(self, labels: tuple[str, ...], values: tuple[Values, ...]) -> None:
        """What the source gave; *labels* name its columns where it has several."""

    def step(self, step: Step, values: Values) -> None:
        """What a step made."""

    def instead(self, name: str, values: Values) -> None:
        """What stands there after `on_error`, `default` or a person's decision (*name*)."""

    def end(self, result: Result) -> None:
        """The rule is done, but for *fit*."""

    def merged(self, sheet: Sheet, fields: dict[str, Values]) -> None:
        """What the fields are after duplicates were folded."""

    def fitted(self, sheet: Sheet, column: str, values: Values) -> None:
        """What goes into a target column."""


NOBODY = Watch()
