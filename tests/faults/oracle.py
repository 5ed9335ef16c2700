"""
What must be so, said without the product: raw SQLite, and its own knowledge of the cinema. Imports nothing of ours.

Each user of the target is either exactly as he was before we came or exactly as he is meant to be, and how often each
row was inserted, updated and deleted follows from the generation in the ledger alone. That holds at any moment, whoever
was just killed; once a step has ended, the control database must say the same.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid5

from tests.faults.people import NAMESPACE, Person, Stand, effects, in_legacy, money

IN_TARGET = {"moved", "live", "settled"}
OPEN = {"planned", "moving", "rolling_back"}


@dataclass(frozen=True)
class Finding:
    """Something that must not be: lost, doubled, wrong (a value), stale (a write that came too late), books."""

    what: str
    said: str


@dataclass
class Oracle:
    """Knows one cinema from its databases as they were before anything ran."""

    template: Path
    refused: frozenset[str] = frozenset()  # who can never come in
    people: dict[str, Person] = field(default_factory=dict)
    others: frozenset[tuple[object, ...]] = frozenset()
    planned: frozenset[str] = frozenset()
    arriving: set[str] = field(default_factory=set)  # who came to legacy and may not be in the plan yet
    waiting: set[str] = field(default_factory=set)  # who is in the plan and whose wave was not begun
    gone: set[str] = field(default_factory=set)  # who left legacy after he had come over
    staying: set[str] = field(default_factory=set)  # who is in the target although legacy says now what no rule takes
    erased: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        with _read(self.template / "target.db") as db:
            before = {row[0]: row for row in db.execute("select email, name, status from members")}
        self.people = in_legacy(self.template / "legacy.db")
        for person in self.people.values():
            assert person.said.member is not None
            person.before = before.get(person.said.member[0])
        mine = {email for person in self.people.values() for email in person.emails}
        self.others = frozenset(row for email, row in before.items() if email not in mine)
        with _read(self.template / "control.db") as db:
            self.planned = frozenset(key for (key,) in db.execute("select user_key from users"))

    # ---- what the story says -----------------------------------------------------------------------------------

    def changed(self, folder: Path) -> None:
        """Somebody has written to legacy: whoever is in the target comes over again as legacy has him now."""
        with _read(folder / "target.db") as db:
            ledger = self._ledger(db)
        now = in_legacy(folder / "legacy.db")
        for key, person in now.items():
            if key not in self.people:
                self.people[key] = person
                self.arriving.add(key)
                continue
            if key in self.erased:
                continue  # whatever legacy says of him, nobody reads it
            generation, op = ledger.get(key, (0, ""))
            self.people[key].changes(person, generation, there=op == "move")
            if op == "move" and not person.valid:
                self.staying.add(key)
        self.gone |= {key for key in ledger if key not in now and ledger[key][1] == "move"}

    def arrived(self) -> None:
        """Whoever came is in the plan by now, and waits for his wave."""
        self.planned |= self.arriving
        self.waiting |= self.arriving
        self.arriving = set()

    def forgets(self, folder: Path, key: str) -> None:
        """From here on somebody may be erased at any moment."""
        if key in self.erased:
            return
        with _read(folder / "target.db") as db:
            self.people[key].erased_at = self._ledger(db).get(key, (0, ""))[0]
        self.erased.add(key)

    # ---- what must hold ----------------------------------------------------------------------------------------

    def at_any_time(self, folder: Path) -> Iterator[Finding]:
        """What must hold whoever has just died."""
        with _read(folder / "target.db") as db:
            yield from self._target(db, self._ledger(db))
            ledger = self._ledger(db)
        with _read(folder / "control.db") as db:
            yield from self._statuses(db, ledger)

    def stale(self, folder: Path, before: dict[str, Any]) -> Iterator[Finding]:
        """What was written since *before* (as `fences` told it) under a fence that was too old even then."""
        now = self.fences(folder, asked=False)
        for key, (batch, fence) in now["ledger"].items():
            if before["ledger"].get(key) != (batch, fence) and fence < before["fences"].get(batch, 0):
                yield Finding("stale", f"user {key} was written under fence {fence} of batch {batch}, too late")

    def fences(self, folder: Path, *, asked: bool) -> dict[str, Any]:
        """
        The fence of each batch, and under which one each user was written.

        Args:
            asked: whoever took the batch over has asked the ledger by now, so its fence counts, in the target or not.
        """
        with _read(folder / "target.db") as db:
            fences = dict(db.execute("select batch, fence from migrator_fence").fetchall())
            rows = db.execute("select user_key, batch, fence from migrator_ledger").fetchall()
        if asked:
            with _read(folder / "control.db") as db:
                fences = dict(db.execute("select id, fence from batches").fetchall())
        return {"fences": fences, "ledger": {key: (batch, fence) for key, batch, fence in rows}}

    def after_move(self, folder: Path, *, first: bool, status: str = "live") -> Iterator[Finding]:
        """
        What must hold once everybody who can come has come.

        Args:
            first: nobody had been put back before.
            status: what they are then.
        """
        yield from self.at_any_time(folder)
        with _read(folder / "target.db") as db:
            ledger = self._ledger(db)
        wanted = self._wanted()
        for key in sorted(wanted):
            if ledger.get(key, (0, ""))[1] != "move":
                yield Finding("lost", f"user {key} is not in the target")
        for key in sorted(set(ledger) - wanted):
            if ledger[key][1] == "move":
                yield Finding("wrong", f"user {key} was to stay out and is in the target")
        with _read(folder / "control.db") as db:
            yield from self._settled(db, wanted, status)
            yield from self._books(db, wanted, first=first)
            yield from self._told(db, wanted, ledger, folder / "mail")

    def after_rollback(self, folder: Path) -> Iterator[Finding]:
        """What must hold once everybody is back."""
        self.staying = set()
        yield from self.at_any_time(folder)
        with _read(folder / "target.db") as db:
            ledger = self._ledger(db)
        for key, (_, op) in sorted(ledger.items()):
            if op != "rollback":
                yield Finding("lost", f"user {key} did not go back")
        with _read(folder / "control.db") as db:
            yield from self._settled(db, set(ledger), "rolled_back")

    def after_sync(self, folder: Path) -> Iterator[Finding]:
        """What must hold once all that changed was brought over."""
        yield from self.at_any_time(folder)
        with _read(folder / "target.db") as db:
            ledger = self._ledger(db)
        for key in sorted(self._wanted() - self.waiting):
            person, (generation, op) = self.people[key], ledger.get(key, (0, ""))
            if op != "move" or (person.valid and person.history(generation)[-1] != person.said):
                yield Finding("lost", f"what changed of user {key} was not brought over")
        for key in sorted(self.gone):
            if ledger.get(key, (0, ""))[1] != "rollback":
                yield Finding("wrong", f"user {key} is gone from legacy and still in the target")
        with _read(folder / "control.db") as db:
            yield from self._settled(db, self._wanted() - self.waiting, "moved")
            yield from self._books(db, self._wanted(), first=False)
            for (key,) in db.execute("select user_key from syncing"):
                yield Finding("lost", f"user {key} is still being brought over")
            for (key,) in db.execute("select user_key from changed_users"):
                if key not in self.staying:
                    yield Finding("lost", f"user {key} is still in the queue")

    def after_erasing(self, folder: Path, told_of: Iterator[str]) -> Iterator[Finding]:
        """
        What must hold once everybody who asked for it is forgotten.

        Args:
            told_of: where snapshots still tell of one.
        """
        yield from self.at_any_time(folder)
        yield from (Finding("wrong", f"an erased user is in {place}") for place in told_of)
        with _read(folder / "target.db") as db:
            known = {key for (key,) in db.execute("select user_key from migrator_ledger")}
            graves = db.execute("select count(*) from migrator_tombstones").fetchone()[0]
        if graves != len(self.erased) or known & self.erased:
            yield Finding("wrong", f"{graves} tombstones and {sorted(known & self.erased)} in the ledger")
        with _read(folder / "control.db") as db:
            yield from self._forgotten(db)
        content = b"".join(path.read_bytes() for path in folder.glob("control.db*"))
        for key in sorted(self.erased):
            for word in self.words_of(key):
                if word.encode() in content:
                    yield Finding("wrong", f"the control database still tells of the erased user {key}")

    def words_of(self, key: str) -> list[str]:
        """By which a visitor is known wherever it stands."""
        return sorted(self.people[key].emails)

    def _forgotten(self, db: sqlite3.Connection) -> Iterator[Finding]:
        for (table,) in db.execute("select name from sqlite_master where type = 'table'").fetchall():
            columns = [row[1] for row in db.execute(f"pragma table_info({table})")]
            for column in columns:
                if column in ("user_key", "group_key", "resolution_user"):
                    for key in sorted(self.erased):
                        if db.execute(f"select count(*) from {table} where {column} = ?", (key,)).fetchone()[0]:
                            yield Finding("wrong", f"the erased user {key} is in {table}.{column}")

    def _wanted(self) -> set[str]:
        """Who must be in the target once everybody who can come has come."""
        able = {key for key, person in self.people.items() if person.valid or key in self.staying}
        return able - self.refused - self.erased - self.gone

    def _target(self, db: sqlite3.Connection, ledger: dict[str, tuple[int, str]]) -> Iterator[Finding]:
        members = {email: (id_, name, status) for id_, email, name, status in db.execute("select * from members")}
        counted = Counter[str](email for (email,) in db.execute("select email from members"))
        tickets: dict[object, list[tuple[str, str, str]]] = {}
        for id_, owner, film, price in db.execute("select id, member_id, film, price from tickets"):
            tickets.setdefault(owner, []).append((id_, film, money(price)))
        applied = {(tab, row, what): n for tab, row, what, n in db.execute("select tab, row, what, n from applied")}
        known = {email for person in self.people.values() for email in person.emails}
        known |= {str(row[0]) for row in self.others}
        yield from (Finding("doubled", f"{email} is there {n} times") for email, n in counted.items() if n > 1)
        yield from (Finding("wrong", "a member nobody knows") for email in members if email not in known)
        for row in self.others:
            if (row[0], *members.get(str(row[0]), (0, None, None))[1:]) != row:
                yield Finding("wrong", "a member who is not ours was changed")
        expected: Counter[tuple[str, str, str]] = Counter()
        for person in self.people.values():
            stands = person.stands(ledger)
            expected += effects(stands)
            yield from self._person(person, stands[-1], members, tickets)
        mine = {members[email][0] for person in self.people.values() for email in person.emails if email in members}
        yield from (Finding("wrong", "tickets of nobody") for owner in tickets if owner not in mine)
        yield from self._effects(applied, expected)

    def _person(
        self,
        person: Person,
        meant: Stand,
        members: dict[str, tuple[object, str | None, str]],
        tickets: dict[object, list[tuple[str, str, str]]],
    ) -> Iterator[Finding]:
        email = meant.member[0] if meant.member else None
        there = members.get(email) if email else None
        if ((email, *there[1:]) if there else None) != meant.member:
            what = "wrong" if there else "lost"
            yield Finding(what, f"user {person.key}: the member is not as it must be")
        if person.emails - {email} & members.keys():
            yield Finding("wrong", f"user {person.key}: a member who must not be there")
        has = tuple(sorted(tickets.get(there[0], []))) if there else ()
        if has != meant.tickets:
            what = "lost" if len(has) < len(meant.tickets) else "wrong"
            yield Finding(what, f"user {person.key}: {len(has)} tickets, not {len(meant.tickets)}, or other ones")

    def _effects(
        self, applied: dict[tuple[str, str, str], int], expected: Counter[tuple[str, str, str]]
    ) -> Iterator[Finding]:
        """Each row was inserted, updated and deleted just as often as it follows from the generations of all users."""
        had = Counter[str](row for person in self.people.values() for row in person.emails | person.ever_had)
        found = Counter({key: n for key, n in applied.items() if key[1] in had})
        for row in (row for row, people in had.items() if people > 1):
            _handed_over(row, found, expected)
        for key in sorted(found.keys() | expected.keys()):
            done, meant = found[key], expected[key]
            if done != meant:
                what = "doubled" if done > meant else "lost"
                yield Finding(what, f"{key[2]} of {key[1]} in {key[0]} was done {done} times, not {meant}")

    def _statuses(self, db: sqlite3.Connection, ledger: dict[str, tuple[int, str]]) -> Iterator[Finding]:
        found = {key: (status, home) for key, status, home in db.execute("select user_key, status, home from users")}
        named = {key for key in found if not key.startswith("erased:")}
        nameless = len(found) - len(named)
        left = named | (self.erased & self.planned)
        if self.planned - left or left - self.planned - self.arriving or nameless != len(self.erased - named):
            yield Finding("books", f"{len(found)} users in the plan, {len(self.planned)} when it was made")
        for key, (status, home) in found.items():
            op = ledger.get(key, (0, ""))[1]
            forgetting = status == "erased" and key in self.erased
            if (status in IN_TARGET) != (op == "move") and status not in OPEN and not forgetting:
                yield Finding(
                    "lost" if status in IN_TARGET else "stale",
                    f"user {key} is {status}, the ledger says {op or 'nothing'}",
                )
            if status == "live" and home != "target":
                yield Finding("wrong", f"user {key} is live and at home in {home}")

        twice = (
            "select ref, count(*) from journal where noun = 'batch' and event = 'move' group by ref having count(*) > 1"
        )
        for ref, n in db.execute(twice):
            yield Finding("doubled", f"batch {ref} was recorded {n} times")

    def _settled(self, db: sqlite3.Connection, keys: set[str], status: str) -> Iterator[Finding]:
        found = dict(db.execute("select user_key, status from users").fetchall())
        # who was sent on his way again and had not come when it was all put back is planned, and stays so
        fine = {status, "planned"} if status == "rolled_back" else {status}
        for key in sorted(keys - self.gone):
            if found.get(key) not in fine:
                yield Finding("lost", f"user {key} is {found.get(key)}, not {status}")
        for key, now in sorted(found.items()):
            if key in self.gone and now not in ("excluded", "rolled_back"):
                yield Finding("wrong", f"user {key} is gone from legacy and {now}")
            waits = status == "rolled_back" or key in self.waiting
            if now in ("moving", "rolling_back") or (now == "planned" and not waits):
                yield Finding("lost", f"user {key} is left {now}")
        left = db.execute("select count(*) from batches where status in ('ready', 'running')").fetchone()[0]
        if left and status != "rolled_back":
            yield Finding("books", f"{left} batches are not ended")

    def _books(self, db: sqlite3.Connection, moved: set[str], *, first: bool) -> Iterator[Finding]:
        held = {key for key, person in self.people.items() if not person.valid} - self.erased
        for mapping in ("members", "tickets"):
            names = ("read", "expanded", "written", "folded", "filtered", "skipped", "review", "blocked")
            sums = ", ".join(f"coalesce(sum({name}), 0)" for name in names)
            row = dict(
                zip(
                    names, db.execute(f"select {sums} from books where mapping = ?", (mapping,)).fetchone(), strict=True
                )
            )
            if row["read"] + row["expanded"] != sum(row[name] for name in names[2:]):
                yield Finding("books", f"the books of {mapping} are not even")
            if not first:
                continue
            each = {"members": lambda person: 1, "tickets": lambda person: len(person.said.tickets)}[mapping]
            written = sum(each(self.people[key]) for key in moved)
            waiting = sum(each(self.people[key]) for key in held)
            if row["written"] != written:
                yield Finding("books", f"the books of {mapping} say {row['written']} written, it was {written}")
            if row["read"] != written + waiting:
                yield Finding("books", f"the books of {mapping} say {row['read']} read, it was {written + waiting}")

    def _told(
        self, db: sqlite3.Connection, live: set[str], ledger: dict[str, tuple[int, str]], mail: Path
    ) -> Iterator[Finding]:
        rows = db.execute("select user_key, unique_key, status from notices where event = 'done'").fetchall()
        if not mail.exists():
            return  # nobody is written to here
        for key in sorted(live):
            mine = [status for user, unique, status in rows if user == key and unique.endswith(f":{ledger[key][0]}")]
            if len(mine) != 1 or mine[0] not in (
                "sent",
                "unknown",
            ):  # two senders died with it: for a person to look at
                yield Finding("lost" if not mine else "doubled", f"user {key} was told {mine or 'nothing'}")
        sent, unknown = (
            db.execute("select count(*) from notices where status = ?", (status,)).fetchone()[0]
            for status in ("sent", "unknown")
        )
        theirs = [word.encode() for key in self.erased for word in self.words_of(key)]
        letters = [path.read_bytes().lower() for path in mail.glob("*.eml")]
        files = sum(not any(word in letter for word in theirs) for letter in letters)
        if not sent <= files <= sent + unknown:
            yield Finding("wrong", f"{files} messages went out, {sent} are known")

    def _ledger(self, db: sqlite3.Connection) -> dict[str, tuple[int, str]]:
        return {key: (g, op) for key, g, op in db.execute("select user_key, generation, op from migrator_ledger")}


def _handed_over(row: str, found: Counter[tuple[str, str, str]], expected: Counter[tuple[str, str, str]]) -> None:
    """Who gave a ticket and who got it may come over in one transaction: it is updated then, not removed and put in."""
    added, removed, kept = (("tickets", row, what) for what in ("insert", "delete", "update"))
    at_once = found[kept] - expected[kept]
    if 0 < at_once <= min(expected[added], expected[removed]):
        expected[kept] += at_once
        expected[added] -= at_once
        expected[removed] -= at_once


def _read(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(path, timeout=40))


def counted(
    ask: Callable[[str], list[tuple[Any, ...]]], customers: int, *, moves: int, rollbacks: int, each: int = 3
) -> Iterator[Finding]:
    """
    What must stand in the target of a bakery with so many customers after so many moves and rollbacks of all of them.

    Args:
        ask: gives the rows of a question.
        each: purchases of a customer.
    """
    there = moves - rollbacks
    accounts = dict(ask("select email, id from accounts"))
    orders = ask("select id, account_id, total from orders")
    if len(accounts) != there * customers:
        yield Finding("lost", f"{len(accounts)} accounts after {moves} moves and {rollbacks} rollbacks of {customers}")
    if len(orders) != there * customers * each:
        yield Finding("lost", f"{len(orders)} orders after {moves} moves and {rollbacks} rollbacks of {customers}")
    expected = {
        str(uuid5(NAMESPACE, f"orders\x1f{n * 10 + k}")): (f"c{n}@bakery.example", money(f"{n}.{k}5"))
        for n in range(1, customers + 1)
        for k in range(each)
    }
    emails = {id_: email for email, id_ in accounts.items()}
    wrong = sum(expected.get(str(id_)) != (emails.get(owner), money(total)) for id_, owner, total in orders)
    if wrong:
        yield Finding("wrong", f"{wrong} orders are not as they must be")
    applied = {
        (what.lower(), n): rows for what, n, rows in ask("select what, n, count(*) from applied group by what, n")
    }
    for (what, n), rows in sorted(applied.items()):
        meant = {"insert": moves, "delete": rollbacks}.get(what, 0)
        if n != meant:
            yield Finding("doubled" if n > meant else "lost", f"{rows} rows with {n} times {what}, not {meant}")
    ledger = ask("select generation, op, count(*) from migrator_ledger group by generation, op")
    if ledger != [(moves + rollbacks, "move" if there else "rollback", customers)]:
        yield Finding("wrong", f"the ledger says {ledger}")


def same_as_legacy(
    legacy: Callable[[str], list[tuple[Any, ...]]],
    target: Callable[[str], list[tuple[Any, ...]]],
    renamed: Collection[str] = (),
) -> Iterator[Finding]:
    """
    What must stand in the target of a bakery: all that legacy says now of customers whose account is open, nothing else.

    Args:
        legacy: gives the rows of a question there; *target* there.
        renamed: customers whose name in legacy was changed after the target had begun to serve them.
    """
    open_ = {
        str(key): (email.strip().lower(), name.strip(), {1: "active", 2: "closed"}[status])
        for key, email, name, status in legacy("select id, email, name, status from customer where closed = 0")
    }
    accounts = {id_: rest for id_, *rest in target("select id, email, name, status from accounts")}
    for key, (email, name, status) in sorted(open_.items()):
        there = accounts.pop(str(uuid5(NAMESPACE, f"accounts\x1f{key}")), None)
        if there is None:
            yield Finding("lost", f"customer {key} has no account")
        elif there[::2] != [email, status] or (key not in renamed and there[1] != name) or "Job" in there[1]:
            yield Finding("wrong", f"the account of customer {key} is not as legacy has it")
    yield from (Finding("wrong", f"the account {id_} is nobody's") for id_ in accounts)
    meant = {
        str(uuid5(NAMESPACE, f"orders\x1f{id_}")): (
            str(uuid5(NAMESPACE, f"accounts\x1f{customer}")),
            money(total),
            str(at),
        )
        for id_, customer, total, at in legacy("select id, customer_id, total, bought_at from purchase")
        if str(customer) in open_
    }
    orders = target("select id, account_id, total, placed_at from orders")
    yield from (
        Finding("doubled", f"the order {id_} is there {n} times") for id_, n in _twice(id_ for id_, *_ in orders)
    )
    there_ = {id_: (owner, money(total), _moment(at)) for id_, owner, total, at in orders}
    for id_ in sorted(meant.keys() | there_.keys()):
        if id_ not in there_:
            yield Finding("lost", f"the order {id_} is not there")
        elif id_ not in meant:
            yield Finding("wrong", f"the order {id_} is not in legacy")
        elif meant[id_] != there_[id_]:
            yield Finding("wrong", f"the order {id_} is {there_[id_]}, not {meant[id_]}")


def _twice(ids: Iterable[str]) -> list[tuple[str, int]]:
    return [(id_, n) for id_, n in Counter(ids).items() if n > 1]


def _moment(said: str) -> str:
    return said.replace("T", " ")[:19]
