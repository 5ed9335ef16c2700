"""Which legacy table each target table is filled from: by name, by columns, and by where both stand."""

from __future__ import annotations

from migrator.mapping.proposing import columns, words
from migrator.mapping.proposing.ground import Ground
from migrator.mapping.proposing.wanted import meant
from migrator.mapping.schema import Column, Table

ENOUGH = 0.3


def pairs(ground: Ground) -> dict[str, str]:
    """Target table -> legacy table, parents first; target tables of nobody's rows are left out."""
    found = {ground.root: ground.users}
    wanted = [name for name in ground.target.tables if name != ground.root and ground.belongs_to_users(name)]
    there = [name for name in ground.ways if ground.rows(name)]
    scored = sorted(
        ((_score(ground, ground.target.tables[ours], theirs), ours, theirs) for ours in wanted for theirs in there),
        key=lambda one: (-one[0], one[1], one[2]),
    )
    used = {ground.users}
    for likely, ours, theirs in scored:
        free = theirs not in used or (theirs == ground.users and ground.is_single(ground.target.tables[ours]))
        if likely >= ENOUGH and ours not in found and free:
            found[ours] = theirs
            used.add(theirs)
    return {name: found[name] for name in _parents_first(ground) if name in found}


def own_columns(ground: Ground, table: Table) -> list[Column]:
    """Columns that say something themselves: neither key, nor foreign key, nor computed."""
    keys = {name for key in table.foreign_keys for name in key.columns}
    if len(table.key) == 1:
        keys |= set(table.key)
    return [meant(column) for name, column in table.columns.items() if name not in keys and not column.generated]


def _score(ground: Ground, ours: Table, theirs: str) -> float:
    """How likely a target table is filled from a legacy table, 0 to about 1."""
    around = words.words(ground.users) + words.words(ground.root)
    name = words.likeness(words.words(ours.name), words.words(theirs), around if theirs != ground.users else ())
    single = ground.is_single(ours)
    if theirs == ground.users:
        if not single:
            return 0.0
        name = max(name, 0.55)
    candidates = ground.candidates(theirs)
    wanted = own_columns(ground, ours)
    known = columns.assign(wanted, candidates, words.words(ours.name)).values() if wanted else ()
    filled = len(list(known)) / len(wanted) if wanted else 0.5
    if ground.pivot_alone(theirs) is not None:
        filled = 0.5 if single else 0.0
    return 0.6 * name + 0.4 * filled


def _parents_first(ground: Ground) -> list[str]:
    done: list[str] = []
    left = list(ground.target.tables)
    while left:
        free = [n for n in left if not set(ground.parent_of(ground.target.tables[n])) & (set(left) - {n})] or left[:1]
        done += free
        left = [name for name in left if name not in free]
    return done
