"""Walk through the rules of a mapping, however deep they nest; and say which other mappings it waits for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from migrator.mapping.model import Choose, Collect, Lookup, Mapping, Object, Place, Rule, Step


@dataclass(frozen=True, slots=True)
class Spot:
    """A rule and where it hangs: `settings.notify.email`, `$first_order`; `collect` when its columns are those of items."""

    path: str
    rule: Rule
    collect: Collect | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """
    A mapping whose rows must come first, by which COLUMNs they are found, and where that is said.

    `computed`: steps change the value before it is looked up.
    """

    parent: str
    by: tuple[str, ...]
    place: Place
    collect: Collect | None = None
    computed: bool = False


def spots(mapping: Mapping) -> Iterator[Spot]:
    """Every rule of *mapping*: vars, fields, and all rules within them."""
    for name, rule in mapping.vars.items():
        yield from within(f"${name}", rule)
    for name, rule in mapping.fields.items():
        yield from within(name, rule)


def within(path: str, rule: Rule, collect: Collect | None = None) -> Iterator[Spot]:
    """*rule* and all rules below it; the branches of a choose have the path of the choose."""
    yield Spot(path, rule, collect)
    source = rule.source
    if isinstance(source, Object | Collect):
        inner = source if isinstance(source, Collect) else collect
        for key, child in source.rules.items():
            yield from within(f"{path}.{key}", child, inner)
    elif isinstance(source, Choose):
        for branch in source.branches:
            if branch.rule is not None:
                yield from within(path, branch.rule, collect)


def waits(mapping: Mapping) -> Iterator[Wait]:
    """Every lookup of another mapping's row: rules, steps, and the id itself."""
    identity = mapping.target.id
    if identity.how == "lookup" and identity.mapping is not None:
        yield Wait(identity.mapping, identity.columns, getattr(identity.mapping, "place", mapping.target.place))
    for spot in spots(mapping):
        source = spot.rule.source
        if isinstance(source, Lookup):
            yield Wait(source.mapping, source.by, getattr(source.mapping, "place", spot.rule.place), spot.collect)
        computed = False
        for step in spot.rule.steps:
            if step.name == "lookup" and isinstance(step.args, str):
                yield Wait(step.args, getattr(source, "columns", ()), step.place, spot.collect, computed)
            computed = computed or step.name != "null_if"


def files(mapping: Mapping) -> Iterator[Step]:
    """Every step that looks something up in a reference file."""
    for spot in spots(mapping):
        for step in spot.rule.steps:
            if step.name == "lookup" and isinstance(step.args, dict) and "file" in step.args:
                yield step


def calls(mapping: Mapping) -> Iterator[tuple[Spot, Step]]:
    """Every step that calls the project's own code, with the rule it belongs to."""
    for spot in spots(mapping):
        for step in spot.rule.steps:
            if step.name == "call" and isinstance(step.args, str):
                yield spot, step
