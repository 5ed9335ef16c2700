"""Users who must travel together are one unit: drawn, cut and split as one, counted as many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from migrator.rollout.tiers import DEFAULT_ORDER


@dataclass(frozen=True, slots=True)
class Alone(Mapping[str, Sequence[str]]):
    """Users of whom each is a unit: of a million of them nothing is made but the list that there is."""

    users: Sequence[str]

    def __getitem__(self, user: str) -> Sequence[str]:
        return (user,)

    def __iter__(self) -> Iterator[str]:
        return iter(self.users)

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class Units:
    """`members`: the first of each unit -> all of it, himself too; who travels alone is a unit of one."""

    members: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, users: pl.DataFrame) -> Units:
        """Make units of `user` and, where there is such a column, `unit` (null: alone)."""
        if "unit" not in users.columns:
            return cls(Alone(users["user"].to_list()))
        return cls.among(users["user"].to_list(), dict(users.select("user", "unit").drop_nulls().iter_rows()))

    @classmethod
    def among(cls, users: Iterable[str], together: Mapping[str, str]) -> Units:
        """Make units of *users*; *together* says for who does not travel alone who the first of the unit is."""
        if not together:
            return cls(Alone(list(users)))
        found: dict[str, list[str]] = {}
        for user in users:
            found.setdefault(together.get(user, user), []).append(user)
        # where the first is not among the users, the next one stands for the unit
        return cls({members[0] if leader not in members else leader: members for leader, members in found.items()})

    @cached_property
    def users(self) -> int:
        """How many users there are."""
        return len(self.members) if self.are_alone else sum(map(len, self.members.values()))

    @property
    def are_alone(self) -> bool:
        """Whether nobody travels with another."""
        return isinstance(self.members, Alone)

    def spread(self, leaders: Iterable[str]) -> list[str]:
        """All users of these units, unit by unit."""
        return list(leaders) if self.are_alone else [user for leader in leaders for user in self.members[leader]]

    def first(self, users: int, ranked: Sequence[str]) -> list[str]:
        """Take units in the order *ranked* until *users* are taken; one that is too large for the rest is passed over."""
        if self.are_alone:
            return list(ranked[: max(users, 0)])
        taken, left = [], users
        for leader in ranked:
            if left <= 0:
                break
            if len(self.members[leader]) <= left:
                taken.append(leader)
                left -= len(self.members[leader])
        return taken

    def part(self, users: int, leaders: Sequence[str], start: int) -> int:
        """Say where a part ends that begins at *start* and holds at most *users*; one unit always, however large."""
        if self.are_alone:
            return min(len(leaders), start + max(users, 1))
        count, place = 0, start
        while place < len(leaders) and (place == start or count + len(self.members[leaders[place]]) <= users):
            count += len(self.members[leaders[place]])
            place += 1
        return place


def one_tier(users: pl.DataFrame, order: Sequence[str]) -> pl.DataFrame:
    """
    Give all users of a unit the highest tier that one of them has: the tier of the most valuable.

    Args:
        users: `tier` and `unit` (null: alone) of everybody.
        order: All tiers; counts for those whose value is not known.
    """
    if users["unit"].null_count() == users.height:
        return users
    known = list(dict.fromkeys([*(tier.value for tier in DEFAULT_ORDER), *order]))
    value = pl.col("tier").replace_strict(known, list(range(len(known))), default=len(known))
    best = pl.col("tier").sort_by(value).first().over("unit")
    return users.with_columns(pl.when(pl.col("unit").is_null()).then("tier").otherwise(best).alias("tier"))
