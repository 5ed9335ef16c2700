"""One mapping document -> Mapping."""

from __future__ import annotations

import re
from decimal import Decimal

from migrator.mapping.model import Example, Ignore, Mapping, Word
from migrator.mapping.problems import Notes
from migrator.mapping.reading.cleaning import cleanings
from migrator.mapping.reading.forms import Form, word
from migrator.mapping.reading.nodes import Node, Pairs, literal
from migrator.mapping.reading.rules import rules
from migrator.mapping.reading.sources import reason, source
from migrator.mapping.reading.targets import merge, target, when_merged

KEYS = (
    "mapping",
    "about",
    "source",
    "target",
    "vars",
    "fields",
    "merge_duplicates",
    "when_merged",
    "clean",
    "ignore",
    "on_reject",
    "limits",
    "checks",
    "examples",
)
IGNORED = ("reason", "expect")
EXPECT = ("empty", "constant")
ON_REJECT = ("hold_user", "hold_row")
LIMITS = ("abort_above",)
CHECKS = ("sums",)
EXAMPLE = ("name", "given", "expect", "expect_review")
REVIEW = ("field", "rule", "value")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]+)?)%")


def mapping(node: Node, notes: Notes) -> Mapping | None:
    """Read one document; None when it is no map or has no name."""
    form = Form.of(node, "a mapping", KEYS, notes, needs=("mapping", "source", "target", "fields"))
    if form is None or not (name := form.word("mapping")):
        return None
    if not _NAME.fullmatch(name):
        notes.add("E105", name.place, "the name of a mapping has letters, digits and _, and begins with a letter")
    return Mapping(
        name=name,
        source=source(form.node("source"), form.key_place("source"), notes),
        target=target(form.node("target"), form.key_place("target"), notes),
        fields=rules(form.node("fields"), "fields", notes),
        place=name.place,
        about=form.text("about"),
        vars=rules(form.node("vars"), "vars", notes),
        merge=merge(form.node("merge_duplicates"), notes),
        when_merged=when_merged(form.node("when_merged"), notes),
        clean=cleanings(form, "clean"),
        ignore=ignores(form, "ignore"),
        on_reject=form.choice("on_reject", ON_REJECT, "hold_user"),
        abort_above=_abort_above(form.node("limits"), notes),
        sums=_sums(form.node("checks"), notes),
        examples=tuple(example for item in form.items("examples") if (example := _example(item, notes))),
    )


def ignores(form: Form, key: str) -> tuple[Ignore, ...]:
    """Read `{pattern: REASON | {reason, expect}}`."""
    return tuple(_ignore(pattern, value, form.notes) for pattern, value in form.pairs(key))


def _ignore(pattern: Word, node: Node, notes: Notes) -> Ignore:
    if not isinstance(node, Pairs):
        return Ignore(pattern, reason(node, notes), pattern.place)
    form = Form.of(node, "an ignored column", IGNORED, notes, needs=("reason",))
    why = reason(form.node("reason"), notes) if form else ""
    expect = form.choice("expect", EXPECT, "empty") if form and "expect" in form else None
    return Ignore(pattern, why, pattern.place, expect)


def _abort_above(node: Node | None, notes: Notes) -> float | None:
    form = Form.of(node, "limits", LIMITS, notes, needs=("abort_above",))
    if form is None:
        return None
    percent = _PERCENT.fullmatch(form.text("abort_above"))
    if percent is None or Decimal(percent[1]) > 100:
        notes.add("E105", form.key_place("abort_above"), "abort_above is a share of the rows", "write 5%")
        return None
    return float(Decimal(percent[1]) / 100)


def _sums(node: Node | None, notes: Notes) -> dict[str, str]:
    form = Form.of(node, "checks", CHECKS, notes, needs=("sums",))
    return {column: word(its, "sums", notes) for column, its in form.pairs("sums")} if form else {}


def _example(node: Node, notes: Notes) -> Example | None:
    form = Form.of(node, "an example", EXAMPLE, notes, needs=("name", "given"))
    if form is None:
        return None
    form.only_one_of("expect", "expect_review")
    if "expect" not in form and "expect_review" not in form:
        notes.add("E102", form.place, "an example needs expect or expect_review")
    reviews = tuple(_review(item, notes) for item in form.items("expect_review"))
    return Example(
        form.text("name"),
        _values(form, "given"),
        form.place,
        _values(form, "expect") if "expect" in form else None,
        reviews,
    )


def _values(form: Form, key: str) -> dict[str, object]:
    return {name: literal(value, form.notes) for name, value in form.pairs(key)}


def _review(node: Node, notes: Notes) -> dict[str, object]:
    form = Form.of(node, "an expected review", REVIEW, notes, needs=("field", "rule"))
    if form is None:
        return {}
    return {key: form.literal(key) for key in REVIEW if key in form}
