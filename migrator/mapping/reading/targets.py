"""`target:`, `merge_duplicates:` and `when_merged:` -> Target, Merge."""

from __future__ import annotations

from migrator.mapping.model import Id, Merge, OnConflict, Place, Predicate, Target
from migrator.mapping.problems import Notes
from migrator.mapping.reading.clocks import HELP, is_clock
from migrator.mapping.reading.forms import Form, choice, words
from migrator.mapping.reading.nodes import Items, Node, Pairs, Scalar
from migrator.mapping.reading.predicates import predicate

TARGET = ("table", "id", "on_conflict")
WAYS = ("uuid5", "keep", "lookup", "fields", "sequence")
ID = (*WAYS, "by", "as")
ON_CONFLICT = ("match", "action", "newer", "leave")
MERGE = ("match", "keep", "fields", "review_if_different")
ACTIONS = ("review", "skip", "skip_if_equal", "update", "update_if_newer", "fill_nulls")
SURVIVORS = ("most_recent", "oldest", "most_complete", "source_priority")
OPERATIONS = (
    "first_not_null",
    "most_recent",
    "longest",
    "min",
    "max",
    "sum",
    "any",
    "all",
    "union",
    "append",
)


def target(node: Node | None, place: Place, notes: Notes) -> Target:
    """Read `target:`; an empty Target when it is no map."""
    form = Form.of(node, "target", TARGET, notes, needs=("table", "id"), at=place)
    if form is None:
        return Target("", Id("fields"), place)
    return Target(
        form.word("table"), _id(form.node("id"), notes), form.place, _on_conflict(form.node("on_conflict"), notes)
    )


def merge(node: Node | None, notes: Notes) -> Merge | None:
    """Read `merge_duplicates:`."""
    form = Form.of(node, "merge_duplicates", MERGE, notes, needs=("match", "keep"))
    if form is None:
        return None
    return Merge(
        match=form.words("match"),
        keep=_survivor(form),
        fields=operations(form, "fields"),
        place=form.place,
        review_if_different=form.words("review_if_different"),
    )


def when_merged(node: Node | None, notes: Notes) -> dict[str, str]:
    """Read `when_merged:`: `keep: survivor`, and an operation per column."""
    form = Form.of(node, "when_merged", _keys_of(node), notes)
    if form is None:
        return {}
    form.choice("keep", ("survivor",), "survivor")
    return {
        column: "survivor" if column == "keep" else form.choice(column, OPERATIONS, "first_not_null")
        for column in _keys_of(node)
    }


def operations(form: Form, key: str) -> dict[str, str]:
    """Read `{column: operation}`."""
    return {column: choice(value, "an operation", OPERATIONS, form.notes) for column, value in form.pairs(key)}


def _keys_of(node: Node | None) -> tuple[str, ...]:
    entries = getattr(node, "entries", {})
    return tuple(entries)


def _survivor(form: Form) -> tuple[str, str]:
    node = form.node("keep")
    if isinstance(node, Scalar):
        return choice(node, "keep", ("most_complete",), form.notes), ""
    return form.pair("keep", SURVIVORS) or ("most_recent", "")


def _id(node: Node | None, notes: Notes) -> Id:
    clock = next((key for key in node.entries if is_clock(key)), None) if isinstance(node, Pairs) else None
    if clock is not None:
        notes.add("E601", clock.place, "the row would get another id in every run", HELP)
        return Id("fields")
    form = Form.of(node, "id", ID, notes)
    if form is None:
        return Id("fields")
    way = next((way for way in WAYS if way in form), None)
    if way is None:
        notes.add("E102", form.place, f"id needs one of {', '.join(WAYS)}", "write id: {uuid5: COLUMN}")
        return Id("fields")
    form.only_one_of(*WAYS)
    if way == "sequence" and not form.flag("sequence"):
        notes.add("E105", form.key_place("sequence"), "sequence is true, or not there", "write id: {sequence: true}")
    return _id_by(way, form)


def _id_by(way: str, form: Form) -> Id:
    if ("by" in form) != (way == "lookup"):
        form.notes.add("E105" if "by" in form else "E102", form.place, 'id: "by" goes with lookup, and only with it')
    as_ = form.maybe_word("as")
    if way == "lookup":
        return Id(way, form.words("by"), form.word("lookup"), as_)
    return Id(way, () if way == "sequence" else form.words(way), None, as_)


def _on_conflict(node: Node | None, notes: Notes) -> OnConflict | None:
    form = Form.of(node, "on_conflict", ON_CONFLICT, notes, needs=("match",))
    if form is None:
        return None
    action = form.choice("action", ACTIONS, "review")
    if action == "update_if_newer" and "newer" not in form:
        notes.add(
            "E102", form.place, 'update_if_newer needs the key "newer"', "say which column tells it: newer: COLUMN"
        )
    if action != "update_if_newer" and "newer" in form:
        notes.add("E105", form.key_place("newer"), '"newer" goes with action: update_if_newer, and only with it')
    if action == "skip" and "leave" in form:
        notes.add("E105", form.key_place("leave"), "a row that is skipped is left alone as it is", "take leave out")
    return OnConflict(form.words("match"), action, _leave(form), form.maybe_word("newer"))


def _leave(form: Form) -> dict[str, Predicate | None]:
    node = form.node("leave")
    if isinstance(node, Items | Scalar):
        return {column: None for column in words(node, "leave", form.notes)}
    return {column: predicate(value, "leave", form.notes) for column, value in form.pairs("leave")}
