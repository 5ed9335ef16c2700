"""`where` drops rows before anybody looks at them: W204 where a field would have, W212 where children wait for them."""

from __future__ import annotations

from migrator.mapping import walk
from migrator.mapping.lint.ground import Ground
from migrator.mapping.model import From, Mapping, Predicate

_ORDERING = ("gt", "gte", "lt", "lte", "since")
_PARSING = frozenset({"epoch", "datetime", "date", "integer", "decimal", "between"})


def check(ground: Ground) -> None:
    """Check the `where` of all mappings."""
    for mapping in ground.set.mappings.values():
        _check_hidden(ground, mapping)
        _check_children(ground, mapping)


def _check_hidden(ground: Ground, mapping: Mapping) -> None:
    """A test under `any` stands beside another way in, so its author has thought of what it drops."""
    parsed: dict[str, walk.Spot] = {}
    for spot in walk.spots(mapping):
        source = spot.rule.source
        if isinstance(source, From) and spot.collect is None and any(s.name in _PARSING for s in spot.rule.steps):
            parsed |= {column: spot for column in source.columns}
    for test in mapping.source.where.tests:
        if test.column in parsed and test.op in _ORDERING:
            path = parsed[test.column].path
            text = f"a wrong {test.column} is dropped here before {path} can send it to a person"
            help = (
                f"let what is wrong pass as well: where: {{any: [{{{test.column}: …}}, {{{test.column}: {{lt: …}}}}]}}"
            )
            ground.notes.add("W204", test.place, text, help)


def _check_children(ground: Ground, mapping: Mapping) -> None:
    users = ground.set.set.users
    if mapping.source.table != users.table or mapping.source.key != (users.key,):
        return
    if _tests(mapping.source.where) <= _tests(users.where):
        return
    waiting = [
        other.name
        for other in ground.set.mappings.values()
        if other.name != mapping.name and any(wait.parent == mapping.name for wait in walk.waits(other))
    ]
    if waiting:
        place = mapping.source.where.tests[0].place if mapping.source.where.tests else mapping.source.place
        text = f"a user dropped here still has rows in {', '.join(waiting)}, and they will miss their parent"
        ground.notes.add("W212", place, text, "leave users out in set.yaml, under users: where:")


def _tests(where: Predicate) -> set[str]:
    """The conditions of *where*, comparable whatever their places."""
    alone = {f"{test.column} {test.op} {test.value!r} {test.unit}" for test in where.tests}
    return alone | {str([sorted(_tests(one)) for one in where.any])} if where.any else alone
