"""Who merges with whom: what each user's row says, and the groups that follow. Found once, over all users."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from migrator.mapping import drafts, groups, ids, merge
from migrator.mapping import values as columns
from migrator.mapping.lookups import InBatch
from migrator.mapping.model import Mapping as Document
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Context, SourceRows
from migrator.mapping.schema import Kind, Table
from migrator.mapping.values import Values


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """
    What `merge_duplicates` of one mapping compares, for some users, one row per user who has one.

    `match` is null where a part of it is; `by` is what `keep` compares; `told` has the text of each column of
    `review_if_different`.
    """

    users: pl.Series
    match: pl.Series
    by: Values
    told: dict[str, pl.Series]


@dataclass(frozen=True, slots=True)
class Likeness:
    """Users whose rows agree in `match` of one mapping, best to survive first; `differing` are what they differ in."""

    mapping: str
    value: str
    users: tuple[str, ...]
    differing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grouped:
    """
    Who is one user (`groups`: survivor first), and who may be, for a person to decide (`doubtful`).

    `units` are those who travel together, as one user or because they may be one; each user is in one at most.
    """

    groups: tuple[tuple[str, ...], ...] = ()
    doubtful: tuple[Likeness, ...] = ()
    units: tuple[tuple[str, ...], ...] = ()

    def figures(self) -> dict[str, int]:
        """How many users become how many accounts, and how many wait for a decision."""
        return {"users": len(self.leaders), "accounts": len(self.groups), "doubtful": len(self.unsure)}

    @property
    def leaders(self) -> dict[str, str]:
        """Every user who merges with others -> who survives."""
        return {user: group[0] for group in self.groups for user in group}

    @property
    def together(self) -> dict[str, str]:
        """Every user who travels with others -> the first of them."""
        return {user: unit[0] for unit in self.units for user in unit}

    @property
    def unsure(self) -> dict[str, Likeness]:
        """Every user who waits for a decision about a likeness, his own or that of somebody he merges with."""
        found: dict[str, Likeness] = {}
        leaders = self.leaders
        for likeness in self.doubtful:
            for user in sorted(groups.closed(likeness.users, leaders)):
                found.setdefault(user, likeness)
        return found


def facts(set_: MappingSet, mapping: Document, source: SourceRows, context: Context, table: Table | None) -> Facts:
    """
    Say what the rows of some users have to say about who they are; nothing is written and nobody is rejected.

    Raises:
        WrongInput: `keep` asks for what cannot be compared.
    """
    assert mapping.merge is not None  # the caller asks only mappings that merge
    lookups = InBatch({}, context.references, source.frame["__user"])
    sheet = drafts.sheet_of(set_, mapping, source, context, lookups, table)
    return Facts(
        sheet.users,
        ids.key([sheet.column(name).text for name in mapping.merge.match]),
        merge.rank_by(mapping.merge, sheet).only(),
        {str(name): sheet.column(name).text for name in mapping.merge.review_if_different},
    )


def together(parts: Sequence[Facts]) -> Facts:
    """Facts of several lots of users as one."""
    if len(parts) == 1:
        return parts[0]
    return Facts(
        pl.concat([part.users for part in parts]),
        pl.concat([part.match for part in parts]),
        _as_one([part.by for part in parts]),
        {name: pl.concat([part.told[name] for part in parts]) for name in parts[0].told},
    )


def _as_one(lots: Sequence[Values]) -> Values:
    kinds = {lot.kind for lot in lots if lot.values.null_count() < len(lot)}
    kind = kinds.pop() if len(kinds) == 1 else Kind.TEXT  # what one lot holds may be read otherwise than another
    nothing = pl.Series([None], dtype=columns.dtype_of(kind))
    known = [lot.values.null_count() < len(lot) for lot in lots]
    made = [
        columns.as_kind(lot, kind).values if some else nothing.new_from_index(0, len(lot))
        for lot, some in zip(lots, known, strict=True)
    ]
    return Values(pl.concat(made), kind)


def likenesses(mapping: Document, all_: Facts) -> list[Likeness]:
    """
    Compare all users; nulls never match.

    Args:
        all_: of everybody, in the order in which ties are decided.
    """
    assert mapping.merge is not None  # the caller asks only mappings that merge
    frame = pl.DataFrame({"user": all_.users, "match": all_.match, "by": all_.by.values}).with_columns(
        text.alias(f"told {name}") for name, text in all_.told.items()
    )
    paired = frame.drop_nulls("match").filter(pl.col("match").is_duplicated())
    ranked = merge.in_order(paired, mapping.merge).sort("match", maintain_order=True)
    found = ranked.group_by("match", maintain_order=True).agg(
        pl.col("user"), *(pl.col(f"told {name}").n_unique().alias(f"told {name}") for name in all_.told)
    )
    return [
        Likeness(
            mapping.name,
            str(row["match"]).replace(ids.SEPARATOR, ", "),
            tuple(row["user"]),
            tuple(name.removeprefix("$") for name in all_.told if row[f"told {name}"] > 1),
        )
        for row in found.iter_rows(named=True)
    ]


def grouped(
    ranks: Mapping[str, int],
    found: Sequence[Likeness],
    merged: Collection[tuple[str, frozenset[str]]],
    apart: Collection[tuple[str, frozenset[str]]],
) -> Grouped:
    """
    Make groups of likenesses: connected components, over all mappings that merge.

    Args:
        ranks: Every user who is like another -> place in the order of survival.
        merged, apart: what people decided, by mapping and users; it holds for these users and for fewer of them.
    """

    def decided(likeness: Likeness, by: Collection[tuple[str, frozenset[str]]]) -> bool:
        return any(mapping == likeness.mapping and users >= set(likeness.users) for mapping, users in by)

    alike = [one for one in found if not decided(one, apart)]
    sure = [one for one in alike if not one.differing or decided(one, merged)]
    unsure = tuple(one for one in alike if one not in sure)
    return Grouped(
        groups=_components(ranks, [one.users for one in sure]),
        doubtful=unsure,
        units=_components(ranks, [one.users for one in alike]),
    )


def ranks_of(found: Sequence[tuple[Document, Facts]], users: Collection[str]) -> dict[str, int]:
    """
    Put *users* in the order of survival: by `keep` of the first mapping that merges, those it does not know by the next.

    Args:
        found: per mapping that merges, in the order of the set, the facts of everybody.
    """
    asked = pl.Series(sorted(users), dtype=pl.String).implode()
    ranks: dict[str, int] = {}
    for mapping, all_ in found:
        assert mapping.merge is not None  # the caller asks only mappings that merge
        frame = pl.DataFrame({"user": all_.users, "by": all_.by.values}).filter(pl.col("user").is_in(asked))
        for user in merge.in_order(frame, mapping.merge)["user"].to_list():
            ranks.setdefault(user, len(ranks))
    return ranks


def _components(ranks: Mapping[str, int], clusters: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    found = groups.components(clusters)
    return tuple(tuple(sorted(members, key=lambda user: ranks[user])) for members in found)
