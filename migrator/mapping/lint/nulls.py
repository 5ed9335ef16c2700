"""`null_if` comes before `where`: a condition on a value that is null by then is not what was meant (W214)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from migrator.mapping import values
from migrator.mapping.lint.ground import Ground, place_of
from migrator.mapping.model import Join, Predicate, Test


def check(ground: Ground) -> None:
    """Hold every condition against the `null_if` that comes before it."""
    set_ = ground.set.set
    for condition in (set_.users.where, *_of(set_.users.joins)):
        _check(ground, condition, set_.null_if, "set.yaml")
    for sign in (*set_.activity, *set_.paid):
        for condition in (sign.where, *_of(sign.joins)):
            _check(ground, condition, set_.null_if, "set.yaml")
    for mapping in ground.set.mappings.values():
        source = mapping.source
        for condition in (source.where, *_of(source.joins)):
            _check(ground, condition, source.null_if, "the source")


def _of(joins: dict[str, Join]) -> Iterator[Predicate]:
    return (join.where for join in joins.values())


def _check(ground: Ground, condition: Predicate, null_if: Sequence[Any], whose: str) -> None:
    nulls = {values.literal_text(value) for value in null_if} - {None}
    for test in _tests(condition):
        lost = [said for value in test.value if (said := values.literal_text(value)) in nulls]
        if lost and test.op == "in" and len(lost) == len(test.value):
            end = "no row passes"
        elif lost:
            end = "no row with it passes" if test.op == "in" else "every row with it passes"
        else:
            continue
        shown = ", ".join("''" if said == "" else str(said) for said in lost)
        text = f"{test.column} is compared with {shown}, and null_if of {whose} makes null of that first: {end}"
        help = (
            f"take {shown} out of null_if (a field can say it: transform: [{{null_if: …}}]), or test {{is_null: true}}"
        )
        ground.notes.add("W214", place_of(test.column, test.place), text, help)


def _tests(condition: Predicate) -> Iterator[Test]:
    yield from (test for test in condition.tests if test.op in ("in", "not_in"))
    for one in condition.any:
        yield from _tests(one)
