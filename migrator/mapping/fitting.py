"""All fields of a draft into their columns; what does not fit goes the way of `on_error`."""

from __future__ import annotations

import polars as pl

from migrator.errors import Refused
from migrator.mapping import fit, rules, secrecy, troubles
from migrator.mapping import values as columns
from migrator.mapping.draft import Draft
from migrator.mapping.model import UNSET, Place, Rule
from migrator.mapping.schema import Column, Table
from migrator.mapping.values import Values


def fit_all(draft: Draft, fields: dict[str, Values], id_column: str | None, table: Table | None, dialect: str) -> None:
    """
    Put all fields and the id into the frame of *draft*, and what is wrong with them into its troubles.

    Args:
        table: None leaves the values as they are.

    Raises:
        Refused: *table* lacks a column.
    """
    made = {}
    if id_column and draft.id_values is not None and id_column not in fields:
        made[id_column] = _fitted(draft, id_column, draft.id_values, None, table, dialect)
    for name, values in fields.items():
        made[name] = _fitted(draft, name, values, draft.mapping.fields[name], table, dialect)
    draft.frame = draft.frame.with_columns(series.alias(str(name)) for name, series in made.items())


def _fitted(draft: Draft, name: str, values: Values, rule: Rule | None, table: Table | None, dialect: str) -> pl.Series:
    if table is None:
        return values.values
    column = table.columns.get(str(name))
    if column is None:
        raise Refused(f"the target has no column {table.name}.{name}; run migrator mapping lint")
    fitted = fit.fit(values, column, dialect)
    place = rule.place if rule else draft.mapping.target.place
    if fitted.failed is not None:
        fitted = _unfit(draft, name, values, fitted, rule, column, dialect)
    empty = fit.nothing(fitted, column)
    if empty is not None:
        _complain_of_nulls(draft, name, empty, values, rule, place)
    draft.sheet.env.context.watch.fitted(draft.sheet, str(name), fitted)
    return fitted.values


def _unfit(
    draft: Draft, name: str, values: Values, fitted: Values, rule: Rule | None, column: Column, dialect: str
) -> Values:
    """What does not fit goes the way of `on_error`; what is put in its place must fit itself."""
    failed = fitted.failed
    assert failed is not None  # the only caller has looked
    place = rule.place if rule else draft.mapping.target.place
    sensitive = rule is not None and secrecy.is_sensitive(name, rule, draft.sheet.rules)
    secret = rule is not None and secrecy.is_secret(name, rule, draft.sheet.rules)
    action = rule.on_error if rule else "review"
    shown, note = None if secret else rules.shown(values), fitted.note
    if action != "use" or rule is None:
        outcome = action if action != "use" else troubles.REVIEW
        draft.troubles.append(troubles.made(failed, outcome, name, "fit", place, shown, None, note, sensitive))
        return fitted
    instead = rule.default if rule.use is None and rule.default is not UNSET else rule.use
    told = None if secret else columns.literal_text(instead)
    draft.troubles.append(troubles.made(failed, troubles.WARNING, name, "fit", place, shown, told, note, sensitive))
    again = fit.fit(columns.put(values, failed, instead), column, dialect)
    if again.failed is not None:
        draft.troubles.append(troubles.made(again.failed, troubles.REVIEW, name, "fit", place, None, None, again.note))
    if rule.required and instead is None:
        note = "it is required, and null"
        draft.troubles.append(troubles.made(failed, troubles.REVIEW, name, "required", place, None, None, note))
    return again


def _complain_of_nulls(
    draft: Draft, name: str, empty: pl.Series, values: Values, rule: Rule | None, place: Place
) -> None:
    known = troubles.marked(
        [trouble for trouble in draft.troubles if trouble.field.partition(".")[0] == name],
        draft.sheet.height,
        troubles.REVIEW,
        troubles.ABORT,
        troubles.SKIP,
    )
    lacking = empty & ~known
    if values.bad is not None:
        lacking = lacking & ~values.bad
    if lacking.any():
        note = "it is null, and the column takes no null"
        draft.troubles.append(troubles.made(lacking, troubles.REVIEW, name, "fit", place, None, None, note))
