"""Wanted values back through a rule, row by row as the rows stand now: what its COLUMNs would have to hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from migrator.mapping import predicates, sources
from migrator.mapping import values as columns
from migrator.mapping.backward import choices, objects
from migrator.mapping.backward.agreeing import agree
from migrator.mapping.backward.lens import Around, Parents
from migrator.mapping.backward.lenses import LENSES, WITHOUT
from migrator.mapping.backward.reach import decisive
from migrator.mapping.model import UNSET, Choose, From, Lookup, Object, Reference, Rule, Value
from migrator.mapping.registry import TRANSFORMS
from migrator.mapping.schema import Kind
from migrator.mapping.sheet import Sheet
from migrator.mapping.values import Values

_NO_WAY = "it cannot go back"


@dataclass(eq=False)
class Asked:
    """
    What is asked of the COLUMNs of some rows so that a value comes out as it is wanted.

    `columns`: per COLUMN the values, and in which rows they are asked for. `refused`: per row why there is no way; null
    where there is one.
    """

    refused: pl.Series
    columns: dict[str, tuple[Values, pl.Series]] = field(default_factory=dict)

    def ask(self, column: str, values: Values, here: pl.Series) -> None:
        """Ask for *values* where *here*; who was asked before must not be asked for something else."""
        if column in self.columns:
            known, there = self.columns[column]
            clash = here & there & ~agree(known, values)
            self.refuse(clash, "two values are wanted in one place")
            values, here = columns.choose(here, values, known), here | there
        self.columns[column] = (values, here)

    def refuse(self, mask: pl.Series, why: str | pl.Series) -> None:
        """Say why there is no way where *mask*; the first reason stays."""
        if mask.any():
            said = pl.Series([why]).new_from_index(0, len(mask)) if isinstance(why, str) else why
            self.refused = columns.pick(columns.is_true(mask) & self.refused.is_null(), said, self.refused)

    def take(self, other: Asked, here: pl.Series) -> None:
        """Ask what *other* asks, where *here*."""
        self.refuse(here & other.refused.is_not_null(), other.refused)
        for column, (values, there) in other.columns.items():
            self.ask(column, values, here & there)


@dataclass(frozen=True, slots=True, eq=False)
class Putter:
    """Takes wanted values back in one mapping. `kind_of` says as what legacy keeps a COLUMN."""

    sheet: Sheet
    parents: Parents
    kind_of: Callable[[str], Kind | None]

    def put(self, rule: Rule, path: str, wanted: Values) -> Asked:
        """What the COLUMNs of *rule* must hold; where it gives *wanted* already nothing is asked."""
        made = self.sheet.evaluate(rule, path, self.sheet).values
        off, asked = ~agree(made, wanted), Asked(self._nothing())
        if any(step.name in WITHOUT for step in rule.steps) or getattr(rule.source, "aggregate", None):
            asked.refuse(off, _NO_WAY)
        elif off.any():
            inner = Asked(self._nothing())
            inputs = self._inputs(rule, path)
            wishes = self._through(rule, path, wanted, inputs, inner)
            self._to_source(rule, path, wishes, inputs, inner)
            asked.take(inner, off)
        return asked

    def _nothing(self) -> pl.Series:
        return pl.Series([None], dtype=pl.String).new_from_index(0, self.sheet.height)

    def _inputs(self, rule: Rule, path: str) -> tuple[Values, ...]:
        """What the source of *rule* gives now."""
        return tuple(values.only() for values in sources.take(rule.source, path, self.sheet).inputs)

    def _through(
        self, rule: Rule, path: str, wanted: Values, inputs: tuple[Values, ...], asked: Asked
    ) -> tuple[Values, ...]:
        """Back through the steps: what must come into the first so that *wanted* comes out of the last."""
        env = replace(self.sheet.env, labels=getattr(rule.source, "columns", ()), scale=self.sheet.scales.get(path))
        stages: list[tuple[Values, ...]] = [inputs]
        for step in rule.steps:
            stages.append((TRANSFORMS[step.name].apply(stages[-1], step.args, env).only(),))
        around = Around(env, self.sheet.users, self.parents, self._kind(rule))
        way = Asked(self._nothing())
        wish = wanted
        wishes: tuple[Values, ...] = (wanted,)
        for step, before, after in zip(rule.steps[::-1], stages[-2::-1], stages[:0:-1], strict=True):
            stays = agree(after[0], wish)
            made = LENSES[step.name].put(wish, before, step.args, around)
            for one in made:
                if one.failed is not None:
                    way.refuse(one.failed & ~stays, _in_step(step.name, one.note))
            wishes = tuple(columns.choose(stays, was, one.only()) for was, one in zip(before, made, strict=True))
            again = TRANSFORMS[step.name].apply(wishes, step.args, env)
            way.refuse(~stays & ~agree(again.only(), wish), f"the step {step.name} would make something else of it")
            wish = wishes[0]
        return self._defaulted(rule, wanted, wishes, way, asked)

    def _defaulted(
        self, rule: Rule, wanted: Values, wishes: tuple[Values, ...], way: Asked, asked: Asked
    ) -> tuple[Values, ...]:
        """What stands in for a null comes back as null, where nothing else gives it."""
        if rule.default is not UNSET:
            lost = way.refused.is_not_null()
            default = columns.literal(rule.default, len(wanted))
            instead = lost & agree(default, wanted) & ~columns.is_true(way.refused.str.contains("several"))
            wishes = tuple(columns.put(wish, instead, None) for wish in wishes)
            way.refused = columns.blank(way.refused, instead)
            asked.refuse(wanted.values.is_null() & wishes[0].values.is_null(), "null would become the default")
        asked.refuse(way.refused.is_not_null(), way.refused)
        return wishes

    def _kind(self, rule: Rule) -> Kind | None:
        names: tuple[str, ...] = getattr(rule.source, "columns", ())
        return self.kind_of(names[0]) if len(names) == 1 else None

    def _to_source(
        self, rule: Rule, path: str, wishes: tuple[Values, ...], inputs: tuple[Values, ...], asked: Asked
    ) -> None:
        source = rule.source
        everywhere = ~columns.none(self.sheet.height)
        if isinstance(source, From):
            for name, wish, was in zip(source.columns, wishes, inputs, strict=True):
                self.ask(str(name), wish, was, everywhere, asked)
        elif isinstance(source, Lookup | Reference):
            self._looked_up(source, wishes[0], inputs[0], asked)
        elif isinstance(source, Object):
            self._object(source, path, wishes[0], inputs[0], asked)
        elif isinstance(source, Choose):
            self._choose(source, path, wishes[0], inputs[0], asked)
        else:
            asked.refuse(~agree(wishes[0], inputs[0]), _NO_WAY)

    def ask(self, column: str, wish: Values, was: Values, here: pl.Series, asked: Asked) -> None:
        """Ask a COLUMN for *wish* where it is not that already; a computed one asks on."""
        here = here & ~agree(wish, was)
        if not here.any():
            return
        if column.startswith("$plan."):
            asked.refuse(here, _NO_WAY)
        elif column.startswith("$"):
            rule = self.sheet.all_rules[column[1:]]
            asked.take(self.put(rule, column, columns.choose(here, wish, was)), here)
        else:
            asked.ask(column, wish, here)

    def _looked_up(self, source: Lookup | Reference, wish: Values, was: Values, asked: Asked) -> None:
        around = Around(self.sheet.env, self.sheet.users, self.parents)
        here = ~agree(wish, was)
        if isinstance(source, Lookup):
            names: Sequence[str] = source.by
            parts = choices.of_parent(wish, str(source.mapping), around)
        else:
            names = [column for _, column in source.match]
            parts = choices.of_reference(
                wish, str(source.table), [str(its) for its, _ in source.match], source.take, around
            )
        for name, part in zip(names, parts, strict=True):
            if part.failed is not None:
                asked.refuse(part.failed & here, _in_step("lookup", part.note))
            self.ask(str(name), part.only(), self.sheet.column(name), here, asked)

    def _object(self, source: Object, path: str, wish: Values, was: Values, asked: Asked) -> None:
        """Part by part; a part that nobody knows has no place."""
        parts = objects.parts(wish.text, list(map(str, source.rules)))
        here = ~agree(wish, was)
        asked.refuse(here & parts.unknown, "it has a part that legacy has no place for")
        for name, rule in source.rules.items():
            made = self.sheet.evaluate(rule, f"{path}.{name}", self.sheet).values.only()
            wanted = objects.like(parts.texts[str(name)], made)
            inner = self.put(rule, f"{path}.{name}", columns.choose(here, wanted, made))
            changed = here & ~agree(wanted, made)
            inner.refused = columns.pick(inner.refused.is_not_null(), f"{name}: " + inner.refused, inner.refused)
            asked.take(inner, changed)

    def _choose(self, source: Choose, path: str, wish: Values, was: Values, asked: Asked) -> None:
        """By the one value that leads into a branch that says what is wanted, or by the rule of the branch that is taken."""
        left = ~agree(wish, was)
        for branch in source.branches:
            column = decisive(branch)
            if column is None or branch.when is None or branch.rule is None:
                continue
            says = columns.literal(getattr(branch.rule.source, "literal", None), self.sheet.height)
            here = left & agree(says, wish)
            leads = columns.literal(branch.when.tests[0].value[0], self.sheet.height)
            self.ask(column, leads, self.sheet.column(column), here, asked)
            left = left & ~here
        for rule, here in self._ruled(source):
            asked.take(self.put(rule, path, columns.choose(left & here, wish, was)), left & here)
            left = left & ~here
        asked.refuse(left, "no branch gives it")

    def _ruled(self, source: Choose) -> Iterator[tuple[Rule, pl.Series]]:
        """The branches that compute something, with the rows that take them; the only one is for all rows."""
        open_ = ~columns.none(self.sheet.height)
        found = []
        for branch in source.branches:
            taken = (
                open_
                if branch.when is None
                else open_ & predicates.mask(branch.when, self.sheet, self.sheet.env.context)
            )
            open_ = open_ & ~taken
            if branch.rule is not None and not isinstance(branch.rule.source, Value):
                found.append((branch.rule, taken))
        yield from found
        if len(found) == 1:
            yield found[0][0], ~columns.none(self.sheet.height)


def _in_step(name: str, note: str | pl.Series) -> pl.Series | str:
    return f"{note} (step {name})" if isinstance(note, str) else note + f" (step {name})"
