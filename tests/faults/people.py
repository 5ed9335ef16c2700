"""
What the oracle knows of one visitor: all that he ever was in legacy, and what of it must stand in the target after each
generation of his. Imports nothing of ours.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias
from uuid import NAMESPACE_URL, uuid5

NAMESPACE = uuid5(NAMESPACE_URL, "urn:migrator:row")
STATES = {1: "active", 2: "closed"}
Member: TypeAlias = tuple[str, str | None, str]  # email, name, status
Ticket: TypeAlias = tuple[str, str, str]  # id, film, price
Effect: TypeAlias = tuple[str, str, str]  # table, row, what was done to it


@dataclass(frozen=True)
class Stand:
    """The rows of one visitor at one moment."""

    member: Member | None
    tickets: tuple[Ticket, ...] = ()


@dataclass(frozen=True)
class Turn:
    """From the generation after *after* on legacy says something else of him."""

    after: int
    said: Stand
    brought: bool  # while he is in the target: he comes over again


@dataclass
class Person:
    """A visitor as he must stand in the target, and what stood there before."""

    key: str
    said: Stand  # by legacy, now
    valid: bool
    before: Member | None = None
    first: Stand | None = None  # said before anything changed
    turns: list[Turn] = field(default_factory=list)
    erased_at: int | None = None  # his generation when he asked to be forgotten

    def changes(self, other: Person, generation: int, *, there: bool) -> None:
        """Legacy says now what it says of *other*; he is at that generation, *there* or put back."""
        if other.said != self.said or other.valid != self.valid:
            self.turns.append(Turn(generation, other.said, there and other.valid))
            self.first = self.first or self.said
            self.said, self.valid = other.said, other.valid

    def history(self, generation: int) -> list[Stand]:
        """How he stood after each generation: put in and put back in turn, or brought over again."""
        said, there = self.first or self.said, False
        stands = [Stand(self.before)]
        for number in range(1, generation + 1):
            again = False
            for turn in self.turns:
                if turn.after == number - 1:
                    said, again = turn.said, turn.brought
            there = there if again else not there
            stands.append(said if there else stands[0])
        if self.erased_at is not None and there and generation == self.erased_at:
            stands.append(Stand(None))
        return stands

    def stands(self, ledger: dict[str, tuple[int, str]]) -> list[Stand]:
        """The same, by what the ledger says of him: who is erased is not in it."""
        if self.key in ledger or self.erased_at is None:
            return replace(self, erased_at=None).history(ledger.get(self.key, (0, ""))[0])
        return self.history(self.erased_at)

    @property
    def emails(self) -> set[str]:
        """All that he ever had."""
        said = [self.said, *(turn.said for turn in self.turns), *([self.first] if self.first else [])]
        return {stand.member[0] for stand in said if stand.member}

    @property
    def ever_had(self) -> set[str]:
        """The ids of all tickets he ever had."""
        said = [self.said, *(turn.said for turn in self.turns), *([self.first] if self.first else [])]
        return {id_ for stand in said for id_, *_ in stand.tickets}


def effects(stands: list[Stand]) -> Counter[Effect]:
    """How often each of the rows must have been inserted, updated and deleted, to have stood so one after the other."""
    done: Counter[Effect] = Counter()
    for was, now in pairwise(stands):
        if was.member and not now.member:
            done["members", was.member[0], "delete"] += 1
        elif now.member and was.member != now.member:
            done["members", now.member[0], "update" if was.member else "insert"] += 1
        old, new = {one[0]: one for one in was.tickets}, {one[0]: one for one in now.tickets}
        done.update(("tickets", id_, "delete") for id_ in old.keys() - new.keys())
        done.update(("tickets", id_, "insert") for id_ in new.keys() - old.keys())
        done.update(("tickets", id_, "update") for id_ in old.keys() & new.keys() if old[id_] != new[id_])
    return done


def in_legacy(path: Path) -> dict[str, Person]:
    """Everybody as legacy has him now."""
    db = sqlite3.connect(path, timeout=40)
    try:
        found = {}
        for number, mail, nick, state in db.execute("select id, mail, nick, state from visitor"):
            bought = db.execute("select id, film, price from ticket where visitor_id = ? order by id", (number,))
            tickets = sorted((ticket_id(id_), film, money(price)) for id_, film, price in bought)
            member = (mail.strip().lower(), nick.strip(), STATES.get(state, "?"))
            found[str(number)] = Person(str(number), Stand(member, tuple(tickets)), state in STATES)
        return found
    finally:
        db.close()


def ticket_id(number: int) -> str:
    """By which the ticket of that number must be known in the target."""
    return str(uuid5(NAMESPACE, f"tickets\x1f{number}"))


def money(value: object) -> str:
    """With two places."""
    return str(Decimal(str(value)).quantize(Decimal("0.01")))
