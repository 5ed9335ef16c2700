"""Who belongs together: sets that share a member become one; and what is true of one member is true of all."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import polars as pl

T = TypeVar("T", bound=Hashable)


def components(clusters: Iterable[Sequence[T]]) -> list[tuple[T, ...]]:
    """
    Join all *clusters* that share a member, however long the way from one to the other.

    Returns:
        Each component once, members in the order in which they came; components in the order of their first member.
    """
    leader: dict[T, T] = {}
    for cluster in clusters:
        for member in cluster:
            one, other = _root(leader, cluster[0]), _root(leader, member)
            leader[other] = one
    found: dict[T, list[T]] = {}
    for member in leader:
        found.setdefault(_root(leader, member), []).append(member)
    return [tuple(members) for members in found.values()]


def _root(leader: dict[T, T], member: T) -> T:
    path = []
    while leader.setdefault(member, member) != member:
        path.append(member)
        member = leader[member]
    for passed in path:  # the next one to ask has a short way
        leader[passed] = member
    return member


def closed(users: Collection[str], groups: Mapping[str, str]) -> frozenset[str]:
    """*users*, and everybody who merges with one of them."""
    leaders = {groups[user] for user in users if user in groups}
    if not leaders:
        return frozenset(users)
    return frozenset(users) | {user for user, leader in groups.items() if leader in leaders}


def among(groups: Mapping[str, str], users: Sequence[str]) -> dict[str, str]:
    """
    Say who merges with whom where only *users* are left: whoever is alone merges with nobody.

    Where the survivor is gone, the first of those who are left takes the place.
    """
    there = set(users)
    left: dict[str, list[str]] = {}
    for user in users:
        if user in groups:
            left.setdefault(groups[user], []).append(user)
    return {
        user: leader if leader in there else members[0]
        for leader, members in left.items()
        if len(members) > 1
        for user in members
    }


def owners(users: pl.Series, groups: Mapping[str, str]) -> pl.Series:
    """Say whose each row is after the merge: of the one who survives."""
    if not groups:
        return users
    known = pl.DataFrame(
        {"user": list(groups), "owner": list(groups.values())}, schema=dict.fromkeys(("user", "owner"), pl.String)
    )
    joined = users.alias("user").to_frame().join(known, on="user", how="left", maintain_order="left")
    return joined.select(pl.coalesce("owner", "user")).to_series()
