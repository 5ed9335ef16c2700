"""A look at legacy before anything is planned: what is there, what is wrong with it, what a move would take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import polars as pl

from migrator.errors import MappingInvalid
from migrator.flows.drafting import facts, sampling
from migrator.flows.drafting.preview import Preview, preview
from migrator.flows.parts import Parts
from migrator.flows.plans import identities, nobody
from migrator.mapping import activity
from migrator.mapping.lint import coverage
from migrator.mapping.lint.ground import Ground
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Context
from migrator.mapping.people import EVERYBODY
from migrator.mapping.problems import Notes

STALE = timedelta(days=365)
WRITING = 2  # a batch is read, mapped and looked up, and then written, read back and compared: about as long again


@dataclass(frozen=True, slots=True)
class Assessment:
    """
    `tables`: each legacy table with its rows, and its columns that are read, left behind with a reason, or neither;
    `users`: how many there are and what is odd about them; `nobody`: rows without a user, per mapping; `sample`: what
    the mappings would make of some users (None where they have errors); `forecast`: seconds and bytes for everybody.
    """

    set: str
    tables: list[dict[str, Any]]
    users: dict[str, Any]
    nobody: dict[str, Any]
    sample: dict[str, Any] | None
    forecast: dict[str, Any] | None
    remarks: list[str]


def assess(
    parts: Parts,
    users: int | None = 500,
    *,
    workers: int = 2,
    progress: sampling.Told = sampling.nobody,
    now: Callable[[], float] = time.perf_counter,
) -> Assessment:
    """
    Profile legacy, and carry the mappings out on a sample. Writes nothing, nowhere.

    Args:
        users: how many are carried out; None for all.
        workers: for the forecast.
    """
    set_, remarks = parts.folder_set, list[str]()
    ownerless, found = dict[str, Any](), None
    at = sampling.as_of(parts, set_)
    began = now()
    try:
        ownerless = nobody.count(parts, set_, Context("0", at)).per_mapping
        began = now()
        found = preview(parts, sampling.Wanted(users), progress=progress)
    except MappingInvalid as wrong:
        remarks.append(f"{wrong.count} errors in the mappings: `migrator mapping lint` shows them")
    return Assessment(
        set=set_.set.name,
        tables=_tables(parts, set_),
        users=_users(parts, set_),
        nobody=ownerless,
        sample=asdict(found) if found else None,
        forecast=_forecast(found, now() - began, workers) if found else None,
        remarks=remarks,
    )


def _tables(parts: Parts, set_: MappingSet) -> list[dict[str, Any]]:
    legacy = parts.legacy_schema
    ground = Ground(set_, legacy, None, Notes())
    read = coverage.read_columns(ground)
    uncovered = {left.table: left.names for left in coverage.left_columns(ground, legacy)}
    unnamed = {name for left in coverage.left_tables(ground, legacy) for name in left.names}
    found = []
    with facts.of(parts.legacy) as live:
        for name in sorted(set(legacy.stored.tables) - {EVERYBODY}):
            columns = legacy.tables[name].columns
            seen = {column: one for column in columns if (one := live.seen(name, column))}
            some = next(iter(seen.values()), None)
            found.append(
                {
                    "table": name,
                    "rows": some.rows if some else 0,
                    "whole": some.whole if some else True,
                    "columns": len(columns),
                    "read": len(read.get(name, set()) & set(columns)),
                    "uncovered": len(uncovered.get(name, ())) if name in read else len(columns) * (name in unnamed),
                    "empty": [column for column, one in seen.items() if one.rows and not one.filled],
                    "nulls": {
                        column: one.rows - one.filled for column, one in seen.items() if 0 < one.filled < one.rows
                    },
                }
            )
    return found


def _users(parts: Parts, set_: MappingSet) -> dict[str, Any]:
    people = identities.find(parts, set_)
    with parts.legacy.reading() as reader:
        signs = activity.days(set_, parts.legacy_schema, reader.select, people.records)
    movers = people.users.filter(~pl.col("excluded"))
    emails = movers["email"].str.strip_chars().str.to_lowercase().replace("", None)
    told: dict[str, Any] = {
        "users": people.users.height,
        "excluded": people.users.height - movers.height,
        "without_email": emails.null_count(),
        "sharing_an_email": int(emails.drop_nulls().is_duplicated().sum()),
        "sources": people.figures(),
        "in_doubt": len(people.in_doubt),
        "unreadable_signs_of_life": signs.unreadable,
    }
    if signs.latest is None:
        return told
    last = movers.join(signs.days.group_by("user").agg(pl.col("day").max()), left_on="key", right_on="user", how="left")
    edge = (signs.latest - STALE).date()
    return told | {
        "last_sign_of_life": signs.latest,
        "no_sign_of_life": last["day"].null_count(),
        "silent_for_a_year": int((last["day"] < edge).fill_null(False).sum()),
    }


def _forecast(found: Preview, seconds: float, workers: int) -> dict[str, Any]:
    looked_at = max(found.sample["users"], 1)
    whole = seconds * found.estimate["users"] / looked_at * WRITING
    return {
        "users": found.estimate["users"],
        "seconds": round(whole / workers),
        "workers": workers,
        "target_bytes": found.estimate["bytes"],
        "held": found.estimate["held"],
    }
