"""Somebody signs in before his wave: real workers move him at once, serve him from the target, and the wave goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrator.routing import Home, Router
from tests.flows.bakery import Bakery, settings_text
from tests.journeys.project import Project, with_patience


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A bakery of 120 customers with an approved plan of one wave that nobody has started."""
    bakery = Bakery(tmp_path / "bakery", customers=120)
    bakery.plan(cutover="manual")
    bakery.close()
    return Project.create(tmp_path / "project", settings_text('[cutover]\ndrain = "0s"\n', bakery=bakery.folder))


def test_who_signs_in_is_moved_ahead_of_his_wave_and_no_second_time_with_it(project: Project, tmp_path: Path) -> None:
    router = Router(f"sqlite:///{tmp_path}/bakery/control.db", ttl=0)

    with project.running("worker", "--workers", "2"):
        with_patience(lambda: project.status()["workers"] == 1, 60, "the worker", ask_again=0.3)
        assert router.request_move("7") and router.request_move("7")
        said = project.do("user", "move", "8", "--cut-over").out
        assert "migrator user show 8" in said
        with_patience(lambda: router.home("8") is Home.TARGET, 60, "user 8 in the target")
        with_patience(lambda: project.users() == {"planned": 118, "moved": 1, "live": 1}, 60, "user 7", ask_again=0.3)

        shown = project.do("user", "show", "7", "--json").json
        assert (shown["home"], shown["request"]["status"], shown["request"]["asked_by"]) == ("legacy", "done", "router")
        assert project.status()["waves"][0]["status"] == "approved"
        project.do("wave", "start", "whole")
        with_patience(lambda: project.users() == {"moved": 119, "live": 1}, 120, "the wave", ask_again=0.5)
        with_patience(lambda: project.status()["waves"][0]["status"] == "passed", 60, "its gate", ask_again=0.3)

    cut = project.do("wave", "cut-over", "whole", "--yes", "--json").json
    assert (cut["live"], cut["left"]) == (119, {})
    assert set(router.homes([str(number) for number in range(1, 121)]).values()) == {Home.TARGET}
    router.close()
    bakery = Bakery(tmp_path / "bakery")
    assert [row for row in bakery.ledger() if row[0] in ("7", "8")] == [("7", 1, "move"), ("8", 1, "move")]
    bakery.close()
    assert project.do("verify", "--json").json["difference_count"] == 0
    assert project.do("wave", "show", "whole", "--json").json["moved"] == 120
