"""Everybody of a new plan, as the control database keeps them: one row per user, made of frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import polars as pl

from migrator.flows.people.desk import Desk
from migrator.flows.telling import contacts
from migrator.rollout.plan import WaveDraft, places
from migrator.rollout.states import User
from migrator.store.users import ROWS, USER

BY_SET = "excluded by `users.where` in set.yaml"
CHUNK = 50_000  # users sealed and stored at once
_PLACED = ("tier", "code", "r", "f", "m")
#: Who is given no tier: the excluded, and rows of nobody.
_UNPLACED = {"tier": "none", "code": "000", "f": 0, "m": "0"}


def by_wave(planned: Sequence[WaveDraft], ids: Iterable[int]) -> pl.DataFrame:
    """`key` and `wave_id` of everybody who moves."""
    named = [_in_wave(wave, id_) for wave, id_ in zip(planned, ids, strict=True)]
    return pl.concat([pl.DataFrame(schema={"key": pl.String, "wave_id": pl.Int64}), *named])


def of_people(
    desk: Desk,
    now: datetime,
    everybody: pl.DataFrame,
    assigned: pl.DataFrame,
    waves: pl.DataFrame,
    *,
    held: Mapping[str, str],
    leaders: Mapping[str, str],
    stays: Mapping[str, str],
) -> Iterator[pl.DataFrame]:
    """
    Give the rows of all users, some at a time.

    Args:
        everybody: `key`, `email`, `name`, `locale`, `excluded`, one row per user.
        assigned: `key`, `tier`, `code`, `r`, `f`, `m` of those who move.
        waves: As `by_wave` gives them.
        held: Who does not move before a person has decided, and why.
        leaders: Who merges with others -> who survives.
        stays: Whom people left out, and why; the other excluded ones are so by the mapping set.
    """
    placed = everybody.join(assigned.select("key", *_PLACED), on="key", how="left", maintain_order="left")
    placed = _with(_with(_with(placed, held, "held"), leaders, "group_key"), stays, "stays")
    placed = placed.join(waves, on="key", how="left", maintain_order="left")
    placed = placed.with_columns(place=places(placed["key"], placed["group_key"]))
    is_held = pl.col("held").is_not_null()
    status = (
        pl.when(is_held)
        .then(pl.lit(User.HELD.value))
        .when("excluded")
        .then(pl.lit(User.EXCLUDED.value))
        .otherwise(pl.lit(User.PLANNED.value))
    )
    reason = pl.when(is_held).then("held").when("excluded").then(pl.col("stays").fill_null(BY_SET))
    placed = placed.select(
        "email",
        "name",
        pl.col("key").alias("user_key"),
        pl.lit(USER).alias("kind"),
        "group_key",
        *(pl.col(name).fill_null(value) for name, value in _UNPLACED.items()),
        "r",
        "wave_id",
        "place",
        status.alias("status"),
        reason.alias("reason"),
        "locale",
    )
    # an index that is filled in its own order is filled once
    for part in placed.sort("user_key").iter_slices(CHUNK):
        prints = contacts.email_prints(desk, part["email"].to_list())
        yield _stored(part.drop("email", "name"), now).with_columns(
            pl.Series("email_print", prints, dtype=pl.String),
            pl.Series("contact", contacts.sealed(desk, part), dtype=pl.Binary),
        )


def of_nobody(now: datetime, owners: Sequence[str], waves: pl.DataFrame, stays: Mapping[str, str]) -> pl.DataFrame:
    """Give the owners of rows of nobody: users of a kind of their own, without tier and contact."""
    placed = pl.DataFrame({"key": owners}, schema={"key": pl.String})
    placed = _with(placed.join(waves, on="key", how="left", maintain_order="left"), stays, "reason")
    alone = pl.Series("group_key", [None] * placed.height, dtype=pl.String)
    placed = placed.with_columns(place=places(placed["key"], alone))
    stay = pl.when(pl.col("reason").is_null())
    return _stored(
        placed.select(
            pl.col("key").alias("user_key"),
            pl.lit(ROWS).alias("kind"),
            *(pl.lit(value).alias(name) for name, value in _UNPLACED.items()),
            "wave_id",
            "place",
            stay.then(pl.lit(User.PLANNED.value)).otherwise(pl.lit(User.EXCLUDED.value)).alias("status"),
            "reason",
        ),
        now,
    )


def _in_wave(wave: WaveDraft, id_: int) -> pl.DataFrame:
    keys = pl.DataFrame({"key": wave.users}, schema={"key": pl.String})
    return keys.with_columns(pl.lit(id_, dtype=pl.Int64).alias("wave_id"))


def _with(rows: pl.DataFrame, known: Mapping[str, str], name: str) -> pl.DataFrame:
    """Put what is *known* of some keys beside all *rows*; null for the others."""
    if not known:
        return rows.with_columns(pl.lit(None, dtype=pl.String).alias(name))
    told = pl.DataFrame({"key": list(known), name: list(known.values())}, schema={"key": pl.String, name: pl.String})
    return rows.join(told, on="key", how="left", maintain_order="left")


def _stored(rows: pl.DataFrame, now: datetime) -> pl.DataFrame:
    return rows.with_columns(pl.lit("legacy").alias("home"), pl.lit(now.astimezone(UTC)).alias("changed_at"))
