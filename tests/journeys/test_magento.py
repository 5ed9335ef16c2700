"""
The Magento shop moves: every customer, every order, every view, judged by SQL that uses nothing of ours.

300 customers on SQLite show soon what is wrong; the whole shop (marked slow) moves on SQLite and on PostgreSQL, and goes back
and comes again on PostgreSQL. Death takes the whole shop on SQLite, dirt a small one on PostgreSQL.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.journeys.project import REPOSITORY, with_patience
from tests.journeys.shop import IMPATIENT, SMALL_BATCHES, Shop
from tests.oracle import magento

pytestmark = pytest.mark.real_data

SMALL = pytest.param(("300", "sqlite"), id="300-sqlite")
WHOLE_SQLITE = pytest.param(("full", "sqlite"), id="full-sqlite", marks=pytest.mark.slow)
WHOLE_POSTGRESQL = pytest.param(("full", "postgresql"), id="full-postgresql", marks=pytest.mark.slow)

#: What the whole shop holds, as its description says.
WHOLE = {"customers": 4_372, "guests' orders": 3_710, "orders": 22_190, "views": 387_875}

NewShop = Callable[..., Shop]


@pytest.fixture(scope="module")
def new_shop(
    real_data: Path,
    magento_legacy: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> NewShop:
    """Shops of any size on any target; `legacy` names another file than the plain one."""

    def create(size: str, dialect: str, batches: str = "", more: str = "", legacy: Path | None = None) -> Shop:
        url = None if dialect == "sqlite" else request.getfixturevalue("postgresql").url()
        batches += SMALL_BATCHES if size == "300" else ""
        folder = tmp_path_factory.mktemp("shop") / "p"
        return Shop.create(folder, legacy or magento_legacy(size), real_data, url, batches, more)

    return create


@dataclass(frozen=True)
class Moved:
    """A shop whose plan was carried out, and what its target held before and after."""

    shop: Shop
    size: str
    before: dict[str, magento.Dump]
    after: dict[str, magento.Dump]
    ledger: list[tuple[str, int, str]]


@pytest.fixture(scope="module", params=[SMALL, WHOLE_SQLITE, WHOLE_POSTGRESQL])
def moved(request: pytest.FixtureRequest, new_shop: NewShop) -> Moved:
    """A shop that moved as a whole; a test that changes it puts it back."""
    size, dialect = request.param
    shop = new_shop(size, dialect)
    before = magento.dump(shop.target)
    shop.approve()
    shop.run()
    return Moved(shop, size, before, magento.dump(shop.target), magento.ledger(shop.target))


def test_every_customer_is_in_the_new_shop_with_everything(moved: Moved) -> None:
    assert moved.shop.unlike_legacy() == []
    assert moved.shop.project.users() == {"live": len(magento.customers(moved.shop.legacy))}


def test_nobody_is_moved_twice(moved: Moved) -> None:
    everybody = sorted(str(customer) for customer in magento.customers(moved.shop.legacy))

    assert moved.ledger == [(user, 1, "move") for user in everybody]


def test_the_whole_shop_is_as_large_as_it_is_said_to_be(moved: Moved) -> None:
    if moved.size != "full":
        assert len(magento.customers(moved.shop.legacy)) == 300
        return
    assert {
        "customers": len(magento.customers(moved.shop.legacy)),
        "guests' orders": magento.guests_orders(moved.shop.legacy),
        "orders": moved.after["orders"].rows - moved.before["orders"].rows,
        "views": moved.after["events"].rows,
    } == WHOLE


def test_guests_orders_are_counted_as_nobodys(moved: Moved) -> None:
    plan = moved.shop.project.do("plan", "show", "--json").json["plan"]
    of_nobody = {name: counts["rows"] for name, counts in plan["counts"]["unowned"].items()}
    guests = {
        "orders": magento.guests_orders(moved.shop.legacy),
        "order_lines": magento.guests_lines(moved.shop.legacy),
    }

    assert of_nobody == dict.fromkeys(of_nobody, 0) | guests


def test_the_books_of_every_mapping_are_even(moved: Moved) -> None:
    told = moved.shop.project.do("report", "--json").json["books"]
    books = {book["mapping"]: book for book in told}

    assert len(books) == 9
    assert books["orders"]["read"] == magento.all_orders(moved.shop.legacy) - magento.guests_orders(moved.shop.legacy)
    for name, book in books.items():
        out = sum(book[key] for key in ("written", "folded", "filtered", "skipped", "review", "blocked"))
        assert book["read"] + book["expanded"] == out, f"{name} does not balance: {book}"


def test_verify_finds_nothing_and_then_exactly_what_was_planted(moved: Moved) -> None:
    quiet = moved.shop.verified()
    planted = magento.plant(moved.shop.target)
    try:
        loud = moved.shop.verified(code=1)
    finally:
        for one in planted:
            one.undo()

    assert (quiet["differences"], quiet["drift"]) == ([], [])
    assert quiet["checked_users"] == len(magento.customers(moved.shop.legacy))
    assert sorted(map(_difference, loud["differences"])) == sorted(
        (one.table, str(one.customer), one.column or "", "value" if one.column else "missing") for one in planted
    )
    assert loud["drift"] == []
    assert magento.dump(moved.shop.target) == moved.after, "the test did not put back what it planted"


def _difference(found: dict[str, Any]) -> tuple[str, str, str, str]:
    return found["mapping"], found["user"], found["field"] or "", found["kind"]


@pytest.mark.parametrize("moved", [SMALL, WHOLE_POSTGRESQL], indirect=True)
def test_all_of_it_goes_back_exactly_and_comes_again_the_same(moved: Moved) -> None:
    shop = moved.shop

    shop.project.do("rollback", "all", "--yes", timeout=1800)
    back = magento.dump(shop.target)
    nobody = shop.project.users()
    shop.project.do("wave", "retry", "all")
    shop.run()

    assert back == moved.before
    assert nobody == {"rolled_back": len(magento.customers(shop.legacy))}
    assert magento.dump(shop.target) == moved.after
    assert shop.project.users() == {"live": len(magento.customers(shop.legacy))}


# ---------------------------------------------------------------- processes that die


def _workers(shop: Shop) -> list[psutil.Process]:
    """The Celery main processes: those that no other Celery process started."""
    found = {process.pid: process for process in shop.project.processes("celery")}
    return [process for process in found.values() if process.ppid() not in found]


def _kill_a_child(shop: Shop) -> None:
    children = [child for worker in _workers(shop) for child in worker.children(recursive=True)]
    assert children, "the worker has no child processes"
    children[-1].kill()


def _kill_a_worker(shop: Shop) -> None:
    workers = _workers(shop)
    assert workers, "no worker process found"
    for process in [workers[0], *workers[0].children(recursive=True)]:
        process.kill()


def _kill_redis(shop: Shop) -> None:
    servers = shop.project.processes("redis-server")
    assert servers, "no Redis process found"
    servers[0].kill()


@pytest.mark.slow
def test_killed_workers_and_a_killed_redis_change_nothing(new_shop: NewShop) -> None:
    shop = new_shop("full", "sqlite", batches=IMPATIENT)
    before = magento.dump(shop.target)
    shop.approve()
    everybody = sorted(str(customer) for customer in magento.customers(shop.legacy))

    with shop.project.running("run", "--workers", "2", "--yes") as run:
        for share, kill in ((0.05, _kill_a_child), (0.25, _kill_a_worker), (0.45, _kill_redis)):
            _wait_for(shop, run, share, len(everybody))
            kill(shop)
        code = run.wait(timeout=1800)

    assert code == 0, shop.project.log()[-6000:]
    assert shop.unlike_legacy() == []
    assert shop.project.users() == {"live": len(everybody)}
    assert magento.ledger(shop.target) == [(user, 1, "move") for user in everybody]
    assert magento.dump(shop.target)["(schema)"] == before["(schema)"]


def _wait_for(shop: Shop, run: Any, share: float, users: int) -> None:
    """Wait until this share of the users is in the target while the run still goes on."""

    def enough() -> bool:
        assert run.poll() is None, f"the run ended too early:\n{shop.project.log()[-6000:]}"
        return len(magento.ledger(shop.target)) >= share * users

    with_patience(enough, 600, f"{share:.0%} of the users")


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_next_run_goes_on_where_a_killed_run_stopped(dialect: str, new_shop: NewShop) -> None:
    shop = new_shop("300", dialect, batches=IMPATIENT)
    shop.approve()
    everybody = sorted(str(customer) for customer in magento.customers(shop.legacy))

    with shop.project.running("run", "--workers", "2", "--yes") as run:
        _wait_for(shop, run, 0.3, len(everybody))
        run.send_signal(signal.SIGKILL)
        run.wait(timeout=30)
        shop.run()

    assert shop.unlike_legacy() == []
    assert shop.project.users() == {"live": len(everybody)}
    assert magento.ledger(shop.target) == [(user, 1, "move") for user in everybody]


# ---------------------------------------------------------------- dirt

#: One in five of the small shop is dirty: more than a wave may hold by default.
TOLERANT = "[gates]\nmax_held = 0.9\n"


@dataclass(frozen=True)
class Dirty:
    """A shop that moved with dirt in it."""

    shop: Shop
    dirt: magento.Dirt
    original: Path

    def causes(self) -> dict[str, list[dict[str, Any]]]:
        """The cases that `review list` shows, by cause; the causes it shows are the same ones."""
        shown = self.shop.project.do("review", "list", "--reveal", "--json").json
        found: dict[str, list[dict[str, Any]]] = {}
        for case in shown["cases"]:
            found.setdefault(case["cause"], []).append(case)
        assert {one["cause"]: one["cases"] for one in shown["causes"]} == {key: len(one) for key, one in found.items()}
        return found

    def resolve(self, decisions: dict[str, tuple[str, ...]]) -> None:
        """Decide every open cause by its field and rule."""
        for cause, cases in self.causes().items():
            how = decisions[f"{cases[0]['field']} {cases[0]['rule']}"]
            self.shop.project.do("review", "resolve", cause, *how)


@pytest.fixture
def dirty(new_shop: NewShop, magento_legacy: Callable[[str], Path], tmp_path: Path) -> Dirty:
    """A shop with 60 dirty customers after its run."""
    original = magento_legacy("300")
    copy = Path(shutil.copyfile(original, tmp_path / "dirty.sqlite"))
    dirt = magento.soil(copy)
    shop = new_shop("300", "postgresql", more=TOLERANT, legacy=copy)
    shop.approve()
    shop.run(code=4)
    return Dirty(shop, dirt, original)


def test_exactly_the_dirty_are_held_and_move_once_a_person_decided(dirty: Dirty) -> None:
    shop, dirt = dirty.shop, dirty.dirt
    everybody = len(magento.customers(shop.legacy))

    held = shop.project.users()
    causes = dirty.causes()
    unlike = shop.unlike_legacy(but=dirt.users)
    dirty.resolve(
        {
            "customer_group map": ("--use", "general"),
            "status map": ("--use", "complete"),
            "email email": ("--fixed-in-source",),
            "site, email unique": ("--fixed-in-source",),
            "total fit": ("--fixed-in-source",),
        }
    )
    magento.mend(shop.legacy, dirty.original, dirt)
    shop.project.do("review", "replay")
    shop.run()

    assert held == {"held": len(dirt.users), "live": everybody - len(dirt.users)}
    assert unlike == []
    assert _named(causes) == _meant(dirt)
    assert dirty.causes() == {}
    assert shop.project.users() == {"live": everybody}
    # what a person decided is what the file would have said
    magento.decide(shop.legacy, dirt, group=1, status="complete")
    assert shop.unlike_legacy() == []


def _meant(dirt: magento.Dirt) -> dict[tuple[str, str, str], set[str]]:
    """Field, rule and value of every cause, and whom it holds; e-mails are not compared by value but by people."""
    by_value = {
        ("customer_group", "map", "99"): set(map(str, dirt.groups)),
        ("status", "map", "fraud"): set(map(str, dirt.statuses)),
        ("total", "fit", str(10**12)): set(map(str, dirt.totals)),
    }
    by_person = {("email", "email", str(user)): {str(user)} for user in dirt.emails}
    by_pair = {("site, email", "unique", str(min(pair))): set(map(str, pair)) for pair in dirt.pairs}
    return by_value | by_person | by_pair


def _named(causes: dict[str, list[dict[str, Any]]]) -> dict[tuple[str, str, str], set[str]]:
    named = {}
    for cases in causes.values():
        first, people = cases[0], {user for case in cases for user in case["users"]}
        assert all(case["value"] == first["value"] and case["value"] for case in cases), cases
        assert _stands_at(first), f"{first['file']}:{first['line']} is not where {first['field']} is mapped"
        value = min(people) if "email" in first["field"] else str(first["value"])
        named[first["field"], first["rule"], value] = people
    return named


def _stands_at(case: dict[str, Any]) -> bool:
    """Whether file and line of a case lead to where its field is mapped."""
    path = REPOSITORY / "mappings" / "magento1" / Path(case["file"]).name
    line = path.read_text(encoding="utf-8").splitlines()[case["line"] - 1]
    return case["field"].split(", ")[-1] in line
