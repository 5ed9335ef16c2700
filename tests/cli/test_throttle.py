"""`migrator wave set`, and what `doctor`, `status` and `wave show` say of the throttle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.errors import WrongInput
from migrator.flows.steering import waves
from tests.cli.saying import say, told
from tests.flows.bakery import Bakery, settings_text

SETTINGS = settings_text("""
[throttle]
max_sessions = 20
sql = { target = { query = "select count(*) from notes", above = 0 } }
""")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bakery whose only wave runs."""
    path = tmp_path_factory.mktemp("throttle") / "bakery"
    bakery = Bakery(path, customers=12)
    bakery.plan(batch_users=5)
    waves.start(bakery.parts, "whole")
    (path / "migrator.toml").write_text(SETTINGS, encoding="utf-8")
    yield path
    bakery.close()


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_what_is_set_is_said_and_shown() -> None:
    assert say("wave", "set", "whole", "workers", "3") == "wave whole: workers is 3 from now on\n"
    given = told("wave", "set", "whole", "max-lag", "1.5")

    assert given["orders"] == {"workers": 3, "max_lag": 1.5}
    assert "nothing here tells it" in given["remark"]
    shown = say("wave", "show", "whole")
    assert "set for this wave: workers 3\n" in shown and "set for this wave: max-lag 1.5\n" in shown
    assert told("wave", "show", "whole")["orders"] == {"workers": 3, "max_lag": 1.5}
    assert say("wave", "set", "whole", "max-lag", "default") == "wave whole: max-lag is as the settings say again\n"
    assert told("wave", "set", "whole", "workers", "default")["orders"] == {}


def test_a_person_stops_a_wave_and_is_named() -> None:
    assert say("wave", "set", "whole", "throttle", "on") == "wave whole: throttle is on from now on\n"
    assert list(told("wave", "show", "whole")["orders"]) == ["throttle"]
    assert say("wave", "set", "whole", "throttle", "off") == "wave whole: throttle is off again\n"


def test_what_cannot_be_set_says_what_can() -> None:
    with pytest.raises(WrongInput, match="there are batch-size, workers, max-lag, max-sessions, max-statement, thro"):
        say("wave", "set", "whole", "speed", "5")


def test_the_doctor_tries_what_the_throttle_asks(folder: Path) -> None:
    def throttle(code: int = 0) -> list[tuple[str, str]]:
        checks = told("doctor", code=code)["checks"]
        return [(one["result"], one["said"]) for one in checks if one["name"] == "throttle"]

    found = throttle()
    assert ("pass", "target: its query gives 0") in found
    assert ("warn", "nothing here tells max_sessions") in found

    (folder / "migrator.toml").write_text(SETTINGS.replace("from notes", "from nowhere"), encoding="utf-8")
    failed = [said for result, said in throttle(code=1) if result == "fail"]
    assert len(failed) == 1 and "target cannot be looked at: SQLite refused a statement: no such table" in failed[0]
    (folder / "migrator.toml").write_text(SETTINGS, encoding="utf-8")
