"""
One round of the campaign: a cinema is moved and put back, and on the way its workers are killed or frozen.

Whoever adds a crash point to a flow that no step here goes through adds the step to `steps.STEPS`, or a kind of cinema to
`cinema.KINDS`.
"""

from __future__ import annotations

import copy
import gc
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from migrator import crashpoints
from migrator.edges.queue import BATCH
from migrator.flows.moving import batches as batch_flows
from migrator.flows.parts import Limits
from migrator.flows.steering import waves as wave_flows
from migrator.flows.telling import template_checks
from migrator.store import plans
from tests.faults import cinema, forks, sealed, steps
from tests.faults.cinema import EDITS, ERASED, UPHEAVAL, Cinema, Kind
from tests.faults.oracle import Finding, Oracle

#: What a child does to the product before it begins: nothing, or one of the deliberate defects.
Change = Callable[[Path], None]
CHANGES = {"edits": EDITS, "upheaval": UPHEAVAL}
UNEVEN = ("back", "back all", "erase", "sync")  # after which the books need not say what they would without
PATIENCE = 25  # children that may be killed in one step before one is let through
EARLY = 0.5  # of all kills, where every point has had one: within the first steps, which costs least
ANY = "any"  # an arm that goes off at so many points, whichever they are


def unchanged(_folder: Path) -> None:
    """The product as it is."""


@dataclass
class Told:
    """What came of some rounds."""

    kills: Counter[str] = field(default_factory=Counter)  # by crash point
    zombies: Counter[str] = field(default_factory=Counter)  # by how they ended
    clean: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def killed(self) -> int:
        """How many processes were killed."""
        return sum(self.kills.values())


class Ground:
    """The templates of all kinds of cinemas, and one place where one of them at a time is at work."""

    def __init__(
        self, root: Path, kinds: list[Kind], change: Change = unchanged, limits: Limits = cinema.LIMITS
    ) -> None:
        self.root, self.work, self.change, self.limits = root, root / "work", change, limits
        self.templates = {kind: root / "templates" / kind.name for kind in kinds}
        for kind, folder in self.templates.items():
            forks.in_child(partial(cinema.build, folder, kind))
        self.oracles = {kind: Oracle(folder, refused=_never(kind)) for kind, folder in self.templates.items()}
        self._opened: dict[Kind, Cinema] = {}

    def begin(self, kind: Kind) -> Cinema:
        """A fresh cinema of a kind; what can be had of it without a query is had already, as forks share it."""
        cinema.copied(self.templates[kind], self.work)
        if kind not in self._opened:
            self._opened[kind] = _warm(Cinema(self.work, limits=self.limits, told=kind.told))
            cinema.copied(self.templates[kind], self.work)
        return self._opened[kind]

    def child(self, one: Cinema, step: str, arm: str | None = None, log: str = "log") -> forks.Child:
        """Do a step in a process that dies, or freezes, where *arm* says."""
        return forks.forked(partial(_life, self, one, step, arm, log))

    def close(self) -> None:
        """Nothing is left."""
        shutil.rmtree(self.root, ignore_errors=True)


def _warm(one: Cinema) -> Cinema:
    """Do what needs no query of Polars and has a price the first time: forks share what came of it."""
    import email_validator  # noqa: F401 (a fifth of a child's life)

    parts = one.parts
    if parts.telling.templates:
        template_checks.lint(parts.telling.templates, parts.telling.events)  # another fifth: each is compiled
    with parts.control.read() as db:
        parts.stored_set(plans.require(db).set_hash), parts.target_schema, parts.legacy_schema
    wave_flows.start(parts, cinema.WAVE)  # with the notices and their templates
    dispatcher = steps.a_dispatcher(parts)
    for _ in range(3):
        dispatcher.tick()
        assert isinstance(dispatcher.bell, steps.Ears)
        for task, ids in dispatcher.bell.take():
            if task == BATCH:
                batch_flows.claim(parts, ids[0], ids[1], "somebody")
        cinema.leases_run_out(one.folder)
    one.close()
    return one


def _never(kind: Kind) -> frozenset[str]:
    return frozenset(str(number) for number in (kind.refused, kind.changed) if number)


def _life(ground: Ground, one: Cinema, step: str, arm: str | None, log: str) -> None:
    """What a child does."""
    gc.disable()
    _logged_to(ground.root / log)
    ground.change(one.folder)
    seen = (ground.root / "seen").open("a", buffering=1)
    arm = arm or ""
    bomb = crashpoints.armed(arm) if arm else None
    disturbed = ground.work.joinpath("disturbed")
    legacy = ground.work / "legacy.db"

    def reached(name: str) -> None:
        seen.write(f"{name}\n")
        if bomb and arm.startswith(ANY):
            bomb(ANY)
        if name == "write-compared" and not disturbed.exists() and ground.work.joinpath("to-be-disturbed").exists():
            disturbed.touch()
            with cinema.opened(legacy) as db:
                db.execute("update visitor set nick = 'Visitor 7' where id = 7")
        if bomb:
            bomb(name)

    crashpoints.watch(reached)
    steps.STEPS[step](one)


def _logged_to(path: Path) -> None:
    """What the child says and logs, kept for who looks into it."""
    import logging

    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1), os.dup2(file, 2)
    logging.basicConfig(level=logging.INFO, force=True)


@dataclass
class Round:
    """One cinema and what happens to it."""

    ground: Ground
    kind: Kind
    aim: Aim
    moved_before: bool = False

    def __post_init__(self) -> None:
        self.told = self.aim.told
        self.cinema = self.ground.begin(self.kind)
        self.oracle = copy.deepcopy(self.ground.oracles[self.kind])
        if self.kind.disturbed:
            self.ground.work.joinpath("to-be-disturbed").touch()

    def step(self, name: str) -> None:
        """Do one step, killing its children again and again, until one of them comes to its end."""
        if self.happens(name):
            return
        for _ in range(PATIENCE):
            if not self.dies(name):
                return
            if self.told.findings:
                return
        self.calmly(name)

    def happens(self, name: str) -> bool:
        """Whether that is no step of the product, but something that happens in legacy; it has happened then."""
        if name not in CHANGES:
            return False
        cinema.changed(self.ground.work, CHANGES[name])
        self.oracle.changed(self.ground.work)
        return True

    def dies(self, name: str) -> bool:
        """Kill one child in a step; False when it came to the end of the step before."""
        code, seen = self._child(name, self.aim.arm(self.kind, name))
        self.aim.learn(self.kind, name, seen)
        if code != -9:
            if code:
                self._failed(f"{name} ended with {code} although nobody killed it")
            self.settle(name)
            return False
        self.told.kills[seen[-1]] += 1
        cinema.leases_run_out(self.ground.work)
        self._look(self.oracle.at_any_time(self.ground.work), f"{name}, killed at {seen[-1]}")
        return True

    def calmly(self, name: str) -> None:
        """Do one step that nobody disturbs."""
        if self.happens(name):
            return
        code, _ = self._child(name, None)
        if code:
            self._failed(f"{name} ended with {code} although nobody killed it")
        self.settle(name)

    def begun(self, name: str, arm: str | None, log: str = "log") -> tuple[int | None, list[str], forks.Child]:
        """A child that may have stopped itself: how it ended (None: it stopped), which points it reached, and itself."""
        said = self.ground.root / "seen"
        said.unlink(missing_ok=True)
        child = self.aside(name, arm, log)
        code = child.wait()
        return code, said.read_text(encoding="utf-8").split() if said.exists() else [], child

    def aside(self, name: str, arm: str | None = None, log: str = "log") -> forks.Child:
        """A child that nobody waits for yet."""
        self.moved_before |= name in UNEVEN
        if name == "erase":
            self.oracle.forgets(self.ground.work, ERASED)
        return self.ground.child(self.cinema, name, arm, log)

    def look_now(self, when: str, before: dict[str, Any]) -> None:
        """Hold against the oracle what must hold at any time, and that nothing was written too late since *before*."""
        if not self.told.findings:
            self._look(self.oracle.stale(self.ground.work, before), when)
            self._look(self.oracle.at_any_time(self.ground.work), when)

    def _child(self, name: str, arm: str | None) -> tuple[int | None, list[str]]:
        """How a child ended, and which points it reached."""
        code, seen, _ = self.begun(name, arm)
        return code, seen

    def settle(self, name: str) -> None:
        """Hold everything against the oracle once a step has ended."""
        self.told.clean += 1
        if self.told.findings:
            return
        if name in ("back", "back all"):
            self._look(self.oracle.after_rollback(self.ground.work), name)
        elif name == "erase":
            self._look(self.oracle.after_erasing(self.ground.work, self._snapshots()), name)
        elif self.kind.aborts:
            self._look(self.oracle.at_any_time(self.ground.work), name)
        elif name == "sync":
            self.oracle.arrived()
            self._look(self.oracle.after_sync(self.ground.work), name)
        else:
            if name == "late":
                self.oracle.waiting = set()
            status = {"settle": "settled", "come": "moved", "late": "moved"}.get(name, "live")
            self._look(self.oracle.after_move(self.ground.work, first=not self.moved_before, status=status), name)

    def _snapshots(self) -> Iterator[str]:
        """Which snapshots still tell of who was erased; a child reads them, as it takes Polars."""
        said = self.ground.root / "told"
        words = [word for key in self.oracle.erased for word in self.oracle.words_of(key)]
        forks.in_child(lambda: _written_down(said, sealed.told_of(self.ground.work, words)))
        yield from said.read_text(encoding="utf-8").split()

    def _failed(self, said: str) -> None:
        last = (self.ground.root / "log").read_text(encoding="utf-8").strip().splitlines()[-1:]
        self.told.findings.append(Finding("lost", f"{self.kind.name}: {said}; {last}"))

    def _look(self, found: Iterator[Finding], when: str) -> None:
        try:
            for one in found:
                self.told.findings.append(Finding(one.what, f"{self.kind.name}, {when}: {one.said}"))
        except Exception as error:  # noqa: BLE001 (what the oracle cannot read is a finding, too)
            self.told.findings.append(Finding("wrong", f"{self.kind.name}, {when}: {error!r}"))


def _written_down(path: Path, words: Iterable[str]) -> None:
    path.write_text("\n".join(words), encoding="utf-8")


class Aim:
    """Where the next child dies: at points where nobody died yet while there are any, then where chance has it."""

    def __init__(self, told: Told, chance: random.Random) -> None:
        self.told, self.chance = told, chance
        self.known: dict[tuple[str, str], dict[str, None]] = {}  # by kind and step, as children reached them
        self.useless: set[str] = set()  # where nothing can be seen
        self.wanted: list[str] = []  # points to be taken before any other

    def arm(self, kind: Kind, step: str) -> str:
        """One point, and at which time."""
        if self.wanted:
            return f"{self.wanted.pop(0)}:1:kill"
        known = [name for name in self.known.get((kind.name, step), ()) if name not in self.useless]
        if not known:
            return f"{ANY}:{self.chance.randint(5, 25)}:kill"
        new = self.left(known)
        if new and self.chance.random() < 0.8:
            return f"{self.chance.choice(new)}:1:kill"
        if self.chance.random() < EARLY:
            return f"{ANY}:{self.chance.randint(1, 12)}:kill"
        return f"{self.chance.choice(known)}:{1 if self.chance.random() < 0.8 else self.chance.randint(2, 4)}:kill"

    def left(self, names: Iterable[str]) -> list[str]:
        """Those at which nobody died yet."""
        return [name for name in names if not self.told.kills[name]]

    def learn(self, kind: Kind, step: str, names: list[str]) -> None:
        """Remember which points there are."""
        self.known.setdefault((kind.name, step), {}).update(dict.fromkeys(names))
