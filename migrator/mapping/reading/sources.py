"""`source:` -> Source, and `join:` -> Joins (which `set.yaml` uses too)."""

from __future__ import annotations

from dataclasses import dataclass

from migrator.mapping.model import Group, Join, Names, Pivot, Place, Source, Unnest, WithoutUser, Word
from migrator.mapping.problems import Notes
from migrator.mapping.reading.forms import Form, pairs, text, word
from migrator.mapping.reading.nodes import Node, Pairs, Scalar, is_null
from migrator.mapping.reading.predicates import is_pattern, predicate

SOURCE = ("table", "key", "user", "user_of", "where", "null_if", "join", "pivot", "group", "unnest", "without_user")
JOIN = ("table", "match", "user", "user_of", "where", "keep", "many", "pivot")
NAMES = ("from", "table", "match", "take", "where")
PIVOT = ("names", "values", "duplicates")
MANY = ("order", "item_key")
GROUP = ("by", "order", "item_key")
UNNEST = ("column", "separator", "regex", "parse", "key", "as", "position")
PARSERS = ("json", "php")
THROUGH = ("through", "on", "take")
WITHOUT_USER = ("leave", "move", "values")
ORDERS = ("most_recent", "oldest", "first", "last")


@dataclass(frozen=True, slots=True)
class _User:
    """Whose a row is: the columns to look at, and the join that `through` stands for."""

    columns: tuple[str, ...]
    through: Join | None = None


def source(node: Node | None, place: Place, notes: Notes) -> Source:
    """Read `source:`; an empty Source when it is no map."""
    form = Form.of(node, "source", SOURCE, notes, needs=("table", "key", "user"), at=place)
    if form is None:
        return Source("", (), (), place)
    form.only_one_of("pivot", "group", "unnest")
    owner = _user(form.node("user"), notes)
    return Source(
        table=form.word("table"),
        key=form.words("key"),
        user=owner.columns,
        place=form.place,
        user_of=form.maybe_word("user_of"),
        where=predicate(form.node("where"), "where", notes),
        null_if=form.literals("null_if"),
        joins=_with(owner.through, joins(form.node("join"), notes), notes),
        pivot=_pivot(form.node("pivot"), of_source=True, notes=notes),
        group=_group(form.node("group"), notes),
        unnest=_unnest(form.node("unnest"), notes),
        without_user=_without_user(form.node("without_user"), notes),
    )


def joins(node: Node | None, notes: Notes) -> dict[str, Join]:
    """Read `join:`, in the order written."""
    if node is None:
        return {}
    return {str(name): _join(name, value, notes) for name, value in pairs(node, "join", notes)}


def _join(name: Word, node: Node, notes: Notes) -> Join:
    form = Form.of(node, f"the join {name}", JOIN, notes, needs=("table",))
    if "." in name or name.startswith("$"):
        notes.add("E105", name.place, "the name of a join holds no point and begins with no $")
    if form is None:
        return Join(name, (), (), name.place)
    form.only_one_of("keep", "many", "pivot")
    form.only_one_of("match", "user")
    if "match" not in form and "user" not in form:
        text = f'the join {name} needs the key "match"'
        notes.add("E102", form.place, text, "or user: COLUMN, for the rows of the same user")
    many = Form.of(form.node("many"), "many", MANY, notes)
    pivot = _pivot(form.node("pivot"), of_source=False, notes=notes)
    tables = form.words("table")
    if len(tables) > 1 and pivot is None:
        notes.add("E105", tables[1].place, "several tables belong to a pivot", "make one join per table")
    return Join(
        name=name,
        tables=tables,
        match=tuple((its, word(column, "match", notes)) for its, column in form.pairs("match")),
        place=name.place,
        user=form.maybe_word("user"),
        user_of=form.maybe_word("user_of"),
        where=predicate(form.node("where"), "where", notes),
        keep=form.pair("keep", ORDERS[:2]),
        many=many is not None,
        order=many.maybe_word("order") if many else None,
        item_key=many.maybe_word("item_key") if many else None,
        pivot=pivot,
    )


def _user(node: Node | None, notes: Notes) -> _User:
    if node is None:
        return _User(())
    if isinstance(node, Scalar):
        return _User((word(node, "user", notes),))
    keys = THROUGH if isinstance(node, Pairs) and "through" in node.entries else ("coalesce",)
    form = Form.of(node, "user", keys, notes, needs=keys)
    if form is None:
        return _User(())
    if "coalesce" in keys:
        return _User(form.words("coalesce"))
    table, column = form.word("through"), form.word("on")
    taken = form.word("take")
    name = Word(table.rpartition(".")[2], table.place)  # without the database's
    return _User((Word(f"{name}.{taken}", taken.place),), Join(name, (table,), ((column, column),), table.place))


def _with(through: Join | None, named: dict[str, Join], notes: Notes) -> dict[str, Join]:
    if through is None:
        return named
    if through.name in named:
        notes.add("E104", through.place, f'"{through.name}" is a join already', f"write user: {through.name}.COLUMN")
    return {str(through.name): through, **named}


def _pivot(node: Node | None, *, of_source: bool, notes: Notes) -> Pivot | None:
    keys = (*PIVOT, "by") if of_source else PIVOT
    form = Form.of(node, "pivot", keys, notes, needs=tuple(key for key in keys if key != "duplicates"))
    if form is None:
        return None
    return Pivot(
        names=_names(form.node("names"), notes),
        values=form.word("values"),
        by=form.maybe_word("by"),
        duplicates=form.pair("duplicates", ORDERS),
    )


def _names(node: Node | None, notes: Notes) -> Names:
    if node is None or isinstance(node, Scalar):
        return Names(word(node, "names", notes) if node else "")
    form = Form.of(node, "names", NAMES, notes, needs=NAMES[:4])
    if form is None:
        return Names("")
    where = predicate(form.node("where"), "where", notes)
    return Names(form.word("from"), form.word("table"), form.word("match"), form.word("take"), where)


def _group(node: Node | None, notes: Notes) -> Group | None:
    form = Form.of(node, "group", GROUP, notes, needs=("by",))
    if form is None:
        return None
    return Group(form.word("by"), form.maybe_word("order"), form.maybe_word("item_key"))


def _unnest(node: Node | None, notes: Notes) -> Unnest | None:
    form = Form.of(node, "unnest", UNNEST, notes, needs=("column", "as"))
    if form is None:
        return None
    form.only_one_of("separator", "parse")
    if "separator" not in form and "parse" not in form:
        notes.add("E102", form.place, "unnest needs separator or parse", "write separator: ',' or parse: json")
    if "key" in form and "parse" not in form:
        notes.add("E105", form.key_place("key"), "key belongs to parse: the parts of a text have no keys")
    if "regex" in form and "separator" not in form:
        notes.add("E105", form.key_place("regex"), "regex belongs to separator: it says that this is a pattern")
    separator, regex = form.text("separator") if "separator" in form else None, form.flag("regex")
    node = form.node("separator")
    if node is not None and not (is_pattern(separator or "") if regex else separator):
        text = "separator is no pattern that the engine understands" if regex else "separator is an empty text"
        notes.add("E105", node.place, text)
        separator, regex = ",", False
    return Unnest(
        column=form.word("column"),
        as_=form.word("as"),
        separator=separator,
        regex=regex,
        parse=form.choice("parse", PARSERS, "json") if "parse" in form else None,
        key=form.maybe_word("key"),
        position=form.maybe_word("position"),
    )


def _without_user(node: Node | None, notes: Notes) -> WithoutUser | None:
    if node is None:
        return None
    if isinstance(node, Scalar):
        if node.text != "move":
            text = f'without_user has no way "{node.text}"'
            notes.add("E105", node.place, text, "write move, {leave: REASON} or {move: true, values: [0]}")
        return WithoutUser(None, move=True)
    form = Form.of(node, "without_user", WITHOUT_USER, notes)
    if form is None:
        return None
    form.only_one_of("leave", "move")
    move = form.flag("move")
    if not move and "leave" not in form:
        notes.add(
            "E102", form.place, 'without_user needs the key "leave"', "or move: true, so that these rows move, too"
        )
    return WithoutUser(reason(form.node("leave"), notes) if "leave" in form else None, form.literals("values"), move)


def reason(node: Node | None, notes: Notes) -> str:
    """Read why something is left behind; `???` and nothing are no reasons."""
    if node is None:
        return ""
    why = text(node, "the reason", notes).strip()
    if is_null(node) or not why.strip("?"):
        notes.add("E209", node.place, "a reason is missing", "say in a few words why this may stay behind")
    return why
