"""Golden rows prove a map entry, a branch or a call only if one comes there: W701, W702. Asked by running them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from migrator.mapping import examples, problems, walk
from migrator.mapping.lint.ground import Ground
from migrator.mapping.model import Choose, Mapping, Place, Rule, Step
from migrator.mapping.sheet import Sheet
from migrator.mapping.troubles import Result
from migrator.mapping.values import Values
from migrator.mapping.watch import Watch

_SHOWN = 8
_HELP = "add an example that does; `migrator mapping example add` makes one of a real row"


@dataclass
class _Open:
    """A rule that is being carried out: what came last, and the rows that really come to it."""

    rule: Rule
    here: pl.Series | None
    values: Values | None = None
    branch: pl.Series | None = None


class _Proofs(Watch):
    """Notes which entries of maps, which branches and which calls examples come to."""

    def __init__(self) -> None:
        self.taken: dict[Place, set[str]] = defaultdict(set)
        self.branches: dict[int, set[int]] = defaultdict(set)
        self._open: list[_Open] = []

    def begin(self, rule: Rule, path: str, sheet: Sheet) -> None:
        """Take up a rule; a branch is carried out for all rows, but only some are its own."""
        above = self._open[-1].branch if self._open else None
        if above is not None and len(above) != sheet.height:
            above = None  # the items of a row
        self._open.append(_Open(rule, above))

    def branch(self, number: int, here: pl.Series) -> None:
        """Note the branch if a row takes it."""
        now = self._open[-1]
        now.branch = here if now.here is None else here & now.here
        if now.branch.any():
            self.branches[id(now.rule)].add(number)

    def source(self, labels: tuple[str, ...], values: tuple[Values, ...]) -> None:
        """Remember what the first step gets."""
        self._open[-1].values = values[0] if values else None

    def step(self, step: Step, values: Values) -> None:
        """Note what came to a map or a call."""
        now = self._open[-1]
        if now.values is not None and step.name in ("map", "call"):
            texts = now.values.text
            come = texts if now.here is None else texts.filter(now.here)
            self.taken[step.place] |= {text for text in come.to_list() if text is not None}
        now.values = values

    def end(self, result: Result) -> None:
        """Leave the rule."""
        self._open.pop()


def check(ground: Ground) -> None:
    """Check the examples of all mappings; nothing is said where something is wrong already."""
    if problems.errors(ground.notes.found):
        return
    for mapping in ground.set.mappings.values():
        proofs = _Proofs()
        if not mapping.examples:
            _check_none(ground, mapping)
            continue
        for example in mapping.examples:
            examples.play(ground.set, mapping, example, ground.legacy, ground.target, proofs)
        for spot in walk.spots(mapping):
            _check_rule(ground, proofs, spot.rule)


def _check_none(ground: Ground, mapping: Mapping) -> None:
    rules = [spot.rule for spot in walk.spots(mapping)]
    if any(isinstance(rule.source, Choose) or _steps(rule) for rule in rules):
        ground.notes.add("W701", mapping.place, "no example shows what the maps and choices here do", _HELP)


def _check_rule(ground: Ground, proofs: _Proofs, rule: Rule) -> None:
    for step in _steps(rule):
        taken = proofs.taken[step.place]
        if step.name == "call" and not taken:
            ground.notes.add("W702", step.place, "no example has a value for this call", _HELP)
        elif step.name == "map":
            _tell(ground, step.place, "entry", list(_entries(step, taken)))
    if isinstance(rule.source, Choose):
        numbers = range(len(rule.source.branches))
        left = [f"number {number + 1}" for number in numbers if number not in proofs.branches[id(rule)]]
        _tell(ground, rule.place, "branch", left)


def _entries(step: Step, taken: set[str]) -> Iterator[str]:
    """The entries of a map that nothing came to."""
    keys = {str(key) for key in step.args if key != "else"}
    yield from (str(key) for key in step.args if key != "else" and str(key) not in taken)
    if "else" in step.args and not taken - keys:
        yield "else"


def _steps(rule: Rule) -> list[Step]:
    return [step for step in rule.steps if step.name in ("map", "call")]


def _tell(ground: Ground, place: Place, noun: str, left: list[str]) -> None:
    if left:
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        ground.notes.add("W701", place, f"no example comes to this {noun}: {', '.join(left[:_SHOWN])}{more}", _HELP)
