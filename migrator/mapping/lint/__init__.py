"""Mapping set x legacy schema x target schema -> problems. Each file of this package checks one noun."""

from __future__ import annotations

from migrator.mapping.facts import NOTHING, Facts
from migrator.mapping.lint import (
    aggregates,
    backward,
    changing,
    cleaning,
    clocks,
    columns,
    conflicts,
    coverage,
    duplicates,
    emptiness,
    examples,
    filters,
    identities,
    indexes,
    lists,
    lookups,
    missing,
    nulls,
    owners,
    people,
    personal,
    proofs,
    references,
    sizes,
    sums,
    targets,
    types,
)
from migrator.mapping.lint.ground import Ground
from migrator.mapping.model import MappingSet
from migrator.mapping.people import with_everybody
from migrator.mapping.problems import Notes, Problem, in_order
from migrator.mapping.schema import Schema

_ERRORS = (
    columns, cleaning, targets, identities, conflicts, duplicates, types, sums, clocks, lookups, missing, references,
    owners, people, changing, examples,
)  # fmt: skip
_WARNINGS = (sizes, aggregates, personal, filters, nulls, indexes, lists)  # what these find forbids nothing


def lint(
    set: MappingSet,
    legacy: Schema | None,
    target: Schema | None,
    *,
    whole: bool = True,
    covering: bool = True,
    warnings: bool = True,
    facts: Facts = NOTHING,
    target_facts: Facts = NOTHING,
    policy: str = "",
) -> list[Problem]:
    """
    Say all that is wrong, or doubtful, with a set that could be read.

    Args:
        legacy: None leaves out the checks that need the legacy schema; the same for *target*.
        whole: False where some files could not be read: what is missing may be in them.
        covering: False leaves out coverage, which means nothing while a document has mistakes of its own.
        warnings: False leaves out the checks that find nothing but warnings.
        facts: What the legacy data says; *target_facts* the same of the target.
        policy: Of a rollback after the cutover, where it is to be said what could not go back: carry_back or merge.

    Returns:
        Errors and warnings by file and line. Names that stand in rows (a pivot's) are not known here.
    """
    legacy = legacy and with_everybody(legacy)
    ground = Ground(set, legacy, target, Notes(), people.WithoutEverybody(facts), target_facts, whole)
    checks = (*_ERRORS, *(_WARNINGS if warnings else ()), *((coverage, emptiness) if covering else ()))
    for check in checks:
        check.check(ground)
    if warnings and covering:
        proofs.check(ground)  # last: it runs the examples of a set that is free of errors
    if policy:
        backward.check(ground, policy)
    return in_order(ground.notes.found)
