"""A thousand random changes to a journal by somebody who may do anything in its database, but has not the key: each is found."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from migrator.edges.keys import ProjectKey
from migrator.store import chain, journal
from migrator.store.chain import Anchor, Break, Entry, Head
from migrator.store.control import Control
from tests.flows.memory import KEY, NOW, a_control

SEED = 20300131
CHANGES = 1000
ENTRIES = 120
FIELDS = ("at", "actor", "event", "noun", "ref", "detail", "digest", "salt", "payload", "prev", "hash")
EVENTS = ("start", "move", "split", "pause", "exclude", "resolve", "pass")


class Opened:
    """The journal in the hands of somebody who has dropped its triggers; what he does is undone after each look."""

    def __init__(self, control: Control) -> None:
        self.control = control
        with control.engine.begin() as db:
            for name in ("journal_no_edit", "journal_no_delete", "journal_no_replace"):
                db.exec_driver_sql(f"drop trigger {name}")
        with control.read() as db:
            self.whole = list(journal.entries(db))
            self.head = journal.head(db)
        self.anchors = [Anchor("then", one.seq, one.hash, "gate") for one in self.whole[::20] + self.whole[-1:]]

    def after(self, change: Callable[[sqlite3.Connection], None]) -> Break | None:
        """The first break that is found when *change* was made."""
        with self.control.engine.connect().execution_options(writes=True) as db:
            work = db.begin()
            change(db.connection.driver_connection)  # type: ignore[arg-type]
            found = look(db, self.anchors)
            work.rollback()
        return found


def look(db: sa.Connection, anchors: list[Anchor]) -> Break | None:
    """What a check says in the end."""
    walk = chain.check(KEY.sign, journal.entries(db), journal.head(db), anchors, emptied_by=journal.EMPTIED)
    return next((found for found in walk if isinstance(found, Break)), None)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """A journal of a whole migration, with anchors at its gates and at its end."""
    chance = random.Random(SEED)
    control = a_control(tmp_path_factory.mktemp("journal"))
    for number in range(0, ENTRIES, 8):
        with control.write() as db:
            for place in range(number, number + 8):
                event, now = EVENTS[place % len(EVENTS)], NOW + timedelta(seconds=place)
                ref = str(chance.randrange(90))
                journal.add(db, now, "ada", event, "batch", ref, users=[ref] if place % 2 else [], moved=place % 5)
    yield Opened(control)
    control.close()


def edited(chance: random.Random, whole: list[Entry]) -> Callable[[sqlite3.Connection], None]:
    seq, field = chance.randint(1, ENTRIES), chance.choice(FIELDS)
    before = getattr(whole[seq - 1], field)
    other = getattr(whole[chance.randrange(ENTRIES)], field)
    taken = {
        "at": (NOW + timedelta(days=chance.randint(1, 900))).strftime("%Y-%m-%d %H:%M:%S.000000"),
        "detail": f'{{"moved": {chance.randint(5, 99)}}}',
    }.get(field) or chance.choice([other if other != before else f"{before}0", f"{before or ''}x", "", "None"])
    if taken == before:
        taken = f"{before}1"
    return lambda db: _do(db, f"update journal set {field} = ? where seq = ?", taken, seq)


def deleted(chance: random.Random, whole: list[Entry]) -> Callable[[sqlite3.Connection], None]:
    first = chance.randint(1, ENTRIES - 1)
    count, renumbered = chance.randint(1, min(5, ENTRIES - first)), chance.random() < 0.6

    def change(db: sqlite3.Connection) -> None:
        _do(db, "delete from journal where seq between ? and ?", first, first + count - 1)
        if renumbered:
            _shift(db, first + count, -count)
            _rehead(db)

    return change


def inserted(chance: random.Random, whole: list[Entry]) -> Callable[[sqlite3.Connection], None]:
    place, like = chance.randint(1, ENTRIES + 1), whole[chance.randrange(ENTRIES)]
    signed = chance.random() < 0.5

    def change(db: sqlite3.Connection) -> None:
        _shift(db, place, 1)
        before = whole[place - 2].hash if place > 1 else ""
        copy = like
        if signed:  # as well as one can without the key
            copy = chain.add(ProjectKey(chance.randbytes(32)).sign, Head(place - 1, before), like)
        _insert(db, place, copy)
        _rehead(db)

    return change


def swapped(chance: random.Random, whole: list[Entry]) -> Callable[[sqlite3.Connection], None]:
    one, other = chance.sample(range(1, ENTRIES + 1), 2)
    columns = chance.choice(
        [FIELDS, ("actor", "event", "at"), ("ref", "detail", "digest", "salt", "payload"), ("prev", "hash")]
    )
    if all(getattr(whole[one - 1], name) == getattr(whole[other - 1], name) for name in columns):
        columns = FIELDS

    def change(db: sqlite3.Connection) -> None:
        names = ", ".join(columns)
        rows = {seq: _rows(db, f"select {names} from journal where seq = ?", seq)[0] for seq in (one, other)}
        for seq, row in ((one, rows[other]), (other, rows[one])):
            _do(db, f"update journal set {', '.join(f'{name} = ?' for name in columns)} where seq = ?", *row, seq)

    return change


def cut_off(chance: random.Random, whole: list[Entry]) -> Callable[[sqlite3.Connection], None]:
    last, quietly = chance.randint(0, ENTRIES - 1), chance.random() < 0.7

    def change(db: sqlite3.Connection) -> None:
        _do(db, "delete from journal where seq > ?", last)
        if quietly:
            _rehead(db)

    return change


def written_anew(chance: random.Random, whole: list[Entry]) -> Callable[[sqlite3.Connection], None]:
    """Everything from some entry on, with a key of one's own."""
    first, sign = chance.randint(1, ENTRIES), ProjectKey(chance.randbytes(32)).sign

    def change(db: sqlite3.Connection) -> None:
        _do(db, "delete from journal where seq >= ?", first)
        head = whole[first - 2].head if first > 1 else Head()
        for entry in whole[first - 1 :]:
            forged = chain.add(sign, head, entry)
            _insert(db, forged.seq, forged)
            head = forged.head
        _rehead(db)

    return change


def emptied(chance: random.Random, whole: list[Entry]) -> Callable[[sqlite3.Connection], None]:
    seq = chance.randint(1, ENTRIES)
    statement = "update journal set ref = '', detail = '{}', digest = null, salt = null where seq = ?"
    return lambda db: _do(db, statement, seq)


def another_head(chance: random.Random, whole: list[Entry]) -> Callable[[sqlite3.Connection], None]:
    seq, mixed = chance.randint(1, ENTRIES - 1), chance.random() < 0.5
    hash_ = whole[seq - 1].hash
    return lambda db: _do(db, "update journal_head set seq = ?, hash = ?", ENTRIES if mixed else seq, hash_)


KINDS = (edited, edited, deleted, inserted, swapped, cut_off, written_anew, emptied, another_head)


def test_a_thousand_random_changes_are_found_each_and_every_one(opened: Opened) -> None:
    chance = random.Random(SEED)
    assert opened.after(lambda db: None) is None

    missed, kinds = [], dict[str, set[str]]()
    for number in range(CHANGES):
        kind = KINDS[number % len(KINDS)]
        broken = opened.after(kind(chance, opened.whole))
        kinds.setdefault(kind.__name__, set()).add(broken.kind if broken else "missed")
        if broken is None:
            missed.append((number, kind.__name__))

    assert missed == [], f"seed {SEED}"
    assert set().union(*kinds.values()) >= {"edited", "removed", "inserted", "order", "cut off", "head wrong"}
    assert opened.after(lambda db: None) is None


@pytest.mark.parametrize(
    ("change", "seq", "kind", "words"),
    [
        ("update journal set actor = 'eve' where seq = 9", 9, "edited", "time, actor, event"),
        ("update journal set ref = 'x' where seq = 9", 9, "edited", "ref, detail or digest"),
        ("update journal set detail = '{\"moved\":3}' where seq = 9", 9, "edited", "ref, detail or digest"),
        ("update journal set prev = 'x' where seq = 9", 9, "edited", "the entry before it is another"),
        ("update journal set hash = 'x' where seq = 9", 9, "inserted", "put in, or changed"),
        ("update journal set actor = x'ff' where seq = 9", 9, "edited", "cannot be read"),
        ("update journal set at = 'never' where seq = 9", 9, "edited", "cannot be read"),
        ("delete from journal where seq between 9 and 11", 9, "removed", "entries 9 to 11 are missing"),
        ("delete from journal where seq > 100", 101, "cut off", "ends at entry 100, and its head names entry 120"),
        ("update journal set seq = -seq where seq = 9", -9, "order", "entry -9 stands where entry 1 belongs"),
        ("update journal_head set seq = 7", 120, "head wrong", "the last entry is 120"),
        ("delete from journal_head", 120, "head wrong", "missing"),
    ],
)  # fmt: skip
def test_the_first_break_is_named_with_what_is_wrong(
    opened: Opened, change: str, seq: int, kind: str, words: str
) -> None:
    broken = opened.after(lambda db: _do(db, change))

    assert broken is not None
    assert (broken.seq, broken.kind) == (seq, kind)
    assert words in broken.sentence


def test_a_cut_off_end_shows_against_an_anchor_alone(opened: Opened) -> None:
    def change(db: sqlite3.Connection) -> None:
        _do(db, "delete from journal where seq > ?", ENTRIES - 3)
        _rehead(db)

    broken = opened.after(change)
    anchors, opened.anchors = opened.anchors, []
    without = opened.after(change)
    opened.anchors = anchors

    assert broken is not None and broken.kind == "cut off"
    assert f"an anchor of then (gate) names entry {ENTRIES}" in broken.sentence
    assert without is None


def test_a_journal_that_somebody_with_the_key_wrote_anew_does_not_fit_the_anchors(opened: Opened) -> None:
    def change(db: sqlite3.Connection) -> None:
        _do(db, "delete from journal where seq >= 30")
        head = opened.whole[28].head
        for entry in opened.whole[29:]:
            forged = chain.add(KEY.sign, head, entry)
            _insert(db, forged.seq, forged)
            head = forged.head
        _rehead(db)

    broken = opened.after(change)

    assert broken is not None and (broken.seq, broken.kind) == (41, "anchor")


def _do(db: sqlite3.Connection, statement: str, *values: object) -> None:
    db.execute(statement, values)


def _rows(db: sqlite3.Connection, statement: str, *values: object) -> list[tuple[object, ...]]:
    return db.execute(statement, values).fetchall()


def _shift(db: sqlite3.Connection, first: int, by: int) -> None:
    _do(db, "update journal set seq = -seq where seq >= ?", first)
    _do(db, "update journal set seq = -seq + ? where seq < 0", by)


def _rehead(db: sqlite3.Connection) -> None:
    """The head as it would be: the last entry that is there."""
    last = _rows(db, "select seq, hash from journal order by seq desc limit 1") or [(0, "")]
    _do(db, "update journal_head set seq = ?, hash = ?", *last[0])


def _insert(db: sqlite3.Connection, seq: int, entry: Entry) -> None:
    at = entry.at.strftime("%Y-%m-%d %H:%M:%S.%f")
    rest = [getattr(entry, name) for name in FIELDS[1:]]
    places = ", ".join("?" * (len(FIELDS) + 1))
    _do(db, f"insert into journal (seq, {', '.join(FIELDS)}) values ({places})", seq, at, *rest)


def test_the_chain_is_not_a_file_of_one_machine(tmp_path: Path) -> None:
    """Two control databases with the same acts have different chains, so that no entry fits into the other."""
    heads = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        control = a_control(tmp_path / name)
        with control.write() as db:
            journal.add(db, NOW, "ada", "start", "wave", "pilot")
        with control.read() as db:
            heads.append(journal.head(db))
        control.close()

    assert heads[0] != heads[1]
