"""One rule, carried out: source -> steps -> default -> required -> a person's decision. *Fit* comes later."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import polars as pl

from migrator.mapping import secrecy, sources, troubles
from migrator.mapping import values as columns
from migrator.mapping.environment import Env
from migrator.mapping.ids import SEPARATOR
from migrator.mapping.model import UNSET, Place, Rule
from migrator.mapping.moments import parse
from migrator.mapping.outcome import Context, Override
from migrator.mapping.registry import TRANSFORMS
from migrator.mapping.schema import Kind
from migrator.mapping.sheet import Sheet
from migrator.mapping.troubles import Result, Told, Trouble
from migrator.mapping.values import Link, Values

_NOWHERE = Env(Context("", ""))


def evaluate(rule: Rule, path: str, sheet: Sheet) -> Result:
    """
    Carry out *rule* for all rows of *sheet*.

    Args:
        path: The field, dotted where it is a part of one: `settings.notify.email`.

    Returns:
        The value after `default` and before *fit*; for each row at most one finding that rejects it.
    """
    watch = sheet.env.context.watch
    watch.begin(rule, path, sheet)
    way = _Way(rule, path, sheet)
    taken = sources.take(rule.source, path, sheet)
    inputs = way.start(taken)
    watch.source(taken.labels, inputs)
    env = replace(sheet.env, labels=taken.labels, scale=sheet.scales.get(path))
    for step in rule.steps:
        inputs = (way.step(step.name, step.args, inputs, env, step.place),)
        watch.step(step, inputs[0])
    result = way.end(inputs[0])
    watch.end(result)
    return result


@dataclass(eq=False)
class _Way:
    """What has happened so far on the way of one value."""

    rule: Rule
    path: str
    sheet: Sheet
    troubles: list[Trouble] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    bad: pl.Series | None = None
    replaced: pl.Series | None = None

    def start(self, taken: sources.Taken) -> tuple[Values, ...]:
        """Take what the source gives, with what was wrong with it."""
        self.troubles += taken.troubles
        self.links += taken.links
        for values in taken.inputs:
            self._spoil(values.bad)
        return tuple(
            self._heard(
                "lookup" if values.parent or values.missing is not None else taken.rule, values, None, self.rule.place
            )
            for values in taken.inputs
        )

    def step(self, name: str, args: object, inputs: tuple[Values, ...], env: Env, place: Place) -> Values:
        """Carry out one step and hear what it says."""
        made = TRANSFORMS[name].apply(inputs, args, env)
        return self._heard(name, made, inputs, place)

    def _heard(self, name: str, made: Values, before: tuple[Values, ...] | None, place: Place) -> Values:
        if made.parent is not None:
            self.links.append(replace(made.parent, field=self.path))
        if made.failed is not None:
            self._refuse(made.failed, name, shown(*before or ()), made.note, place)
        if made.missing is not None:
            note = made.note if isinstance(made.note, pl.Series) else None
            self._miss(made.missing, name, shown(*before or ()) if before else note, place)
        if made.changed is not None:
            self._tell(made.changed, name, shown(*before or ()), shown(made), made.note, place)
        return made.only()

    def _refuse(self, mask: pl.Series, name: str, value: Told, note: pl.Series | str, place: Place) -> None:
        mask = self._unspoilt(mask)
        if not mask.any():
            return
        if self.rule.on_error == "use":
            instead = columns.literal_text(self.rule.use)
            self._tell(mask, name, value, instead, note, place)
            self.replaced = mask if self.replaced is None else self.replaced | mask
            return
        self.troubles.append(self._trouble(mask, self.rule.on_error, name, value, None, note, place))
        self._spoil(mask)

    def _miss(self, mask: pl.Series, name: str, value: Told, place: Place) -> None:
        mask = self._unspoilt(mask)
        note = "there is no such row, or it is somebody else's"
        if self.rule.on_missing == "review":
            self._refuse(mask, name, value, note, place)
        elif self.rule.on_missing == "null":
            self._tell(mask, name, value, None, note, place)
        else:
            self.troubles.append(self._trouble(mask, troubles.SKIP, name, value, None, note, place))
            self._spoil(mask)

    def _tell(
        self,
        mask: pl.Series,
        name: str,
        before: Told,
        after: Told,
        note: pl.Series | str,
        place: Place,
    ) -> None:
        if mask.any():
            self.troubles.append(self._trouble(mask, troubles.WARNING, name, before, after, note, place))

    def end(self, values: Values) -> Result:
        """Put in what stands in for a failure or a null, ask for what is required, and hear what people decided."""
        watch = self.sheet.env.context.watch
        if self.rule.on_error == "use":
            values = columns.put(values, self.replaced, self.rule.use)
            watch.instead("on_error", values)
        values = self._defaulted(values)
        watch.instead("default", values)
        self._require(values)
        values = self._decided(values)
        watch.instead("decision", values)
        kept = tuple(trouble for trouble in self.troubles if len(trouble))
        return Result(replace(values.only(), bad=self.bad), kept, tuple(self.links))

    def _defaulted(self, values: Values) -> Values:
        if self.rule.default is UNSET:
            return values
        empty = self._unspoilt(values.values.is_null()) if values.values.null_count() else None
        return columns.put(values, empty, self.rule.default)

    def _require(self, values: Values) -> None:
        if not self.rule.required or not values.values.null_count():
            return
        lacking = self._unspoilt(values.values.is_null())
        if lacking.any():
            note = "it is required, and null"
            self.troubles.append(self._trouble(lacking, troubles.REVIEW, "required", None, None, note, self.rule.place))
            self._spoil(lacking)

    def _decided(self, values: Values) -> Values:
        """Apply the decisions of people about this field; what they decided is no trouble any more."""
        for about, override in self.sheet.overriding(self.path):
            if self.sheet.outer is not None:  # of items, only those that failed are meant
                about = about & troubles.marked(self.troubles, self.sheet.height, troubles.REVIEW, troubles.ABORT)
            if about.any():
                values = _overridden(values, about, override)
                self._settle(about, skip=override.action == "skip")
        return values

    def _settle(self, about: pl.Series, *, skip: bool) -> None:
        self.troubles = [part for trouble in self.troubles if len(part := _without(trouble, about))]
        if self.bad is not None:
            self.bad = self.bad & ~about
        if skip:
            self.troubles.append(self._trouble(about, troubles.SKIP, "decision", None, None, "", self.rule.place))
            self._spoil(about)

    def _trouble(
        self,
        mask: pl.Series,
        outcome: str,
        name: str,
        value: Told,
        after: Told,
        note: pl.Series | str,
        place: Place,
    ) -> Trouble:
        rules = self.sheet.all_rules
        if secrecy.is_secret(self.path, self.rule, rules):
            value, after = None, None
        sensitive = secrecy.is_sensitive(self.path, self.rule, rules)
        return troubles.made(mask, outcome, self.path, name, place, value, after, note, sensitive=sensitive)

    def _unspoilt(self, mask: pl.Series) -> pl.Series:
        return mask if self.bad is None else mask & ~self.bad

    def _spoil(self, mask: pl.Series | None) -> None:
        if mask is not None:
            self.bad = mask if self.bad is None else self.bad | mask


def _without(trouble: Trouble, about: pl.Series) -> Trouble:
    rejecting = trouble.outcome in (troubles.REVIEW, troubles.ABORT, troubles.SKIP)
    return trouble.only(~about) if rejecting else trouble


def _overridden(values: Values, about: pl.Series, override: Override) -> Values:
    if override.action != "use":
        return columns.put(values, about, None)
    given = Values(pl.Series([override.value], dtype=pl.String).new_from_index(0, len(values)), Kind.TEXT)
    if values.kind in (Kind.TEXT, Kind.JSON):
        return replace(values, values=columns.pick(about, given.values, values.values))
    typed = _typed(given, values.kind)
    return columns.choose(about, given if typed is None else typed, values)


def _typed(given: Values, kind: Kind) -> Values | None:
    """A decision is text; say it in the kind of the field if it is one, else *fit* will speak."""
    if kind in (Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP):
        read = parse(given.values, kind)
    else:
        name = {Kind.INTEGER: "integer", Kind.DECIMAL: "decimal", Kind.BOOLEAN: "boolean"}.get(kind)
        if name is None:
            return None
        read = TRANSFORMS[name].apply((given,), None, _NOWHERE).values
    return Values(read, kind) if read.null_count() == 0 else None


def shown(*inputs: Values) -> Told:
    """What a finding shows of the values that went into a step, or came out of it."""
    if not inputs:
        return None

    def of(rows: pl.Series) -> pl.Series:
        texts = [columns.text(values.values.gather(rows)) for values in inputs]
        if len(texts) == 1:
            return texts[0]
        frame = pl.DataFrame([text.alias(str(place)) for place, text in enumerate(texts)])
        return frame.select(pl.concat_str(pl.all(), separator=SEPARATOR, ignore_nulls=True)).to_series()

    return of
