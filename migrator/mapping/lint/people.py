"""Who is who: names of people that exist (E510), and ways to know a person that can work (E511)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from migrator.mapping import people, walk
from migrator.mapping.facts import Facts, Listed, Seen
from migrator.mapping.lint.ground import Ground, place_of
from migrator.mapping.lint.lookups import FAMILIES, belongs_to_user
from migrator.mapping.model import Also, Join, Mapping, Place, UserSet, Way
from migrator.mapping.suggest import suggest


@dataclass(frozen=True, slots=True)
class WithoutEverybody:
    """The facts of a legacy database, which knows nothing of the table of all users."""

    facts: Facts

    def seen(self, table: str, column: str) -> Seen | None:
        """Look at one column."""
        return None if table == people.EVERYBODY else self.facts.seen(table, column)

    def values(self, table: str, column: str) -> Listed | None:
        """List the distinct values of one column."""
        return None if table == people.EVERYBODY else self.facts.values(table, column)

    def repeated(self, table: str, columns: tuple[str, ...]) -> bool | None:
        """Whether two rows have the same values in *columns*."""
        return None if table == people.EVERYBODY else self.facts.repeated(table, columns)


def check(ground: Ground) -> None:
    """Check `also` of set.yaml, and whose users all mappings speak of."""
    users = ground.set.set
    _check_set(ground, users)
    _check_joins_of_set(ground, users)
    for sign in (*users.activity, *users.paid):
        _check_name(ground, sign.user_of, sign.place)
    for mapping in ground.set.mappings.values():
        source = mapping.source
        _check_name(ground, source.user_of, source.place)
        for join in source.joins.values():
            _check_name(ground, join.user_of, join.place)
            _check_join(ground, mapping, join)
        _check_everybody(ground, mapping)
        _check_key(ground, mapping)
        _check_parents(ground, mapping)


def names(users: UserSet) -> list[str]:
    """How the people of all sources are called, those of the users first."""
    return [people.main_name(users), *users.also]


def _check_set(ground: Ground, users: UserSet) -> None:
    before = names(users)[:1]
    for also in users.also.values():
        if also.name in before:
            text = f'"{also.name}" is the name of the users themselves'
            ground.notes.add("E104", place_of(also.name, also.who.place), text, "give these people another name")
        for way in also.same:
            _check_way(ground, also, way, before)
        before.append(str(also.name))
    if users.users.verified is None and any(way.how == "email" for also in users.also.values() for way in also.same):
        _unverified(ground, "the users", users.users.place)


def _check_joins_of_set(ground: Ground, users: UserSet) -> None:
    """What everybody is known from cannot itself be found by user."""
    for name, who in (("users", users.users), *((f"also.{also.name}", also.who) for also in users.also.values())):
        for join in who.joins.values():
            if join.user is not None:
                _no_user_yet(ground, join, f"{name} says who the users are")
    for sign in (*users.activity, *users.paid):
        for join in sign.joins.values():
            if join.user is not None:
                _no_user_yet(ground, join, "it has rows of all users")


def _check_way(ground: Ground, also: Also, way: Way, before: list[str]) -> None:
    if way.of is not None and way.of not in before:
        place, later = place_of(way.of, way.place), way.of in ground.set.set.also
        if later:
            text = f'"{way.of}" does not stand before "{also.name}": who is who is found in this order'
            ground.notes.add("E511", place, text, "move it up, or name one of: " + ", ".join(before))
        else:
            ground.notes.add("E510", place, f'there are no people called "{way.of}"', suggest(way.of, before))
    if way.how != "email":
        return
    if also.who.email is None:
        text = f"also.{also.name} has no email to be known by"
        ground.notes.add("E511", way.place, text, "say email: COLUMN, or take the way out")
    elif also.who.verified is None:
        _unverified(ground, str(also.name), way.place)


def _unverified(ground: Ground, whose: str, place: Place) -> None:
    text = f"no e-mail address of {whose} is verified, so none can say who somebody is"
    ground.notes.add("E511", place, text, "say verified: {COLUMN: VALUE}, or verified: {} where all are")


def _no_user_yet(ground: Ground, join: Join, why: str) -> None:
    text = f"the join {join.name} goes by user, which is not known here: {why}"
    ground.notes.add("E511", join.place, text, "find its rows by match: {…}")


def _check_name(ground: Ground, said: str | None, place: Place) -> None:
    known = names(ground.set.set)
    if said is not None and said not in known:
        ground.notes.add("E510", place_of(said, place), f'there are no people called "{said}"', suggest(said, known))


def _check_join(ground: Ground, mapping: Mapping, join: Join) -> None:
    owners = [str(name) for name in mapping.source.user]
    if join.user is None or not _leads(mapping, join, owners):
        return
    _no_user_yet(ground, join, f"the user of {mapping.name} stands behind it")


def _leads(mapping: Mapping, join: Join, wanted: Iterable[str]) -> bool:
    """Whether *join* is on the way to one of these COLUMNs."""
    needed = list(wanted)
    for other in reversed(mapping.source.joins.values()):
        if any(name.startswith(f"{other.name}.") for name in needed):
            if other is join:
                return True
            needed += [str(ours) for _, ours in other.match]
    return False


def _check_everybody(ground: Ground, mapping: Mapping) -> None:
    source = mapping.source
    if source.table == people.EVERYBODY and source.user != (people.USER,):
        place = place_of(source.user[0], source.place) if source.user else source.place
        text = f"{people.EVERYBODY} has one row per user, and {people.USER} is whose it is"
        ground.notes.add("E511", place, text, f"write user: {people.USER}")


def _check_key(ground: Ground, mapping: Mapping) -> None:
    """A user column and the keys it holds are of one kind."""
    users, source = ground.set.set, mapping.source
    if not users.also or len(source.user) != 1 or "." in source.user[0]:
        return
    whose = people.of_mapping(users, mapping)
    also = users.also.get(whose)
    who = also.who if also else users.users
    ours, theirs = ground.legacy_column(source.table, source.user[0]), ground.legacy_column(who.table, who.key)
    families = [FAMILIES.get(column.kind) for column in (ours, theirs) if column is not None]
    if len(families) == 2 and all(families) and families[0] != families[1]:
        text = f"{source.user[0]} is a {families[0]}, and the people of {whose} are known by {who.key}, a {families[1]}"
        help = f"say whose keys it holds: user_of: {' or '.join(names(users))}"
        ground.notes.add("E503", place_of(source.user[0], source.place), text, help)


def _check_parents(ground: Ground, mapping: Mapping) -> None:
    """One row per user of other people cannot be found by a key of ours."""
    users = ground.set.set
    ours = people.of_mapping(users, mapping)
    for wait in walk.waits(mapping):
        parent = ground.set.mappings.get(wait.parent)
        if parent is None or parent.target.id.columns != parent.source.user or not belongs_to_user(mapping, wait.by):
            continue
        theirs = people.of_mapping(users, parent)
        if theirs != ours and not people.is_users(users, theirs):
            text = f'"{parent.name}" is known by keys of {theirs}, and {", ".join(wait.by)} holds keys of {ours}'
            ground.notes.add(
                "E507", wait.place, text, f"look it up from a mapping of {theirs}, or key it on {people.EVERYBODY}"
            )
