"""One user for support: found by key or address, with what happened, what to say and what to press."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrator.errors import NotFound
from migrator.flows.helping import review, support
from migrator.flows.undoing import rollbacks
from migrator.rollout.states import User
from migrator.store import plans, users
from tests.flows.bakery import Bakery


@pytest.mark.parametrize("asked", ["7", "c7@bakery.example", " C7@BAKERY.example "])
def test_a_user_is_found_by_key_or_by_address_in_any_case(moved: Bakery, asked: str) -> None:
    assert [(one["user"], one["status"], one["home"], one["wave"]) for one in support.find(moved.parts, asked)] == [
        ("7", "live", "target", "whole")
    ]
    assert support.show(moved.parts, asked)["user"] == "7"


def test_whoever_is_not_there_is_not_found(moved: Bakery) -> None:
    assert support.find(moved.parts, "nobody@bakery.example") == []
    with pytest.raises(NotFound, match="nobody in plan 1 has this key or address"):
        support.show(moved.parts, "99")


def test_users_who_share_an_address_are_told_apart_by_key(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=4)
    with bakery.legacy() as db:
        db.execute("update customer set email = 'C3@bakery.example' where id = 4")
    bakery.plan()

    assert [one["user"] for one in support.find(bakery.parts, "c3@bakery.example")] == ["3", "4"]
    with pytest.raises(NotFound, match="2 users have this address: 3, 4; name one by its key"):
        support.show(bakery.parts, "c3@bakery.example")


def test_addresses_are_masked_and_there_is_a_word_for_every_status(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    assert support.show(bakery.parts, "7")["email"] == "C…@…ample"

    for status in User:
        with bakery.parts.control.write() as db:
            users.assign(db, plans.require(db).id, ["7"], status=status.value)
        found = support.show(bakery.parts, "7")
        assert found["say"] and found["do"] and "{" not in found["do"]
        assert found["can_roll_back"] == (status in (User.MOVED, User.LIVE))


def test_of_whoever_is_held_only_what_is_left_to_do_is_said(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b", customers=6)
    with bakery.legacy() as db:
        db.execute("update customer set status = 9 where id = 3")
        db.execute("update customer set email = 'none', status = 9 where id = 4")
    bakery.move()
    assert "decide the case: `migrator review list --user 3`" in support.show(bakery.parts, "3")["do"]

    review.resolve(bakery.parts, "accounts.status", "use", "closed")

    assert support.show(bakery.parts, "3")["do"].startswith("all is decided; `migrator review replay`")
    assert "decide the case" in support.show(bakery.parts, "4")["do"], "his address is not decided yet"


def test_what_happened_is_told_newest_first(moved: Bakery, tmp_path: Path) -> None:
    bakery = moved.copy(tmp_path / "b")
    rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts, user="7"))
    review.exclude(bakery.parts, "7", "an open dispute")

    found = support.show(bakery.parts, "7")

    told = [line["what"] for line in found["timeline"]]
    assert (found["status"], found["home"], found["reason"]) == ("excluded", "legacy", "an open dispute")
    assert [line["at"] for line in found["timeline"]] == sorted(
        (line["at"] for line in found["timeline"]), reverse=True
    )
    in_order = [
        next(place for place, line in enumerate(told) if words in line)
        for words in ("exclude by", "put back", "began to move")
    ]
    assert in_order == sorted(in_order)
    assert "wave whole started" in told
    assert told[-1].startswith("planned in plan 1")
    assert "paid" in found["tier"]["why"] or "days" in found["tier"]["why"]
