"""
The mapping core against the same pipeline written by hand in Polars: 12 steps over 6 fields, on one thread.

Run with POLARS_MAX_THREADS=1. Prints JSON: for each share of bad rows the CPU seconds of both, taken in turn, the median
of some rounds. By hand means what a careful person would write for these fields: flags beside values, a table of what is
wrong, keys that come twice, texts that the database refuses; results are compared, because a fast wrong answer is no
answer.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import polars as pl

from migrator.mapping import compile as compiler
from migrator.mapping import document
from migrator.mapping.outcome import Context, Mapped, SourceRows
from migrator.mapping.schema import Column, Kind, Schema, Table

ROWS = 200_000
ROUNDS = 7
SHARES = (0.0, 0.01, 0.10)
NUMBER = pl.Decimal(38, 18)

MAPPING = """
mapping: people
source: {table: person, key: id, user: id}
target: {table: people, id: {keep: id}}
on_reject: hold_row
fields:
  email: {from: email, transform: [trim, lower, {matches: '[^@ ]+@[^@ ]+'}]}
  name: {from: [first, last], transform: [{concat: {separator: ' '}}, collapse_spaces, {truncate: 60}]}
  status: {from: status, transform: [{map: {0: pending, 1: active, 2: suspended}}], required: true}
  created_at: {from: created, transform: [{epoch: s}]}
  total: {from: cents, transform: [{divide: 100}, {between: [0, 100000]}]}
  code: {from: code, transform: [{replace: {find: '-', with: ''}}, upper]}
"""
SET = document.parse({"set.yaml": "set: shop\nusers: {table: person, key: id}\n", "people.yaml": MAPPING})
COLUMNS = {
    "id": Column("id", Kind.INTEGER, nullable=False),
    "email": Column("email", Kind.TEXT),
    "name": Column("name", Kind.TEXT),
    "status": Column("status", Kind.TEXT),
    "created_at": Column("created_at", Kind.TIMESTAMP),
    "total": Column("total", Kind.DECIMAL, precision=12, scale=2, declared="numeric(12, 2)"),
    "code": Column("code", Kind.TEXT),
}
TARGET = Schema("postgresql", {"people": Table("people", COLUMNS, ("id",))})


def legacy(bad: float) -> pl.DataFrame:
    """Varied rows; in four fields together a share of *bad* has a value that must go to review."""
    dice = random.Random(7)

    def pick(good: Any, wrong: Any) -> Any:
        return wrong if dice.random() < bad / 4 else good

    keys = [str(row) for row in range(ROWS)]
    return pl.DataFrame(
        {
            "__user": keys,
            "__key": keys,
            "id": range(ROWS),
            "email": [pick(f" User{row}@Example{row % 97}.com ", f"no address {row % 50}") for row in range(ROWS)],
            "first": [f"Ann{dice.randrange(5003)}" for _ in range(ROWS)],
            "last": [f"van{' ' if row % 10 else '  '}der {row % 7919}" for row in range(ROWS)],
            "status": [pick(dice.randrange(3), 9) for _ in range(ROWS)],
            "created": [pick(1_300_000_000 + dice.randrange(300_000_000), 1_700_000_000_000) for _ in range(ROWS)],
            "cents": [pick(dice.randrange(5_000_000), -5) for _ in range(ROWS)],
            "code": [f"ab-{row:06d}-x" for row in range(ROWS)],
        }
    )


def engine(frame: pl.DataFrame) -> Mapped:
    """The mapping, as a worker carries it out."""
    return compiler.apply(
        SET, TARGET, {"people": SourceRows(frame, frame.height)}, Context("bench", "2024-01-01T00:00:00Z")
    )


def by_hand(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows to write, and what is wrong with the others."""
    made = (
        frame.lazy()
        .with_columns(
            new_email=pl.col("email").str.strip_chars().str.to_lowercase(),
            name=pl.concat_str("first", "last", separator=" ", ignore_nulls=True).str.replace_all(r"\s+", " "),
            new_status=pl.col("status").replace_strict([0, 1, 2], ["pending", "active", "suspended"], default=None),
            in_time=pl.col("created").is_between(-62_135_596_800, 253_402_300_799),
            total=pl.col("cents").cast(NUMBER) / pl.lit(Decimal(100), dtype=NUMBER),
            new_code=pl.col("code").str.replace_all("-", "", literal=True).str.to_uppercase(),
        )
        .with_columns(
            name=pl.col("name").str.head(60),
            cut=pl.col("name").str.len_chars() > 60,
            no_email=~pl.col("new_email").str.contains(r"\A(?:[^@ ]+@[^@ ]+)\z"),
            no_status=pl.col("new_status").is_null() & pl.col("status").is_not_null(),
            empty_status=pl.col("status").is_null(),
            no_time=~pl.col("in_time"),
            created_at=pl.when("in_time")
            .then("created")
            .mul(1_000_000)
            .cast(pl.Datetime("us"))
            .dt.replace_time_zone("UTC"),
            no_total=~pl.col("total").is_between(0, 100_000)
            | (pl.col("total").cast(pl.Decimal(12, 2), strict=False).cast(NUMBER, strict=False) != pl.col("total")),
            twice=pl.col("id").is_duplicated(),
        )
        .with_columns(
            unfit=pl.any_horizontal(
                pl.col("new_email", "name", "new_status", "new_code").str.contains("\x00", literal=True)
            )
        )
        .collect()
    )
    flags = {"no_email": "email", "no_status": "status", "empty_status": "status", "no_time": "created",
             "no_total": "cents", "twice": "id", "unfit": "name"}  # fmt: skip
    wrong = [
        made.filter(flag).select("__user", "__key", pl.lit(flag).alias("rule"), pl.col(column).cast(pl.String).alias("value"))
        for flag, column in flags.items()
    ]  # fmt: skip
    wanted = ("__user", "__key", "id", pl.col("new_email").alias("email"), "name", pl.col("new_status").alias("status"),
              "created_at", "total", pl.col("new_code").alias("code"))  # fmt: skip
    return made.filter(~pl.any_horizontal(pl.col(*flags).fill_null(False))).select(*wanted), pl.concat(wrong)


def timed(work: Callable[[pl.DataFrame], Any], frame: pl.DataFrame) -> float:
    """CPU seconds, which neighbours on the machine do not change much."""
    began = time.process_time()
    work(frame)
    return time.process_time() - began


def main() -> None:
    """Measure each share of bad rows."""
    told = []
    for share in SHARES:
        frame = legacy(share)
        made, (rows, wrong) = engine(frame), by_hand(frame)
        if not made.rows["people"].equals(rows.select(made.rows["people"].columns)):
            sys.exit(f"engine and hand differ at {share:.0%} bad rows")
        if made.findings.height != wrong.height:
            sys.exit(f"{made.findings.height} findings, and by hand {wrong.height}, at {share:.0%} bad rows")
        pairs = [(timed(engine, frame), timed(by_hand, frame)) for _ in range(ROUNDS)]
        told.append(
            {
                "bad": share,
                "rows": ROWS,
                "engine": statistics.median(one for one, _ in pairs),
                "hand": statistics.median(other for _, other in pairs),
                "ratio": statistics.median(one / other for one, other in pairs),
            }
        )
    print(json.dumps(told))


if __name__ == "__main__":
    main()
