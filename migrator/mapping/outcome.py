"""What mapping a batch gives: rows to write, findings, and books that must balance. Values only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl

from migrator.mapping.books import Book
from migrator.mapping.schema import Kind
from migrator.mapping.watch import NOBODY, Watch

#: One line per finding. `value` is the value as text (the caller seals it); `note` is a sentence where one helps.
FINDINGS = pl.Schema(
    {
        "user": pl.String,
        "mapping": pl.String,
        "key": pl.String,  # the source row's key as text
        "item_key": pl.String,  # collect items
        "field": pl.String,  # dotted: settings.notify.email
        "rule": pl.String,  # the step's name, or required · fit · key · join · pivot · unnest · target_key · lookup · unique
        "value": pl.String,
        "after": pl.String,  # warnings: what was written instead
        "outcome": pl.String,  # review · warning · blocked
        "waits_for": pl.String,  # blocked: the mapping of the parent
        "note": pl.String,
        "sensitive": pl.Boolean,
        "file": pl.String,
        "line": pl.Int64,
        "column": pl.Int64,
    }
)


NO_FINDINGS = pl.DataFrame(schema=FINDINGS)


@dataclass(frozen=True, slots=True, eq=False)
class SourceRows:
    """
    The source rows of one mapping for one batch, shaped: one frame row per row to be mapped.

    `frame` holds `__user` and `__key` (text), the source's columns under their names, one-row joins and pivots as
    `join.column`, `many` joins as `join` (list of struct), grouped sources as list columns. It is what the snapshot
    keeps, and all that `compile.apply` needs. `read` counts legacy rows of the users before `where`. `kinds` says what
    those columns are declared as that had to be read as text, because of a value that is no such or too large.
    """

    frame: pl.DataFrame
    read: int
    filtered: int = 0
    expanded: int = 0
    folded: int = 0
    findings: pl.DataFrame = field(default_factory=lambda: NO_FINDINGS)
    kinds: Mapping[str, Kind] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """
    A mapped batch.

    `rows`: per mapping the rows to write, `__user`, `__key` and the target columns in the target's frame types (after
    fit). Rows of held users are not in it. `held` users have at least one finding in a hold_user mapping.
    `abort` says which rule asked that the run be stopped (`on_error: abort`); empty when none did. `groups` are those
    of the Context: users who merge are held together, or not at all. `left`: per mapping the values of its rows that
    are neither written nor compared, because a row is there and keeps them: `__user`, `__key`, `column`. `cleaned`
    says which rows a cleaning rule took: `user`, `mapping`, `key`, `rule`, `action`.
    """

    rows: dict[str, pl.DataFrame]
    findings: pl.DataFrame
    books: dict[str, Book]
    held: frozenset[str]
    abort: str = ""
    groups: dict[str, str] = field(default_factory=dict)
    left: dict[str, pl.DataFrame] = field(default_factory=dict)
    cleaned: pl.DataFrame = field(default_factory=pl.DataFrame)


@dataclass(frozen=True, slots=True)
class Override:
    """
    A person's decision about one field of one source row, or (key None) about every row of one user.

    action: use (put `value`) · null · skip (drop the row) · keep (rows that a cleaning rule would take).
    """

    mapping: str
    user: str
    key: str | None
    field: str
    action: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """
    All that mapping may know beside the rows: the plan, fixed decisions, rows of reference tables.

    `references`: table -> its rows in the target's frame types (all columns that the set names). `watch`: who looks on;
    nothing depends on it. `keyed(purpose, text)`: a keyed hash as hex, the same in every run of a project.
    `records` (`source`, `record_key`, `user_key`): those of the users, where they have some in several sources.
    `groups`: every user who merges with others -> the key of the one who survives, who is in it, too.
    `numbers`: per mapping whose ids are a sequence, `__user`, `__key` and `id` of every row; None where nothing is
    written and any numbers will do. `standing`: per mapping, rows that are in the target already under another id than
    theirs: `__user`, `__key`, `id` (text, that of the row there) and `stays` (the row there is not touched).
    """

    plan_id: str
    as_of: str  # ISO instant, UTC
    overrides: tuple[Override, ...] = ()
    references: dict[str, pl.DataFrame] = field(default_factory=dict)
    watch: Watch = NOBODY
    keyed: Callable[[str, str], str] | None = field(default=None, repr=False)
    records: pl.DataFrame | None = field(default=None, repr=False)
    groups: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, pl.DataFrame] | None = field(default=None, repr=False)
    standing: dict[str, pl.DataFrame] = field(default_factory=dict, repr=False)
