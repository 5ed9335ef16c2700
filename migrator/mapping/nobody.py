"""
Rows of nobody that move (`without_user: move`): each is its own owner, and rows that look it up are its, too.

The owner is a user of a kind of its own, `~MAPPING:KEY`, with ledger, snapshot, cases and rollback as users have them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import polars as pl

from migrator.mapping import ids, walk
from migrator.mapping import values as columns
from migrator.mapping.model import UNSET, From, Mapping, MappingSet
from migrator.mapping.walk import Wait

MARK = "~"

#: Texts -> those among them that are keys of `users`.
Known = Callable[[pl.Series], pl.Series]


@dataclass(frozen=True, slots=True)
class Way:
    """How a row of nobody finds the row it belongs to: the mapping of that row, and the COLUMNs that name it."""

    parent: str
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parents:
    """
    Rows of nobody that were found so far, per mapping: `id` (what children look up) and `owner`.

    `owners` are all who own a row, also one that `where` leaves out.
    """

    rows: dict[str, pl.DataFrame] = field(default_factory=dict)
    owners: set[str] = field(default_factory=set)

    def of(self, mapping: str) -> pl.DataFrame:
        """Those of one mapping; none where it was not read."""
        return self.rows.get(mapping, pl.DataFrame(schema={"id": pl.String, "owner": pl.String}))

    def add(self, mapping: Mapping, frame: pl.DataFrame, owner: pl.Series) -> None:
        """Remember rows that children may look up: by columns of the source, not by what shaping makes (E213)."""
        if not set(id_columns(mapping)) <= set(frame.columns):
            return
        found = pl.DataFrame({"id": key_of(frame, id_columns(mapping)), "owner": owner})
        self.rows[mapping.name] = found.drop_nulls().unique("id", keep="first", maintain_order=True)


def moves(mapping: Mapping) -> bool:
    """Whether rows of nobody move by this mapping."""
    return mapping.source.without_user is not None and mapping.source.without_user.move


def movers(set_: MappingSet) -> list[Mapping]:
    """The mappings by which rows of nobody move, parents first."""
    return [mapping for mapping in set_.mappings.values() if moves(mapping)]


def mapping_of(set_: MappingSet, key: str) -> str | None:
    """The mapping whose row of nobody a user key stands for; None for the key of a user."""
    if not key.startswith(MARK):
        return None
    name = key[len(MARK) :].partition(":")[0]
    return name if ":" in key and name in set_.mappings and moves(set_.mappings[name]) else None


def apart(set_: MappingSet, keys: Iterable[str]) -> tuple[list[str], list[str]]:
    """Keys of users, and those of rows of nobody."""
    if not movers(set_):
        return list(keys), []
    people, rows = list[str](), list[str]()
    for key in keys:
        (people if mapping_of(set_, key) is None else rows).append(key)
    return people, rows


def owner(mapping: Mapping, frame: pl.DataFrame) -> pl.Series:
    """The rows as their own owners; null where a part of the key is null."""
    parts = [columns.text(frame[name]) for name in key_columns(mapping, frame.columns)]
    if len(parts) > 1:
        # so that parts that hold the separator never make one key of two
        parts = [part.str.replace_all(r"([\\:])", r"\$1") for part in parts]
    told = pl.DataFrame([part.alias(str(place)) for place, part in enumerate(parts)])
    text = told.select(pl.concat_str(pl.all(), separator=":")).to_series()
    return (f"{MARK}{mapping.name}:" + text).alias("owner")


def first_parts(mapping: Mapping, keys: Sequence[str], several: int) -> list[str]:
    """The first part of the keys of rows of one mapping whose keys have *several* parts."""
    texts = [key[len(MARK) + len(mapping.name) + 1 :] for key in keys]
    if several == 1:
        return texts
    cut = [re.match(r"(?:\\.|[^\\:])*", text) for text in texts]
    return [re.sub(r"\\(.)", r"\1", found[0]) if found else "" for found in cut]


def key_columns(mapping: Mapping, there: Iterable[str]) -> list[str]:
    """The parts of a row's key as far as they are columns of the source; an unnest adds others, later."""
    known = set(there)
    return [str(name) for name in mapping.source.key if str(name) in known]


def id_columns(mapping: Mapping) -> tuple[str, ...]:
    """The COLUMNs by which children know a row."""
    return tuple(str(name) for name in mapping.target.id.columns or mapping.source.key)


def key_of(frame: pl.DataFrame, names: Sequence[str]) -> pl.Series:
    """The canonical text of these columns together; null where one is null."""
    return ids.key([columns.text(frame[name]) for name in names])


def way(set_: MappingSet, mapping: Mapping) -> Way | None:
    """The first lookup of a mapping whose rows of nobody move: whoever owns that row owns this one. None: its own owner."""
    return next((found for wait in ways_up(set_, mapping) if (found := plain(mapping, wait)) is not None), None)


def ways_up(set_: MappingSet, mapping: Mapping) -> list[Wait]:
    """Every lookup of a mapping whose rows of nobody move."""
    waits = (wait for wait in walk.waits(mapping) if wait.collect is None)
    return [wait for wait in waits if wait.parent in set_.mappings and moves(set_.mappings[wait.parent])]


def plain(mapping: Mapping, wait: Wait) -> Way | None:
    """A lookup by columns of the source as they stand; None where one is computed first."""
    if wait.computed:
        return None
    by = [_plain(mapping, str(name)) for name in wait.by]
    found = tuple(name for name in by if name is not None)
    return Way(str(wait.parent), found) if found and len(found) == len(by) else None


def _plain(mapping: Mapping, name: str) -> str | None:
    if not name.startswith("$"):
        return name
    rule = {**mapping.fields, **mapping.vars}.get(name[1:])
    if rule is None or not isinstance(rule.source, From) or rule.source.aggregate or len(rule.source.columns) != 1:
        return None
    is_copy = not rule.steps and rule.default is UNSET
    return _plain(mapping, str(rule.source.columns[0])) if is_copy else None


def belongs(mapping: Mapping, user: pl.Series, known: Known) -> pl.Series:
    """Whether a row belongs to nobody: no user, one that stands for none, or one who is no key of `users`."""
    none = mapping.source.without_user
    texts = [columns.literal_text(value) for value in none.values] if none else []
    nobody = user.is_null() | columns.is_true(user.is_in([text for text in texts if text is not None]))
    named = user.filter(~nobody).unique()
    return nobody | ~columns.is_true(user.is_in(known(named).implode())) if len(named) else nobody


@dataclass(frozen=True, slots=True)
class Divided:
    """
    The rows of nobody of one mapping, all of them: `rows` = `moved` + `filtered` + `keyless`.

    `moved` have an owner, `strays` of them are their own although their mapping looks up a row that moves (there is no
    such row, or it belongs to a user); `filtered` are left out by `where`; `keyless` have no key to be owned by.
    """

    rows: int
    moved: int
    strays: int
    filtered: int
    keyless: int
    owners: pl.Series

    def __post_init__(self) -> None:
        assert self.rows == self.moved + self.filtered + self.keyless


def divide(set_: MappingSet, mapping: Mapping, rows: pl.DataFrame, kept: pl.Series, parents: Parents) -> Divided:
    """
    Say whose each of all rows of nobody is.

    Args:
        rows: The rows with the columns of key, id and way up. kept: those that `where` wants.
        parents: What came before; the rows of this mapping are added.
    """
    above = above_of(set_, mapping, rows, parents)
    own = owner(mapping, rows)
    owners = pl.select(pl.when(above.is_not_null()).then(above).when(kept).then(own)).to_series()
    parents.add(mapping, rows.filter(kept), owners.filter(kept))
    is_own = above.is_null() & kept
    return Divided(
        rows=rows.height,
        moved=int(owners.is_not_null().sum()),
        strays=int((is_own & own.is_not_null()).sum()) if way(set_, mapping) else 0,
        filtered=int((above.is_null() & ~kept).sum()),
        keyless=int((is_own & own.is_null()).sum()),
        owners=owners.filter(is_own).drop_nulls().unique(maintain_order=True),
    )


def above_of(set_: MappingSet, mapping: Mapping, rows: pl.DataFrame, parents: Parents) -> pl.Series:
    """The owner of the row that each row looks up; null where there is no such row of nobody."""
    up = way(set_, mapping)
    if up is None:
        return pl.Series("owner", [None], dtype=pl.String).new_from_index(0, rows.height)
    asked = pl.DataFrame({"id": key_of(rows, up.by)})
    return asked.join(parents.of(up.parent), on="id", how="left", maintain_order="left")["owner"]
