"""How far back the value of a rule can be taken: to which values of legacy, or why to none."""

from __future__ import annotations

from dataclasses import dataclass

from migrator.mapping import secrecy
from migrator.mapping.backward import lenses
from migrator.mapping.backward.cells import Cells, NoWay, Spot, spot
from migrator.mapping.identities import known_by
from migrator.mapping.model import (
    Choose,
    Collect,
    From,
    Lookup,
    Mapping,
    MappingSet,
    Number,
    Object,
    Place,
    Reference,
    Rest,
    Rule,
    RuleSource,
    Value,
)
from migrator.mapping.schema import Schema


@dataclass(frozen=True, slots=True)
class Way:
    """The way back of one column: the values of legacy it ends at, and for what only, where it is not for everything."""

    spots: tuple[Spot, ...]
    only: str = ""


@dataclass(frozen=True, slots=True)
class Reach:
    """
    Looks for ways in one mapping.

    Args:
        new: whether it is asked for rows that legacy is to get: then values count that may not change in others.
    """

    set: MappingSet
    mapping: Mapping
    legacy: Schema
    cells: Cells
    new: bool = False

    def field(self, name: str) -> Way | NoWay:
        """The way back of the field *name*."""
        rule, rules = self.mapping.fields[name], self.mapping.vars | self.mapping.fields
        if secrecy.is_secret(name, rule, rules) and (rule.steps or not isinstance(rule.source, From)):
            return NoWay("a password is never carried back in another form", rule.place)
        return self._rule(rule)

    def _rule(self, rule: Rule) -> Way | NoWay:
        why = next(((step, why) for step in reversed(rule.steps) if (why := lenses.denied(step))), None)
        if why:
            return NoWay(why[1], why[0].place)
        found = self._source(rule.source, rule)
        if isinstance(found, NoWay):
            return found
        only = [said for step in rule.steps if (said := lenses.only(step))]
        return Way(found.spots, "; ".join(dict.fromkeys([*([found.only] if found.only else []), *only])))

    def _source(self, source: RuleSource, rule: Rule) -> Way | NoWay:
        if isinstance(source, From):
            return self._from(source, rule)
        if isinstance(source, Lookup):
            return self._lookup(source, rule)
        if isinstance(source, Reference):
            return self._all([column for _, column in source.match], rule.place)
        if isinstance(source, Object):
            return self._object(source, rule)
        if isinstance(source, Choose):
            return self._choose(source, rule)
        return NoWay(_WITHOUT[type(source)], rule.place)

    def _from(self, source: From, rule: Rule) -> Way | NoWay:
        if source.aggregate:
            return NoWay(f"it is the {source.aggregate} of several rows", rule.place)
        first_only = bool(rule.steps) and rule.steps[0].name == "coalesce"
        return self._all(source.columns[:1] if first_only else source.columns, rule.place)

    def _all(self, columns: tuple[str, ...] | list[str], place: Place) -> Way | NoWay:
        ways = [self.column(column, place) for column in columns]
        no = next((way for way in ways if isinstance(way, NoWay)), None)
        if no is not None:
            return no
        some = [way for way in ways if isinstance(way, Way)]
        return Way(tuple(spot for way in some for spot in way.spots), "; ".join(way.only for way in some if way.only))

    def column(self, column: str, place: Place) -> Way | NoWay:
        """The way to one COLUMN, which may be computed by a var or a field."""
        place = getattr(column, "place", place)
        if column.startswith("$") and not column.startswith("$plan."):
            rules = self.mapping.vars | self.mapping.fields
            return self._rule(rules[column[1:]])
        found = spot(self.mapping, str(column), self.legacy)
        if isinstance(found, str):
            return NoWay(found, place)
        if self.new and found.join:
            return NoWay(f"it stands in another table, {found.table}", place)
        why = None if self.new else self.cells.denied(self.mapping, found)
        return NoWay(why, place) if why else Way((found,))

    def _lookup(self, source: Lookup, rule: Rule) -> Way | NoWay:
        parent = self.set.mappings[str(source.mapping)]
        if len(known_by(parent)) != len(source.by):
            return NoWay(f"a row of {source.mapping} is known by other columns", rule.place)
        return self._all(source.by, rule.place)

    def _object(self, source: Object, rule: Rule) -> Way | NoWay:
        ways = {key: self._rule(child) for key, child in source.rules.items()}
        some = {key: way for key, way in ways.items() if isinstance(way, Way)}
        if not some:
            return next((way for way in ways.values() if isinstance(way, NoWay)), NoWay("it is empty", rule.place))
        only = "" if len(some) == len(ways) else f"only {', '.join(some)}"
        return Way(tuple(spot for way in some.values() for spot in way.spots), only)

    def _choose(self, source: Choose, rule: Rule) -> Way | NoWay:
        ways = [self._rule(branch.rule) for branch in source.branches if branch.rule is not None]
        decided = [self.column(test, rule.place) for branch in source.branches if (test := decisive(branch))]
        some = [way for way in (*ways, *decided) if isinstance(way, Way)]
        if not some:
            return NoWay("it depends on a condition that cannot be met backwards", rule.place)
        whole = all(isinstance(way, Way) for way in ways)
        return Way(tuple(spot for way in some for spot in way.spots), "" if whole else "only what a branch can tell")


def decisive(branch: object) -> str | None:
    """The COLUMN whose one value leads into a branch that gives a literal, where there is one."""
    when, rule = getattr(branch, "when", None), getattr(branch, "rule", None)
    if when is None or when.any or len(when.tests) != 1 or rule is None or not isinstance(rule.source, Value):
        return None
    test = when.tests[0]
    return str(test.column) if test.op == "in" and len(test.value) == 1 and not rule.steps else None


_WITHOUT: dict[type, str] = {
    Value: "it is the same for every row",
    Collect: "it is a list made of several rows",
    Number: "it is a place among other rows",
    Rest: "it holds the names that nobody mapped",
}
