"""The report: even numbers, a next step, nobody named, and one file that needs nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import sqlalchemy as sa

from migrator.flows import report
from migrator.flows.report import charts, numbers, words
from migrator.rollout.states import User
from migrator.store import plans
from migrator.store.control import Control
from tests.flows.memory import (
    a_batch,
    a_case,
    a_control,
    a_notice,
    a_plan,
    a_project,
    a_user,
    a_verification,
    a_wave,
    an_entry,
)


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """A control database with one migration in it; tests only look."""
    control = a_control(tmp_path_factory.mktemp("control"))
    with control.write() as db:
        a_migration(db)
    yield control
    control.close()


@pytest.fixture(scope="module")
def told(control: Control, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The numbers of the migration."""
    return numbers_of(control, tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def page(told: dict[str, Any]) -> str:
    """The page of the migration."""
    return report.html(told)


def numbers_of(control: Control, folder: Path) -> dict[str, Any]:
    with control.read() as db:
        return numbers.collect(a_project(folder, control), db, plans.require(db))


def a_migration(db: sa.Connection) -> plans.Plan:
    """A pilot that passed, a gray wave that is held, a wave that waits; six users, one of them excluded."""
    counts = {"unowned": {"orders": {"rows": 7, "of_excluded": 2, "reason": "orders of guests", "table": "t_order"}}}
    plan = a_plan(db, counts=counts)
    pilot = a_wave(db, plan, name="pilot", status="passed", verdict="go")
    finding = {"check": "held", "outcome": "hold", "sentence": "1 of 2 users are held, 0 may be"}
    gray = a_wave(db, plan, name="core-gray-5", status="held", verdict="hold", findings=[finding])
    a_wave(db, plan, name="core-full", status="approved", started_at=None)
    for key, status, wave in (("ada@x.example", "live", pilot), ("2", "live", pilot), ("3", "held", gray)):
        a_user(db, plan, key, status=status, wave_id=wave.id, tier="core")
    a_user(db, plan, "4", status="moved", wave_id=gray.id)
    a_user(db, plan, "5", status="planned")
    a_user(db, plan, "6", status="excluded", tier="none", reason="excluded by `users.where` in set.yaml")
    a_batch(db, pilot, ["ada@x.example", "2"])
    a_batch(db, gray, ["3", "4"], read=5, written=3, review=2)
    a_case(db, plan, ["3"])
    a_notice(db, plan, "2", status="sent")
    a_verification(db, plan, pilot)
    an_entry(db, "exclude", "user", "ada@x.example", reason="left out", email="ada@x.example")
    an_entry(db, "start", "wave", "pilot", moved=2)
    return plan


def test_the_numbers_are_json_and_their_sums_agree(told: dict[str, Any]) -> None:
    assert json.loads(json.dumps(told)) == told
    assert told["total_users"] == sum(told["users"].values()) == sum(tier["users"] for tier in told["tiers"]) == 6
    assert [wave["users"] for wave in told["waves"]] == [2, 2, 0]
    assert told["books"] == [
        {"mapping": "orders", "read": 15, "expanded": 0, "written": 13, "folded": 0, "filtered": 0, "skipped": 0,
         "review": 2, "blocked": 0, "even": True}
    ]  # fmt: skip
    assert told["left_behind"] == [
        {"mapping": "orders", "table": "t_order", "rows": 7, "reason": "orders of guests", "of_excluded": 2,
         "moves": 0, "all": None}
    ]  # fmt: skip
    assert told["progress"][-1]["users"] == 3


def test_money_has_no_digits_that_its_storage_added(tmp_path: Path) -> None:
    control = a_control(tmp_path)
    with control.write() as db:
        a_user(db, a_plan(db), "1", tier="core", m="1240.500000000000000000")
    told = numbers_of(control, tmp_path)
    control.close()

    assert told["tiers"][0]["money"] == "1240.5"
    assert "1,240.5" in text_of(report.html(told))


def test_a_gate_that_says_go_is_not_explained_check_by_check(told: dict[str, Any]) -> None:
    fine = {"check": "books", "outcome": "go", "sentence": "every row that was read is accounted for"}
    waves = [{**wave, "findings": [*wave["findings"], fine]} for wave in told["waves"]]

    said = text_of(report.html({**told, "waves": waves}))

    assert "every row that was read is accounted for" not in said
    assert "1 of 2 users are held, 0 may be" in said


def test_of_very_many_causes_the_page_shows_the_largest(told: dict[str, Any]) -> None:
    causes = [{**told["causes"][0], "cause": f"cause{number}"} for number in range(60)]

    said = text_of(report.html({**told, "causes": causes}))

    assert "cause49" in said
    assert "cause50" not in said
    assert "the 50 with most users of 60" in said


def test_the_headline_says_how_far_and_what_next(told: dict[str, Any]) -> None:
    headline = told["headline"]

    assert headline["how_far"] == (
        "3 of 6 users (50.0 %) are in the new system and verified; "
        "1 held for a person to decide, 1 still waiting and 1 staying in legacy for a stated reason."
    )
    assert "wave core-gray-5 is held: 1 of 2 users are held, 0 may be" in headline["next"]


def test_nobody_is_named(told: dict[str, Any], page: str) -> None:
    assert "ada@x.example" not in json.dumps(told)
    assert "ada@x.example" not in page


def test_the_page_needs_nothing_beside_it(page: str) -> None:
    assert not re.search(r"<(script|link|img|iframe|object)\b", page)
    assert not re.search(r"""(src|href)=["'](?!#)""", page)
    assert not re.search(r"url\((?!#)|@import", page)


def test_the_page_says_what_the_numbers_say(page: str) -> None:
    said = text_of(page)

    for words_ in (
        "3 of 6 users", "Next: wave core-gray-5 is held", "orders of guests", "mappings/shop/orders.yaml:21",
        "excluded by users.where in set.yaml", "1 of 2 users are held, 0 may be", "start wave pilot", "core-full",
    ):  # fmt: skip
        assert words_ in said


def test_what_people_typed_is_text_and_not_html(told: dict[str, Any]) -> None:
    entry = {**told["journal"][0], "detail": {"reason": "<script>alert(1)</script>"}}

    page = report.html({**told, "journal": [entry]})

    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_a_plan_in_which_nothing_happened_has_a_page(tmp_path: Path) -> None:
    control = a_control(tmp_path)
    with control.write() as db:
        a_plan(db)
    told = numbers_of(control, tmp_path)
    control.close()

    assert "Nobody has arrived yet." in text_of(report.html(told))
    assert charts.draw(told) == {}


def test_charts_are_svg_that_take_the_colour_of_the_page(told: dict[str, Any]) -> None:
    drawn = charts.draw(told)

    assert list(drawn) == ["progress", "waves", "tiers"]
    for svg in drawn.values():
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert root.get("width") is None
        assert "currentColor" in svg
        assert "#010203" not in svg


def test_equal_numbers_give_an_equal_page(told: dict[str, Any], page: str) -> None:
    assert report.html(told) == page


def test_charts_on_one_page_share_no_id(page: str) -> None:
    ids = re.findall(r'\bid="(p[0-9a-f]{8,}|m[0-9a-f]{8,})"', page)
    assert ids
    assert len(ids) == len(set(ids))


def test_all_is_said_only_when_all_are_there() -> None:
    nobody = {status.value: 0 for status in User}

    assert words.how_far(nobody) == "The plan has no users."
    assert words.how_far({**nobody, "live": 2, "settled": 1}).startswith("3 of 3 users (all)")
    assert "(99.9 %)" in words.how_far({**nobody, "live": 9997, "held": 1})


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.silent = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.silent = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self.silent = False

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.parts.append(data)


def text_of(page: str) -> str:
    parser = _Text()
    parser.feed(page)
    return " ".join("".join(parser.parts).split())
