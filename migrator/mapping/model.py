"""
The mapping language as values: what `document.py` makes of YAML and all other files of this room read.

Every node that an error may name carries its Place. No logic here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

from migrator.mapping.custom import Function

Literal: TypeAlias = Any  # str, int, bool, None, Decimal for a number with a point; lists and maps of these


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands; lines and columns count from 1. `file` is the path as the reader would type it."""

    file: str
    line: int
    column: int
    length: int = 1


class Word(str):
    """
    A name as written in a document (of a column, a table, a mapping) that knows where it stands.

    To all the world it is a str; only lint asks for `place`.
    """

    __slots__ = ("place",)
    place: Place

    def __new__(cls, text: str, place: Place) -> Self:
        """Make a word that stands at *place*."""
        word = super().__new__(cls, text)
        word.place = place
        return word

    def __getnewargs__(self) -> tuple[str, Place]:  # type: ignore[override]  # str's own has no place
        return str(self), self.place


class _Unset:
    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False

    def __reduce__(self) -> str:
        return "UNSET"


UNSET: Any = _Unset()


@dataclass(frozen=True, slots=True)
class Step:
    """One transform with its arguments as written: None, a literal, a list or a map."""

    name: str
    args: Any
    place: Place


# ---- predicates -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Test:
    """
    One test of one COLUMN.

    op: in · not_in · null · not_null · gt · gte · lt · lte · same_as · matches · since · older_than · unread.
    `in` and `not_in` hold a tuple of literals (None among them means null); `same_as` a COLUMN; `since` and `older_than` a
    day count.
    """

    column: str
    op: str
    value: Any
    place: Place
    unit: str | None = None  # since, older_than on a number: s | ms | us


@dataclass(frozen=True, slots=True)
class Predicate:
    """All tests hold and, where `any` is not empty, one of them."""

    tests: tuple[Test, ...] = ()
    any: tuple[Predicate, ...] = ()


# ---- sources ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Names:
    """Where the names of a pivot stand: in the table itself (`column` alone) or in a table of names."""

    column: str
    table: str | None = None
    match: str | None = None
    take: str | None = None
    where: Predicate = Predicate()


@dataclass(frozen=True, slots=True)
class Pivot:
    """Rows of (name, value) become columns. `by` only for a source; a join goes by its `match`."""

    names: Names
    values: str
    by: str | None = None
    duplicates: tuple[str, str] | None = None  # (oldest | most_recent | first | last, column)


@dataclass(frozen=True, slots=True)
class Join:
    """
    Rows of other legacy tables beside each source row: one row, one of several (`keep`), `many`, or a pivot.

    They are found by `match`, or (`user`: a column of theirs) as the rows of the same user.
    """

    name: str
    tables: tuple[str, ...]
    match: tuple[tuple[str, str], ...]  # (its column, COLUMN of the source or of an earlier one-row join)
    place: Place
    user: str | None = None
    user_of: str | None = None  # whose key `user` holds; None = that of the people of its own database
    where: Predicate = Predicate()
    keep: tuple[str, str] | None = None  # (most_recent | oldest, column)
    many: bool = False
    order: str | None = None  # many
    item_key: str | None = None  # many
    pivot: Pivot | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """All source rows of one `by` become one row whose columns are lists, in `order`."""

    by: str
    order: str | None = None
    item_key: str | None = None


@dataclass(frozen=True, slots=True)
class Unnest:
    """One source row becomes one row per part of `column`."""

    column: str
    as_: str
    separator: str | None = None
    regex: bool = False  # the separator is a pattern
    parse: str | None = None  # json | php
    key: str | None = None
    position: str | None = None


@dataclass(frozen=True, slots=True)
class WithoutUser:
    """Rows of nobody: left behind with a reason, or moved in a wave of their own."""

    leave: str | None
    values: tuple[Literal, ...] = ()
    move: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """
    Which legacy rows a mapping reads, and whose they are (`user`: the first COLUMN that is not null).

    `user_of`: whose key `user` holds, one of the names in set.yaml; None = that of the people of its own database.
    """

    table: str
    key: tuple[str, ...]
    user: tuple[str, ...]
    place: Place
    user_of: str | None = None
    where: Predicate = Predicate()
    null_if: tuple[Literal, ...] = ()
    joins: dict[str, Join] = field(default_factory=dict)  # in order; a `through` user is a one-row join named so
    pivot: Pivot | None = None
    group: Group | None = None
    unnest: Unnest | None = None
    without_user: WithoutUser | None = None


# ---- rules ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class From:
    """One or several COLUMNs: `col`, `join.col`, `$field`, `$plan.id`, `$plan.as_of`."""

    columns: tuple[str, ...]
    aggregate: str | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """A literal."""

    literal: Literal


@dataclass(frozen=True, slots=True)
class Lookup:
    """The id of a row of the same user in another mapping."""

    mapping: str
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """One row of a reference table in the target; exactly one hit."""

    table: str
    match: tuple[tuple[str, str], ...]  # (target column, COLUMN)
    take: str


@dataclass(frozen=True, slots=True)
class Object:
    """A JSON object."""

    rules: dict[str, Rule]
    omit_nulls: bool = False


@dataclass(frozen=True, slots=True)
class Collect:
    """A JSON array: of the rows of a `many` join (`of`), or of a grouped source (`of` is None)."""

    rules: dict[str, Rule]
    of: str | None = None
    on_item_error: str = "review"  # review | review_item
    omit_nulls: bool = False


@dataclass(frozen=True, slots=True)
class Branch:
    """One way of a choose; `when` None is else. Either a rule or `review` (a hold on a condition)."""

    when: Predicate | None
    rule: Rule | None
    warn: str | None = None
    review: str | None = None


@dataclass(frozen=True, slots=True)
class Choose:
    """The first branch whose condition holds; none taken = null."""

    branches: tuple[Branch, ...]


@dataclass(frozen=True, slots=True)
class Number:
    """Position among the rows read."""

    within: tuple[str, ...]
    order: tuple[str, ...]
    start: int = 0


@dataclass(frozen=True, slots=True)
class Rest:
    """The names of the pivot that nobody mapped, as a JSON object."""


RuleSource: TypeAlias = From | Value | Lookup | Reference | Object | Collect | Choose | Number | Rest


@dataclass(frozen=True, slots=True)
class Rule:
    """How one target value comes about: source -> steps -> default -> required -> fit."""

    source: RuleSource
    place: Place
    steps: tuple[Step, ...] = ()
    default: Literal = UNSET
    required: bool = False
    on_error: str = "review"  # review | skip | abort | use
    use: Literal = UNSET  # with on_error use
    on_missing: str = "review"  # review | null | skip
    sensitive: bool = False
    owner: str = "legacy"  # legacy | target: whose changes count when a user goes back after the cutover


# ---- a mapping --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Id:
    """How the target's primary key comes about. how: uuid5 · keep · lookup · fields · sequence."""

    how: str
    columns: tuple[str, ...] = ()
    mapping: str | None = None  # lookup
    as_: str | None = None  # the target column; None = the one-column primary key


@dataclass(frozen=True, slots=True)
class OnConflict:
    """
    What to do where a row with these columns is already in the target.

    `leave`: columns ("*": all of them) of a row that was found which are neither written nor compared, where the found
    row is as the predicate says; its COLUMNs are columns of the target. `newer`: the column that says which is newer.
    """

    match: tuple[str, ...]
    action: str = "review"  # skip · skip_if_equal · update · update_if_newer · fill_nulls
    leave: dict[str, Predicate | None] = field(default_factory=dict)
    newer: str | None = None  # update_if_newer


@dataclass(frozen=True, slots=True)
class Target:
    """The table a mapping writes."""

    table: str
    id: Id
    place: Place
    on_conflict: OnConflict | None = None


@dataclass(frozen=True, slots=True)
class Merge:
    """Rows that are one: which, who survives, and each field's value."""

    match: tuple[str, ...]
    keep: tuple[str, str]  # (most_recent | oldest | most_complete | source_priority: the lowest rank, COLUMN)
    fields: dict[str, str]
    place: Place
    review_if_different: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cleaning:
    """
    Rows that are not wanted in the new system, or not without a person: where `when` holds, all but one of those that
    agree in `duplicates`, or those whose `invalid` fields failed.
    """

    name: str
    action: str  # drop | archive | hold
    reason: str
    place: Place
    when: Predicate = Predicate()
    duplicates: tuple[str, ...] = ()
    keep: tuple[str, str] = ("most_recent", "")  # (most_recent | oldest, COLUMN); with duplicates
    invalid: tuple[str, ...] = ()  # fields


@dataclass(frozen=True, slots=True)
class Ignore:
    """A source column (or a pattern, or `join.column`, or a table in set.yaml) left behind, and why."""

    pattern: str
    reason: str
    place: Place
    expect: str | None = None  # empty | constant


@dataclass(frozen=True, slots=True)
class Example:
    """A golden row."""

    name: str
    given: dict[str, Any]
    place: Place
    expect: dict[str, Any] | None = None
    expect_review: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Mapping:
    """One YAML document: how legacy rows become rows of one target table."""

    name: str
    source: Source
    target: Target
    fields: dict[str, Rule]
    place: Place
    about: str = ""
    vars: dict[str, Rule] = field(default_factory=dict)
    merge: Merge | None = None
    when_merged: dict[str, str] = field(default_factory=dict)
    clean: tuple[Cleaning, ...] = ()
    ignore: tuple[Ignore, ...] = ()
    on_reject: str = "hold_user"  # hold_row
    abort_above: float | None = None  # share of rejected rows, 0..1
    sums: dict[str, str] = field(default_factory=dict)  # checks.sums: target column -> legacy column, per user
    examples: tuple[Example, ...] = ()


# ---- set.yaml ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Users:
    """
    Who the users are, or records of the same people elsewhere. `email`, `name`, `locale` are COLUMNs or None.

    `verified`: where the e-mail address is known to be the person's own; None = nowhere.
    """

    table: str
    key: str
    place: Place
    email: str | None = None
    name: str | None = None
    locale: str | None = None
    where: Predicate = Predicate()
    joins: dict[str, Join] = field(default_factory=dict)
    verified: Predicate | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """
    One way to know that a record is a user.

    how: `id` (`column` holds the key of a record of `of`) · `link` (rows of `table` name a record of ours by `record`
    and one of `of` by `column`) · `email` (the same verified e-mail address). `of` None means the users themselves.
    """

    how: str
    place: Place
    column: str = ""
    of: str | None = None
    table: str = ""
    record: str = ""


@dataclass(frozen=True, slots=True)
class Also:
    """Records elsewhere of people who may be users: `same` says, most trusted way first, who is who."""

    name: str
    who: Users
    same: tuple[Way, ...]
    several: bool = False  # one user may have several such records


@dataclass(frozen=True, slots=True)
class Activity:
    """A row = a sign of life, or (with `amount`) money."""

    table: str
    user: str
    at: str
    place: Place
    user_of: str | None = None  # as in a source
    where: Predicate = Predicate()
    joins: dict[str, Join] = field(default_factory=dict)
    amount: str | None = None
    currency: str | None = None
    minus: bool = False


@dataclass(frozen=True, slots=True)
class UserSet:
    """set.yaml."""

    name: str
    users: Users
    place: Place
    null_if: tuple[Literal, ...] = ()
    at: tuple[Step, ...] = ()
    activity: tuple[Activity, ...] = ()
    paid: tuple[Activity, ...] = ()
    tables: tuple[Ignore, ...] = ()
    changes: dict[str, str] = field(default_factory=dict)  # table -> the column that says when a row was written last
    also: dict[str, Also] = field(default_factory=dict)  # in the order of trust for what two of them say differently


@dataclass(frozen=True, slots=True)
class MappingSet:
    """
    A folder of mappings, read and free of document errors.

    `mappings` are ordered parents first (by lookup). `files` holds each CSV a step names as (header, rows) of text,
    `functions` the project's own code that steps call.
    `texts` is every file of the set as read (name -> text), from which the same set can be made again; `hash` is over them.
    """

    set: UserSet
    mappings: dict[str, Mapping]
    texts: dict[str, str]
    hash: str
    files: dict[str, tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
