"""`target:`, `merge_duplicates:` and `when_merged:` -> Target, Merge."""

from __future__ import annotations

from migrator.mapping.model import Id, Merge, OnConflict, Place, Predicate, Target
from migrator.mapping.problems import Notes
from migrator.mapping.reading.forms import Form, choice, words
from migrator.mapping.reading.nodes import Items, Node, Scalar
from migrator.mapping.reading.predicates import predicate

_WAYS = ("uuid5", "keep", "lookup", "fields", "sequence")
_ACTIONS = ("review", "skip", "skip_if_equal", "update", "update_if_newer", "fill_nulls")
_UNBUILT = ("update_if_newer", "fill_nulls")
_SURVIVORS = ("most_recent", "oldest", "most_complete", "source_priority")
_OPERATIONS = (
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
    form = Form.of(node, "target", ("table", "id", "on_conflict"), notes, needs=("table", "id"), at=place)
    if form is None:
        return Target("", Id("fields"), place)
    return Target(
        form.word("table"), _id(form.node("id"), notes), form.place, _on_conflict(form.node("on_conflict"), notes)
    )


def merge(node: Node | None, notes: Notes) -> Merge | None:
    """Read `merge_duplicates:`."""
    keys = ("match", "keep", "fields", "review_if_different")
    form = Form.of(node, "merge_duplicates", keys, notes, needs=("match", "keep"))
    if form is None:
        return None
    return Merge(
        match=form.words("match"),
        keep=_survivor(form),
        fields=operations(form, "fields"),
        place=form.place,
        review_if_different=form.words("review_if_different"),
    )


def when_merged(node: Node | None, place: Place, notes: Notes) -> dict[str, str]:
    """Read `when_merged:`: `keep: survivor`, and an operation per column."""
    form = Form.of(node, "when_merged", _keys_of(node), notes)
    if form is None:
        return {}
    notes.add("E120", place, "this version merges no users, so when_merged has no meaning", "take it out")
    form.choice("keep", ("survivor",), "survivor")
    return {
        column: "survivor" if column == "keep" else form.choice(column, _OPERATIONS, "first_not_null")
        for column in _keys_of(node)
    }


def operations(form: Form, key: str) -> dict[str, str]:
    """Read `{column: operation}`."""
    return {column: choice(value, "an operation", _OPERATIONS, form.notes) for column, value in form.pairs(key)}


def _keys_of(node: Node | None) -> tuple[str, ...]:
    entries = getattr(node, "entries", {})
    return tuple(entries)


def _survivor(form: Form) -> tuple[str, str]:
    node = form.node("keep")
    if isinstance(node, Scalar):
        return choice(node, "keep", ("most_complete",), form.notes), ""
    kept = form.pair("keep", _SURVIVORS) or ("most_recent", "")
    if kept[0] == "source_priority":
        form.notes.add(
            "E120", node.place if node else form.place, "this version keeps by no priority", "use oldest or most_recent"
        )
    return kept


def _id(node: Node | None, notes: Notes) -> Id:
    form = Form.of(node, "id", (*_WAYS, "by", "as"), notes)
    if form is None:
        return Id("fields")
    way = next((way for way in _WAYS if way in form), None)
    if way is None:
        notes.add("E102", form.place, f"id needs one of {', '.join(_WAYS)}", "write id: {uuid5: COLUMN}")
        return Id("fields")
    form.only_one_of(*_WAYS)
    if way == "sequence":
        notes.add(
            "E120", form.key_place("sequence"), "this version gives no numbers from a sequence", "use uuid5 or keep"
        )
    return _id_by(way, form)


def _id_by(way: str, form: Form) -> Id:
    if ("by" in form) != (way == "lookup"):
        form.notes.add("E105" if "by" in form else "E102", form.place, 'id: "by" goes with lookup, and only with it')
    as_ = form.maybe_word("as")
    if way == "lookup":
        return Id(way, form.words("by"), form.word("lookup"), as_)
    return Id(way, () if way == "sequence" else form.words(way), None, as_)


def _on_conflict(node: Node | None, notes: Notes) -> OnConflict | None:
    form = Form.of(node, "on_conflict", ("match", "action", "leave"), notes, needs=("match",))
    if form is None:
        return None
    action = form.choice("action", _ACTIONS, "review")
    if action in _UNBUILT:
        text = f'this version does not know what to do for "{action}"'
        notes.add("E120", form.key_place("action"), text, "use review, skip, skip_if_equal or update")
    if "leave" in form:
        notes.add("E120", form.key_place("leave"), "this version leaves no single columns alone", "use skip or review")
    return OnConflict(form.words("match"), action, _leave(form))


def _leave(form: Form) -> dict[str, Predicate | None]:
    node = form.node("leave")
    if isinstance(node, Items | Scalar):
        return {column: None for column in words(node, "leave", form.notes)}
    return {column: predicate(value, "leave", form.notes) for column, value in form.pairs("leave")}
