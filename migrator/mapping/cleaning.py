"""Legacy rows that are not wanted in the new system: outdated, double or invalid. Each rule says what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from collections.abc import Sequence

import polars as pl

from migrator.mapping import ids, predicates, troubles
from migrator.mapping import values as columns
from migrator.mapping.draft import Draft
from migrator.mapping.model import Cleaning, Mapping
from migrator.mapping.sheet import Sheet
from migrator.mapping.troubles import Trouble

#: One line per row that a rule took: `action` is drop, archive or hold.
CLEANED = pl.Schema({"user": pl.String, "mapping": pl.String, "key": pl.String, "rule": pl.String, "action": pl.String})
NOTHING = pl.DataFrame(schema=CLEANED)
_RULE = "clean"


def by_row(mapping: Mapping, sheet: Sheet) -> list[Trouble]:
    """What the rules that look at source rows take, in their order: what one took, the next does not see."""
    left = ~columns.none(sheet.height)
    found = []
    for rule in mapping.clean:
        if not rule.invalid:
            took = _wanted(rule, sheet) & left & ~_spared(rule, sheet)
            found += _taken(rule, took)
            left = left & ~took
    return found


def by_result(mapping: Mapping, sheet: Sheet, found: Sequence[Trouble]) -> list[Trouble]:
    """What the rules take that look at fields that failed: the row goes their way instead of to a person."""
    if not mapping.clean:
        return []
    left = ~troubles.marked(list(found), sheet.height, troubles.SKIP)
    taken = []
    for rule in mapping.clean:
        of_it = [trouble for trouble in found if trouble.field.partition(".")[0] in rule.invalid]
        took = troubles.marked(of_it, sheet.height, troubles.REVIEW) & left & ~_spared(rule, sheet)
        taken += _taken(rule, took)
        left = left & ~took
    return taken


def spared(rule: str) -> str:
    """How an Override names a rule that is not to be used for a user: never like a field."""
    return f"{_RULE}:{rule}"


def taken(mapping: Mapping, draft: Draft) -> pl.DataFrame:
    """Say which rows were taken by which rule: CLEANED."""
    actions = {rule.name: rule.action for rule in mapping.clean}
    frames = [
        pl.DataFrame(
            {
                "user": draft.sheet.users.gather(trouble.rows),
                "mapping": pl.Series([mapping.name]).new_from_index(0, len(trouble)),
                "key": draft.sheet.keys.gather(trouble.rows),
                "rule": pl.Series([trouble.field]).new_from_index(0, len(trouble)),
                "action": pl.Series([actions[trouble.field]]).new_from_index(0, len(trouble)),
            },
            schema_overrides=dict(CLEANED),
        )
        for trouble in draft.troubles
        if trouble.rule == _RULE and len(trouble)
    ]
    return pl.concat(frames) if frames else NOTHING


def counts(cleaned: pl.DataFrame) -> dict[tuple[str, str, str], int]:
    """(mapping, rule, action) -> rows."""
    counted = cleaned.group_by("mapping", "rule", "action").len().sort("mapping", "rule")
    return {(mapping, rule, action): int(rows) for mapping, rule, action, rows in counted.iter_rows()}


def archived(cleaned: pl.DataFrame, sources: MappingOf[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Per mapping the source rows that a rule puts into the archive, with the `rule`."""
    found = {}
    for (mapping,), part in cleaned.filter(pl.col("action") == "archive").group_by("mapping", maintain_order=True):
        name = str(mapping)
        named = part.select(pl.col("user").alias("__user"), pl.col("key").alias("__key"), "rule")
        rows = sources[name].join(named, on=["__user", "__key"], how="inner", maintain_order="left")
        found[name] = rows.select("rule", pl.exclude("rule"))
    return found


def _wanted(rule: Cleaning, sheet: Sheet) -> pl.Series:
    held = predicates.mask(rule.when, sheet, sheet.env.context)
    return held & _double(rule, sheet, held) if rule.duplicates else held


def _double(rule: Cleaning, sheet: Sheet, among: pl.Series) -> pl.Series:
    """All rows of a user that agree in `duplicates` but the one that `keep` names; nulls never agree."""
    how, column = rule.keep
    alike = ids.key([sheet.column(name).text for name in rule.duplicates])
    frame = pl.DataFrame(
        {
            "row": pl.int_range(sheet.height, eager=True),
            "user": sheet.users,
            "alike": alike,
            "by": sheet.column(column).values,
            "among": among,
        }
    )
    some = frame.filter(pl.col("among") & pl.col("alike").is_not_null())
    ordered = columns.in_order(some, ["by"], backwards=how == "most_recent")
    further = ordered.filter(pl.int_range(pl.len()).over("user", "alike") > 0)["row"]
    none = columns.none(sheet.height)
    return none.scatter(further, True) if len(further) else none


def _spared(rule: Cleaning, sheet: Sheet) -> pl.Series:
    """Rows that a person said are to move as they are, and all rows of users for whom the rule was taken back."""
    ours = [one for one in sheet.overrides if one.action == "keep" and one.field == spared(rule.name)]
    if not ours:
        return columns.none(sheet.height)
    whole = sheet.users.is_in([one.user for one in ours if one.key is None])
    rows = pl.DataFrame({"user": sheet.users, "key": sheet.keys})
    said = pl.DataFrame([(one.user, one.key) for one in ours], schema=rows.schema, orient="row")
    single = rows.with_row_index("row").join(said.drop_nulls(), on=["user", "key"], how="semi")["row"]
    return columns.is_true(whole) | (columns.none(sheet.height).scatter(single, True) if len(single) else False)


def _taken(rule: Cleaning, took: pl.Series) -> list[Trouble]:
    if not took.any():
        return []
    outcome = troubles.REVIEW if rule.action == "hold" else troubles.SKIP
    return [troubles.made(took, outcome, rule.name, _RULE, rule.place, note=rule.reason)]
