"""Mapping set x legacy schema x target schema -> problems. Each file of this package checks one noun."""

from __future__ import annotations

from migrator.mapping.lint import columns, coverage, examples, identities, lookups, personal, sums, targets, types
from migrator.mapping.lint.ground import Ground
from migrator.mapping.model import MappingSet
from migrator.mapping.problems import Notes, Problem, in_order
from migrator.mapping.schema import Schema

_CHECKS = (columns, targets, identities, types, sums, lookups, personal, examples)


def lint(set: MappingSet, legacy: Schema | None, target: Schema | None, *, covering: bool = True) -> list[Problem]:
    """
    Say all that is wrong, or doubtful, with a set that could be read.

    Args:
        legacy: None leaves out the checks that need the legacy schema; the same for *target*.
        covering: False leaves out coverage, which means nothing while a document has mistakes of its own.

    Returns:
        Errors and warnings by file and line. Names that stand in rows (a pivot's) are not known here.
    """
    ground = Ground(set, legacy, target, Notes())
    for check in _CHECKS:
        check.check(ground)
    if covering:
        coverage.check(ground)
    return in_order(ground.notes.found)
