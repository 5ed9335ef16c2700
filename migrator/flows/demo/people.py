"""Who the users of the old shop are, and on which days each of them was there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from random import Random
from typing import Final

from faker import Faker

#: Midnight UTC after the last sign of life in the old shop. Days are counted back from here.
CLOSING: Final = datetime(2026, 3, 1, tzinfo=UTC)

_FIRST_ID: Final = 1001
_CHINESE_SHARE: Final = 0.7


class Habit(StrEnum):
    """How somebody uses the shop; the tiers are computed from what these habits leave behind."""

    REGULAR = "regular"  # there every few days, buys every other month
    BROWSER = "browser"  # there every few days, buys nothing
    BUYER = "buyer"  # buys a few times a year
    STRAY = "stray"  # came by once, or long ago


_SHARES: Final = {Habit.REGULAR: 0.16, Habit.BROWSER: 0.03, Habit.BUYER: 0.42}  # the rest are strays


@dataclass(frozen=True, slots=True)
class Person:
    """
    One user of the old shop, before anything is written down.

    `days` are the days of activity, counted back from CLOSING (0 = the last one), the most recent first.
    """

    user_id: int
    habit: Habit
    chinese: bool
    family: str
    given: str
    female: bool
    joined: int
    days: tuple[int, ...]

    @property
    def quiet(self) -> bool:
        """Whether the person is certainly not in the core tier."""
        return self.habit in (Habit.BUYER, Habit.STRAY) and sum(day < 90 for day in self.days) <= 10

    @property
    def full_name(self) -> str:
        """As the old shop wrote it: family name first, in one column."""
        return f"{self.family} {self.given}"


def crowd(users: int, rng: Random, seed: int) -> list[Person]:
    """Make *users* people, about 16 % of them regulars, 39 % strays, in random order."""
    names = {True: _faker("zh_CN", seed), False: _faker("en_US", seed)}
    habits = _habits(users)
    rng.shuffle(habits)
    return [_person(_FIRST_ID + number, habit, rng, names) for number, habit in enumerate(habits)]


def _faker(locale: str, seed: int) -> Faker:
    faker = Faker(locale)
    faker.seed_instance(seed)
    return faker


def _habits(users: int) -> list[Habit]:
    named = [habit for habit, share in _SHARES.items() for _ in range(round(users * share))]
    return named + [Habit.STRAY] * (users - len(named))


def _person(user_id: int, habit: Habit, rng: Random, names: dict[bool, Faker]) -> Person:
    chinese = rng.random() < _CHINESE_SHARE
    female = rng.random() < 0.5
    faker = names[chinese]
    joined = rng.randint(120, 2500)
    return Person(
        user_id=user_id,
        habit=habit,
        chinese=chinese,
        family=faker.last_name(),
        given=faker.first_name_female() if female else faker.first_name_male(),
        female=female,
        joined=joined,
        days=tuple(sorted(set(_days(habit, joined, rng)))),
    )


def _days(habit: Habit, joined: int, rng: Random) -> Iterator[int]:
    oldest = min(joined, 700)
    if habit in (Habit.REGULAR, Habit.BROWSER):
        yield rng.randint(0, 9)
        yield from rng.sample(range(90), rng.randint(21, 36))
        yield from (rng.randint(90, oldest) for _ in range(rng.randint(4, 10)))
    elif habit is Habit.BUYER:
        yield rng.randint(0, 45)
        yield from rng.sample(range(90), rng.randint(2, 12))
        yield from (rng.randint(90, oldest) for _ in range(rng.randint(3, 9)))
    else:
        yield from rng.sample(range(90), rng.randint(0, 2))
        yield from (rng.randint(90, oldest) for _ in range(rng.randint(1, 4)))
