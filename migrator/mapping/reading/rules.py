"""One rule: where a target value comes from, its steps, and what happens when there is none."""

from __future__ import annotations

from collections.abc import Callable

from migrator.mapping.model import (
    UNSET,
    Branch,
    Choose,
    Collect,
    From,
    Literal,
    Lookup,
    Number,
    Object,
    Place,
    Reference,
    Rest,
    Rule,
    RuleSource,
    Value,
)
from migrator.mapping.problems import Notes
from migrator.mapping.reading.forms import Form, choice, pairs, word
from migrator.mapping.reading.nodes import Items, Node, Pairs, Scalar
from migrator.mapping.reading.predicates import predicate
from migrator.mapping.reading.steps import check_combining, steps

SOURCES = ("from", "value", "lookup", "object", "collect", "choose", "number", "rest")
BESIDE = {
    "aggregate": ("from",),
    "by": ("lookup",),
    "of": ("collect",),
    "on_item_error": ("collect",),
    "omit_nulls": ("object", "collect"),
}
COMMON = ("transform", "default", "required", "on_error", "on_missing", "sensitive", "owner")
RULE = (*SOURCES, *BESIDE, *COMMON)
NUMBER = ("within", "order", "start")
REFERENCE = ("table", "match", "take")
ON_MISSING = ("review", "null", "skip")
ON_ITEM_ERROR = ("review", "review_item")
AGGREGATES = ("min", "max", "sum", "count", "first", "last")
ON_ERROR = ("review", "skip", "abort")
OWNERS = ("legacy", "target")


def rules(node: Node | None, what: str, notes: Notes) -> dict[str, Rule]:
    """Read a map of rules, in the order written."""
    if node is None:
        return {}
    found: dict[str, Rule] = {}
    for name, value in pairs(node, what, notes):
        if what != "fields":
            _refuse_owner(value, notes)
        found[name] = rule(value, name.place, notes)
    return found


def _refuse_owner(node: Node | None, notes: Notes) -> None:
    """Whose changes count is said of a column as a whole."""
    for key in node.entries if isinstance(node, Pairs) else ():
        if key == "owner":
            notes.add("E105", key.place, '"owner" belongs to a field, not to a part of one')


def rule(node: Node, place: Place, notes: Notes) -> Rule:
    """
    Read one rule.

    Args:
        place: Where its name stands; findings point there.
    """
    if isinstance(node, Scalar):
        return Rule(From((word(node, "a rule", notes),)), place)
    if isinstance(node, Items):
        notes.add(
            "E105", node.place, "a rule is a column or a map, not a list", "write {from: [a, b], transform: [coalesce]}"
        )
        return _nothing(place)
    form = Form.of(node, "a rule", RULE, notes)
    return _rule(form, place) if form else _nothing(place)


def _nothing(place: Place) -> Rule:
    return Rule(Value(None), place)


def _rule(form: Form, place: Place) -> Rule:
    notes = form.notes
    origin = _source(form)
    transform = steps(form.node("transform"), notes)
    check_combining(origin, transform, form)
    on_error, use = _on_error(form.node("on_error"), notes)
    return Rule(
        source=origin,
        place=place,
        steps=transform,
        default=form.literal("default", UNSET),
        required=form.flag("required"),
        on_error=on_error,
        use=use,
        on_missing=form.choice("on_missing", ON_MISSING, "review"),
        sensitive=form.flag("sensitive"),
        owner=form.choice("owner", OWNERS, "legacy"),
    )


def _source(form: Form) -> RuleSource:
    named = [key for key in SOURCES if key in form]
    if not named:
        form.notes.add("E102", form.place, f"a rule needs one of {', '.join(SOURCES)}")
        return Value(None)
    form.only_one_of(*named)
    for key, owners in BESIDE.items():
        if key in form and named[0] not in owners:
            form.notes.add("E105", form.key_place(key), f'"{key}" belongs to {" or ".join(owners)}, not to {named[0]}')
    return _READ[named[0]](form)


def _from(form: Form) -> From:
    aggregate = form.choice("aggregate", AGGREGATES, "min") if "aggregate" in form else None
    return From(form.words("from"), aggregate)


def _value(form: Form) -> Value:
    return Value(form.literal("value"))


def _lookup(form: Form) -> Lookup | Reference:
    node = form.node("lookup")
    if not isinstance(node, Pairs):
        if "by" not in form:
            form.notes.add(
                "E102", form.key_place("lookup"), 'lookup needs the key "by"', "write {lookup: MAPPING, by: COLUMN}"
            )
        return Lookup(form.word("lookup"), form.words("by"))
    if "by" in form:
        form.notes.add("E105", form.key_place("by"), 'a lookup in a table goes by "match"')
    table = Form.of(node, "lookup", REFERENCE, form.notes, needs=REFERENCE)
    if table is None:
        return Reference("", (), "")
    match = tuple((its, word(column, "match", form.notes)) for its, column in table.pairs("match"))
    return Reference(table.word("table"), match, table.word("take"))


def _object(form: Form) -> Object:
    return Object(rules(form.node("object"), "object", form.notes), form.flag("omit_nulls"))


def _collect(form: Form) -> Collect:
    return Collect(
        rules=rules(form.node("collect"), "collect", form.notes),
        of=form.maybe_word("of"),
        on_item_error=form.choice("on_item_error", ON_ITEM_ERROR, "review"),
        omit_nulls=form.flag("omit_nulls"),
    )


def _choose(form: Form) -> Choose:
    nodes = form.items("choose")
    if not nodes:
        form.notes.add("E102", form.key_place("choose"), "choose needs at least one branch")
    branches = tuple(branch for node in nodes if (branch := _branch(node, form.notes)))
    for node, branch in zip(nodes, branches, strict=False):
        if branch.when is None and node is not nodes[-1]:
            form.notes.add("E105", node.place, "else is the last branch; those after it are never taken")
    return Choose(branches)


def _branch(node: Node, notes: Notes) -> Branch | None:
    _refuse_owner(node, notes)
    if isinstance(node, Pairs) and "else" in node.entries:
        _refuse_owner(next(value for key, value in node.entries.items() if key == "else"), notes)
        form = Form.of(node, "else", ("else", "warn"), notes)
        return None if form is None else _otherwise(form)
    form = Form.of(node, "a branch", ("when", "warn", "review", *RULE), notes, needs=("when",))
    if form is None:
        return None
    when = predicate(form.node("when"), "when", notes)
    if "review" in form:
        form.only_one_of("review", *SOURCES)
        return Branch(when, None, review=form.text("review"))
    return Branch(when, _rule(form, form.place), warn=form.text("warn") or None)


def _otherwise(form: Form) -> Branch:
    node = form.node("else")
    if isinstance(node, Pairs) and "review" in node.entries:
        held = Form.of(node, "else", ("review",), form.notes)
        return Branch(None, None, review=held.text("review") if held else "")
    taken = rule(node, form.key_place("else"), form.notes) if node else None
    return Branch(None, taken, warn=form.text("warn") or None)


def _number(form: Form) -> Number:
    inner = Form.of(form.node("number"), "number", NUMBER, form.notes, needs=("within", "order"))
    return Number(inner.words("within"), inner.words("order"), inner.number("start", 0)) if inner else Number((), ())


def _rest(form: Form) -> Rest:
    if not form.flag("rest"):
        form.notes.add("E105", form.key_place("rest"), "rest is true, or not there")
    return Rest()


_READ: dict[str, Callable[[Form], RuleSource]] = {
    "from": _from,
    "value": _value,
    "lookup": _lookup,
    "object": _object,
    "collect": _collect,
    "choose": _choose,
    "number": _number,
    "rest": _rest,
}


def _on_error(node: Node | None, notes: Notes) -> tuple[str, Literal]:
    if node is None:
        return "review", UNSET
    if isinstance(node, Pairs):
        form = Form.of(node, "on_error", ("use",), notes, needs=("use",))
        return "use", form.literal("use") if form else None
    return choice(node, "on_error", ON_ERROR, notes), UNSET
