"""Which mappings merge users, and in which keys rows of users who became one may meet."""

from __future__ import annotations

from collections.abc import Iterator

from migrator.mapping import identities, walk
from migrator.mapping.model import Lookup, Mapping, MappingSet, Rule
from migrator.mapping.schema import Table

UNNAMED = ""  # the column of the id, where only the schema of the target names it
#: What may become of a field of rows that are one, and the kinds of values it makes sense for (None: all).
NUMBERS = frozenset({"sum"})
TRUTHS = frozenset({"any", "all"})
LISTS = frozenset({"union", "append"})
#: Ids that are made of the legacy row alone: rows of users who became one keep theirs, and meet in no key that holds it.
_EACH_ITS_OWN = frozenset({"uuid5", "keep", "sequence"})


def merges_users(mapping: Mapping) -> bool:
    """Whether `merge_duplicates` of *mapping* makes one user of several: it has one row per user."""
    return mapping.merge is not None and is_own(mapping)


def is_own(mapping: Mapping) -> bool:
    """Whether *mapping* has one row per user."""
    return mapping.source.key == mapping.source.user and mapping.source.unnest is None


def merging(set_: MappingSet) -> list[Mapping]:
    """The mappings that merge users; the first of them says who survives."""
    return [mapping for mapping in set_.mappings.values() if merges_users(mapping)]


def folding(set_: MappingSet) -> frozenset[str]:
    """Names of the mappings whose rows of merged users may become one row."""
    if not merging(set_):
        return frozenset()
    found = (name for name, mapping in set_.mappings.items() if merges_users(mapping) or mapping.when_merged)
    return frozenset(found)


def meetings(set_: MappingSet, mapping: Mapping, table: Table | None) -> Iterator[tuple[str, ...]]:
    """
    Keys of the target in which rows of merged users may be equal, because a part of the key is the id of a folded row.

    Args:
        table: None leaves out what only the target's schema tells.
    """
    if merges_users(mapping):
        return
    folded, identity = folding(set_), mapping.target.id
    own = identities.id_column(mapping, table) or UNNAMED
    looked_up = {str(name) for name, rule in mapping.fields.items() if _looks_up(name, rule, folded)}
    if identity.how == "lookup" and identity.mapping in folded:
        looked_up.add(own)
    known = {*map(str, mapping.fields), own}
    keys = [table.key, *table.uniques] if table else []
    keys.append(identity.columns if identity.how == "fields" else (own,))
    alone = {own} if identity.how in _EACH_ITS_OWN else set[str]()
    for key in dict.fromkeys(tuple(map(str, key)) for key in keys if key):
        if set(key) & looked_up and set(key) <= known and not set(key) & alone:
            yield key


def _looks_up(name: str, rule: Rule, folded: frozenset[str]) -> bool:
    for spot in walk.within(name, rule):
        source = spot.rule.source
        if isinstance(source, Lookup) and source.mapping in folded:
            return spot.path == name
        if any(step.name == "lookup" and step.args in folded for step in spot.rule.steps if isinstance(step.args, str)):
            return spot.path == name
    return False
