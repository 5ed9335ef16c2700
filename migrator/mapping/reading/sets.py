"""`set.yaml` -> UserSet: who the users are, what they did, what nobody moves."""

from __future__ import annotations

from migrator.mapping.model import Activity, Place, Users, UserSet
from migrator.mapping.problems import Notes
from migrator.mapping.reading.forms import Form
from migrator.mapping.reading.mappings import ignores
from migrator.mapping.reading.nodes import Node
from migrator.mapping.reading.predicates import predicate
from migrator.mapping.reading.sources import joins
from migrator.mapping.reading.steps import steps

_KEYS = ("set", "users", "null_if", "at", "activity", "paid", "tables")
_USERS = ("table", "key", "email", "name", "locale", "where", "join")
_ACTIVITY = ("table", "user", "at", "where", "join")
_PAID = (*_ACTIVITY, "amount", "currency", "minus")


def user_set(node: Node, notes: Notes) -> UserSet | None:
    """Read set.yaml; None when it is no map."""
    form = Form.of(node, "set.yaml", _KEYS, notes, needs=("set", "users"))
    if form is None:
        return None
    name = form.word("set")
    return UserSet(
        name=name,
        users=_users(form.node("users"), form.key_place("users"), notes),
        place=name.place,
        null_if=form.literals("null_if"),
        at=steps(form.node("at"), notes),
        activity=tuple(_signs(form, "activity", _ACTIVITY, needs=_ACTIVITY[:3])),
        paid=tuple(_signs(form, "paid", _PAID, needs=(*_ACTIVITY[:3], "amount"))),
        tables=ignores(form, "tables"),
    )


def _users(node: Node | None, place: Place, notes: Notes) -> Users:
    form = Form.of(node, "users", _USERS, notes, needs=("table", "key"), at=place)
    if form is None:
        return Users("", "", place)
    return Users(
        table=form.word("table"),
        key=form.word("key"),
        place=form.place,
        email=form.maybe_word("email"),
        name=form.maybe_word("name"),
        locale=form.maybe_word("locale"),
        where=predicate(form.node("where"), "where", notes),
        joins=joins(form.node("join"), notes),
    )


def _signs(form: Form, key: str, keys: tuple[str, ...], needs: tuple[str, ...]) -> list[Activity]:
    opened = [Form.of(node, f"an entry of {key}", keys, form.notes, needs=needs) for node in form.items(key)]
    return [_sign(entry) for entry in opened if entry]


def _sign(form: Form) -> Activity:
    return Activity(
        table=form.word("table"),
        user=form.word("user"),
        at=form.word("at"),
        place=form.place,
        where=predicate(form.node("where"), "where", form.notes),
        joins=joins(form.node("join"), form.notes),
        amount=form.maybe_word("amount"),
        currency=form.maybe_word("currency"),
        minus=form.flag("minus"),
    )
