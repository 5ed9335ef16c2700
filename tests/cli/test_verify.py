"""`migrator verify`, as a person reads it: what differs, and what is to be done about legacy that changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrator.flows.homes import cutover
from migrator.flows.steering import waves
from migrator.rollout.states import Wave
from tests.cli.saying import say, told
from tests.flows.bakery import Bakery

SCALED = "transform: [decimal, {multiply: 10}]"


def bakery_in(folder: Path, monkeypatch: pytest.MonkeyPatch, *, orders: str = "transform: [decimal]") -> Bakery:
    """Four customers who are moved and still at home in legacy; no gate has looked at them yet."""
    bakery = Bakery(folder, customers=4)
    mapping = bakery.folder / "mappings" / "orders.yaml"
    mapping.write_text(mapping.read_text(encoding="utf-8").replace("transform: [decimal]", orders), encoding="utf-8")
    bakery.write_settings()
    bakery.plan(cutover="manual")
    waves.start(bakery.parts, "whole")
    bakery.run(until=Wave.CHECKING)
    monkeypatch.chdir(bakery.folder)
    return bakery


def read(*words: str, code: int = 0) -> str:
    """What it prints, as one line."""
    return " ".join(say("verify", *words, code=code).split())


@pytest.mark.parametrize("sensitive", [False, True])
def test_both_sides_of_a_sum_that_differs_are_told_unless_they_are_sensitive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, sensitive: bool
) -> None:
    bakery = bakery_in(tmp_path / "b", monkeypatch, orders=f"{SCALED}{', sensitive: true' if sensitive else ''}")
    with bakery.legacy() as db:
        meant = db.execute("select sum(total) from purchase where customer_id = 2").fetchone()[0]
    with bakery.target() as db:
        mine = "select id from accounts where email = 'c2@bakery.example'"
        found = db.execute(f"select sum(total) from orders where account_id = ({mine})").fetchone()[0]

    said = read("--user", "2", code=1)

    amounts = [f"{amount:.2f}".rstrip("0").rstrip(".") for amount in (meant, found)]
    if sensitive:
        amounts = [f"{amount[0]}…" for amount in amounts]
    assert f"orders 2 of user 2 (legacy): sum total, meant {amounts[0]}, found {amounts[1]}" in said
    bakery.close()


def test_legacy_that_changed_is_brought_over_for_those_alone_whom_legacy_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bakery = bakery_in(tmp_path / "b", monkeypatch)
    cutover.cut_over_users(bakery.parts, ["3", "4"])
    with bakery.legacy() as db:
        db.execute("update customer set name = 'Renamed' where id in (2, 3, 4)")

    said = read()

    assert "legacy changed: 3" in said
    assert "1 of them changed in legacy, which serves them: `migrator sync` brings that over" in said
    assert (
        "legacy was written to for 2 users whom the target serves (3, 4); `migrator sync` does not bring that over"
        in said
    )
    assert "which application still writes there without asking the Router" in said
    assert told("verify")["late_writes"] == ["3", "4"]
    bakery.close()


def test_nothing_is_to_be_done_where_nothing_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bakery = bakery_in(tmp_path / "b", monkeypatch)

    assert "migrator sync" not in read()
    assert told("verify")["late_writes"] == []
    bakery.close()
