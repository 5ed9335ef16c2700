"""Dirties the old shop: each kind of trouble on users who have no other, so that every one can be counted."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final, TypeAlias

from migrator.flows.demo import rows
from migrator.flows.demo.dirt import Dirt, Planted
from migrator.flows.demo.goods import VANISHED
from migrator.flows.demo.people import CLOSING, Person
from migrator.flows.demo.rows import Shop

#: The e-mail of an account that the new shop has before anybody is moved.
TAKEN_EMAIL: Final = "early.bird@example.org"

_NO_EMAILS: Final = ("none", "wang.example.com", "li@@example.com", "zhao@", "a b@example.com", "@example.com")
_MOJIBAKE: Final = (("Schön", "Jörg"), ("Müller", "Zoë"), ("Lefèvre", "André"), ("Núñez", "Inés"))
_BAD_DAYS: Final = ("1987-02-30", "1990-13-01", "01.05.1988", "1979-00-10")


class Crowd:
    """Hands out people without trouble, each once."""

    def __init__(self, people: list[Person], rng: Random) -> None:
        self._left = [person for person in people if person.quiet]
        rng.shuffle(self._left)

    def take(self, number: int, fits: Callable[[Person], bool]) -> list[Person]:
        """Take *number* people who fit; there are always more than enough in a shop of 200."""
        taken = [person for person in self._left if fits(person)][:number]
        gone = {person.user_id for person in taken}
        self._left = [person for person in self._left if person.user_id not in gone]
        return taken


Planter: TypeAlias = Callable[[Shop, Person, int], None]


def plant(shop: Shop, people: list[Person], dirt: Dirt) -> Planted:
    """Dirty the shop; returns who has which trouble."""
    crowd = Crowd(people, shop.rng)
    pairs = _share_emails(shop, crowd, dirt.shared_emails)
    planted = {"shared_emails": tuple(sorted(person.user_id for person in pairs))}
    for kind, (fits, spoil) in _kinds(shop).items():
        spoilt = crowd.take(getattr(dirt, kind), fits)
        for number, person in enumerate(spoilt):
            spoil(shop, person, number)
        planted[kind] = tuple(sorted(person.user_id for person in spoilt))
    _plant_rows_of_nobody(shop, dirt)
    return Planted(dirt, planted)


def _share_emails(shop: Shop, crowd: Crowd, pairs: int) -> list[Person]:
    people = crowd.take(2 * pairs, lambda _: True)
    for one, other in zip(people[::2], people[1::2], strict=True):
        shop.users[other.user_id]["email"] = f" {shop.users[one.user_id]['email']}".upper()
    return people


def _kinds(shop: Shop) -> dict[str, tuple[Callable[[Person], bool], Planter]]:
    """Who each kind may befall, and how. The order decides who gets what, so it is part of the data."""
    with_cart = {row["user_id"] for row in shop.tables["t_cart"]}
    with_wishes = {row["user_id"] for row in shop.tables["t_favorite"]}

    def anybody(person: Person) -> bool:
        return True

    def has_ordered(person: Person) -> bool:
        return bool(shop.orders[person.user_id])

    def has_cart(person: Person) -> bool:
        return person.user_id in with_cart

    def has_wishes(person: Person) -> bool:
        return person.user_id in with_wishes

    return {
        "unknown_statuses": (has_ordered, _forget_what_the_status_means),
        "broken_order_ext": (has_ordered, _cut_off_the_order),
        "empty_cart_lines": (has_cart, _empty_a_cart_line),
        "doubled_favourites": (has_wishes, _wish_twice),
        "vanished_favourites": (has_wishes, _wish_for_what_is_gone),
        "taken_email": (anybody, _sign_up_early),
        "invalid_emails": (anybody, _mistype_email),
        "ms_last_logins": (anybody, _log_in_by_the_millisecond),
        "bad_birthdays": (anybody, _mistype_birthday),
        "mojibake": (lambda person: not person.chinese, _garble_name),
        "bad_phones": (anybody, _mistype_phone),
        "broken_event_ext": (anybody, _cut_off_an_event),
        "ms_events": (anybody, _log_by_the_millisecond),
        "zero_birthdays": (anybody, _zero_birthday),
        "no_emails": (anybody, _sign_up_by_phone),
        "doubled_settings": (anybody, _change_the_theme),
        "old_events": (lambda person: person.joined > 1100, _remember_old_times),
        "deleted_users": (anybody, _close_account),
    }


def _forget_what_the_status_means(shop: Shop, person: Person, number: int) -> None:
    shop.orders[person.user_id][0]["status"] = 7


def _cut_off_the_order(shop: Shop, person: Person, number: int) -> None:
    shop.orders[person.user_id][0]["ext"] = '{"gift": true, "note": "ring tw'


def _empty_a_cart_line(shop: Shop, person: Person, number: int) -> None:
    rows.cart_line(shop, person, shop.goods[number % len(shop.goods)], 0)


def _wish_twice(shop: Shop, person: Person, number: int) -> None:
    first = next(row for row in shop.tables["t_favorite"] if row["user_id"] == person.user_id)
    again = str(first["goods_ids"]).split(",")[0]
    rows.folder(shop, person, [int(again)], "again")


def _wish_for_what_is_gone(shop: Shop, person: Person, number: int) -> None:
    rows.folder(shop, person, [VANISHED], None)


def _sign_up_early(shop: Shop, person: Person, number: int) -> None:
    shop.users[person.user_id]["email"] = TAKEN_EMAIL


def _mistype_email(shop: Shop, person: Person, number: int) -> None:
    shop.users[person.user_id]["email"] = _NO_EMAILS[number % len(_NO_EMAILS)]


def _log_in_by_the_millisecond(shop: Shop, person: Person, number: int) -> None:
    shop.users[person.user_id]["last_login"] = rows.at(person.days[0], shop.rng) * 1000


def _mistype_birthday(shop: Shop, person: Person, number: int) -> None:
    shop.users[person.user_id]["birthday"] = _BAD_DAYS[number % len(_BAD_DAYS)]


def _garble_name(shop: Shop, person: Person, number: int) -> None:
    name = " ".join(_MOJIBAKE[number % len(_MOJIBAKE)])
    # UTF-8 that was once read as Windows-1252: the most common damage of all
    shop.users[person.user_id]["real_name"] = name.encode().decode("cp1252")


def _mistype_phone(shop: Shop, person: Person, number: int) -> None:
    shop.users[person.user_id]["mobile"] = ("12345", "ask my wife", "000")[number % 3]


def _cut_off_an_event(shop: Shop, person: Person, number: int) -> None:
    rows.event(shop, person.user_id, rows.at(person.days[0], shop.rng), ext='{"ref": "ma')


def _log_by_the_millisecond(shop: Shop, person: Person, number: int) -> None:
    rows.event(shop, person.user_id, rows.at(person.days[0], shop.rng) * 1000)


def _zero_birthday(shop: Shop, person: Person, number: int) -> None:
    shop.users[person.user_id]["birthday"] = "0000-00-00"


def _sign_up_by_phone(shop: Shop, person: Person, number: int) -> None:
    shop.users[person.user_id]["email"] = None if number % 2 else ""


def _change_the_theme(shop: Shop, person: Person, number: int) -> None:
    rows.setting(shop, person.user_id, "theme", "1", day=60)
    rows.setting(shop, person.user_id, "theme", "2", day=1)


def _remember_old_times(shop: Shop, person: Person, number: int) -> None:
    rows.event(shop, person.user_id, rows.at(800 + number, shop.rng))


def _close_account(shop: Shop, person: Person, number: int) -> None:
    shop.users[person.user_id]["is_deleted"] = 1


def _plant_rows_of_nobody(shop: Shop, dirt: Dirt) -> None:
    for number in range(dirt.guest_orders):
        rows.order(shop, None, day=5 + number, status=3)
    for number in range(dirt.dead_user_events):
        rows.event(shop, 900_001 + number % 7, rows.at(30 + number, shop.rng))
    for number in range(dirt.visitor_events):
        rows.event(shop, 0, rows.at(number, shop.rng))
    # the last sign of life fixes the plan's cut-off, whatever the size and the seed
    rows.event(shop, 0, int(CLOSING.timestamp()) - 1)
