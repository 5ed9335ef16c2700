"""`set.yaml` -> UserSet: who the users are, what they did, what nobody moves."""

from __future__ import annotations

import re

from migrator.mapping.model import Activity, Also, Place, Users, UserSet, Way, Word
from migrator.mapping.problems import Notes
from migrator.mapping.reading.forms import Form, pairs
from migrator.mapping.reading.mappings import ignores
from migrator.mapping.reading.nodes import Node, Scalar
from migrator.mapping.reading.predicates import predicate
from migrator.mapping.reading.sources import joins
from migrator.mapping.reading.steps import steps

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_WAYS = "{id: COLUMN}, {link: {table: TABLE, record: COLUMN, user: COLUMN}}, email"
_LINK = ("table", "record", "user")
KEYS = ("set", "users", "null_if", "at", "activity", "paid", "tables", "also", "changes")
USERS = ("table", "key", "email", "name", "locale", "where", "join", "verified")
SAME = ("id", "of", "link")
LINK = ("table", "record", "user", "of")
ALSO = (*USERS, "same", "several")
ACTIVITY = ("table", "user", "at", "user_of", "where", "join")
PAID = (*ACTIVITY, "amount", "currency", "minus")


def user_set(node: Node, notes: Notes) -> UserSet | None:
    """Read set.yaml; None when it is no map."""
    form = Form.of(node, "set.yaml", KEYS, notes, needs=("set", "users"))
    if form is None:
        return None
    name = form.word("set")
    return UserSet(
        name=name,
        users=_users(form.node("users"), form.key_place("users"), notes),
        place=name.place,
        null_if=form.literals("null_if"),
        at=steps(form.node("at"), notes),
        activity=tuple(_signs(form, "activity", ACTIVITY, needs=ACTIVITY[:3])),
        paid=tuple(_signs(form, "paid", PAID, needs=(*ACTIVITY[:3], "amount"))),
        tables=ignores(form, "tables"),
        also=_also(form.node("also"), notes),
        changes=_changes(form),
    )


def _users(node: Node | None, place: Place, notes: Notes) -> Users:
    form = Form.of(node, "users", USERS, notes, needs=("table", "key"), at=place)
    return Users("", "", place) if form is None else _who(form)


def _who(form: Form) -> Users:
    notes = form.notes
    return Users(
        table=form.word("table"),
        key=form.word("key"),
        place=form.place,
        email=form.maybe_word("email"),
        name=form.maybe_word("name"),
        locale=form.maybe_word("locale"),
        where=predicate(form.node("where"), "where", notes),
        joins=joins(form.node("join"), notes),
        verified=predicate(form.node("verified"), "verified", notes) if "verified" in form else None,
    )


def _changes(form: Form) -> dict[str, str]:
    """Tables, each with the column that says when a row of it was written last."""
    node = form.node("changes")
    if node is None:
        return {}
    columns: dict[str, str] = {}
    for name, found in pairs(node, "changes", form.notes):
        if isinstance(found, Scalar):
            columns[name] = Word(found.text, found.place)
        else:
            form.notes.add("E105", found.place, f"changes: {name} needs the name of one column")
    return columns


def _also(node: Node | None, notes: Notes) -> dict[str, Also]:
    if node is None:
        return {}
    opened = [(name, Form.of(found, f"also.{name}", ALSO, notes, needs=("table", "key", "same"), at=name.place))
              for name, found in pairs(node, "also", notes)]  # fmt: skip
    return {str(name): _silo(name, form) for name, form in opened if form}


def _silo(name: Word, form: Form) -> Also:
    if not _NAME.fullmatch(name):
        form.notes.add(
            "E105", name.place, "a name under also has small letters, digits and _, and begins with a letter"
        )
    ways = [way for item in form.items("same") if (way := _way(item, form.notes))]
    return Also(name, _who(form), tuple(ways), form.flag("several"))


def _way(node: Node, notes: Notes) -> Way | None:
    if isinstance(node, Scalar):
        if node.text == "email":
            return Way("email", node.place)
        notes.add("E105", node.place, f'"{node.text}" is no way to know a person', f"ways are: {_WAYS}")
        return None
    form = Form.of(node, "a way of same", SAME, notes)
    if form is None:
        return None
    form.only_one_of("id", "link")
    if "link" in form:
        link = Form.of(form.node("link"), "link", LINK, notes, needs=_LINK)
        if link is None:
            return None
        of = link.maybe_word("of")
        return Way("link", link.place, link.word("user"), of, link.word("table"), link.word("record"))
    if "id" in form:
        return Way("id", form.place, form.word("id"), form.maybe_word("of"))
    notes.add("E102", form.place, "a way of same needs id or link", f"ways are: {_WAYS}")
    return None


def _signs(form: Form, key: str, keys: tuple[str, ...], needs: tuple[str, ...]) -> list[Activity]:
    opened = [Form.of(node, f"an entry of {key}", keys, form.notes, needs=needs) for node in form.items(key)]
    return [_sign(entry) for entry in opened if entry]


def _sign(form: Form) -> Activity:
    return Activity(
        table=form.word("table"),
        user=form.word("user"),
        at=form.word("at"),
        place=form.place,
        user_of=form.maybe_word("user_of"),
        where=predicate(form.node("where"), "where", form.notes),
        joins=joins(form.node("join"), form.notes),
        amount=form.maybe_word("amount"),
        currency=form.maybe_word("currency"),
        minus=form.flag("minus"),
    )
