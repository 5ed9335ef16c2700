"""`migrator snapshot …` and `migrator erase`, as one types them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.edges.keys import ProjectKey
from migrator.errors import Refused, WrongInput
from tests.cli.saying import say, told
from tests.flows.bakery import Bakery


@pytest.fixture(scope="module")
def moved_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bakery whose customers are live; to be copied."""
    path = tmp_path_factory.mktemp("snapshots") / "bakery"
    bakery = Bakery(path, customers=12)
    bakery.plan(batch_users=8)
    bakery.start_all()
    bakery.close()
    bakery.write_settings()
    return path


@pytest.fixture
def folder(moved_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    shutil.copytree(moved_folder, tmp_path / "bakery")
    monkeypatch.chdir(tmp_path / "bakery")
    yield tmp_path / "bakery"


def test_snapshots_are_listed_by_wave_with_what_keeps_them(folder: Path) -> None:
    (wave,) = told("snapshot", "list")["waves"]

    assert (wave["wave"], wave["snapshots"], wave["users"]) == ("whole", 2, 12)
    assert wave["bytes"] == sum(file.stat().st_size for file in (folder / "snapshots").rglob("*.snapshot"))
    assert (wave["expires_at"], wave["stays"]) == (None, "users can still be put back")
    assert "users can still be put back" in say("snapshot", "list")


def test_a_check_that_finds_all_well_says_so(folder: Path) -> None:
    done = told("snapshot", "check", "--share", "100%", "--seed", "7")

    assert (done["good"], done["snapshots"], done["users"], done["broken"]) == (True, 2, 12, [])
    assert done["rows"] == 12 + 36
    assert "all of them are good" in say("snapshot", "check")


@pytest.mark.parametrize("said", ["0", "101%", "some", "-1%"])
def test_a_share_that_is_none_is_wrong_input(folder: Path, said: str) -> None:
    with pytest.raises(WrongInput, match="share"):
        say("snapshot", "check", f"--share={said}")


def test_a_broken_snapshot_is_named_with_its_users_and_the_command_fails(folder: Path) -> None:
    file = min((folder / "snapshots").rglob("*.snapshot"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)

    said = say("snapshot", "check", "--share", "100%", code=1)

    assert "wave whole, batch" in said and "was changed" in said and "its 8 users cannot be put back" in said


def test_nothing_expires_while_users_can_be_put_back(folder: Path) -> None:
    assert "2 stay: users can still be put back" in say("snapshot", "expire", "--yes")
    assert len(list((folder / "snapshots").rglob("*.snapshot"))) == 2


def test_a_hold_is_shown_and_ended(folder: Path) -> None:
    say("snapshot", "hold", "whole", "--reason", "claim of our lawyers")
    assert told("snapshot", "list")["waves"][0]["hold"] == "claim of our lawyers"
    with pytest.raises(Refused, match="held"):
        say("erase", "5", "--yes")

    say("snapshot", "release", "whole", "--yes")

    assert told("snapshot", "list")["waves"][0]["hold"] is None
    with pytest.raises(Refused, match="held"):
        say("snapshot", "release", "whole", "--yes")


def test_another_key_takes_the_place_of_the_old_one_and_opens_everything(folder: Path) -> None:
    (folder / "project.key").rename(folder / "old.key")

    done = told("snapshot", "rekey", "--old", "file:old.key", "--yes")

    assert (done["wrapped"], done["damaged"]) == (2, [])
    (folder / "old.key").unlink()
    assert told("snapshot", "check", "--share", "100%")["good"]
    assert told("verify")["differences"] == []
    assert "nothing was done" in say("snapshot", "rekey", "--yes")
    assert told("user", "find", "c5@bakery.example")[0]["user"] == "5"


def test_a_key_that_is_not_the_projects_is_refused_with_what_to_do(folder: Path) -> None:
    say("store", "upgrade")
    (folder / "project.key").rename(folder / "old.key")
    ProjectKey.create(folder / "project.key")

    with pytest.raises(Refused, match=r"not the one that this project is sealed with.*snapshot rekey --old"):
        say("snapshot", "list")
    ProjectKey.create(folder / "third.key")
    with pytest.raises(Refused, match="not the one that this project is sealed with"):
        say("snapshot", "rekey", "--old", "file:third.key", "--yes")


def test_erase_says_what_would_go_then_does_it_and_gives_a_certificate(folder: Path) -> None:
    would = told("erase", "5", "--dry-run", "--legacy", "delete")
    assert would["target"] == {"accounts": 1, "orders": 3}
    assert would["statements"][-1] == "DELETE FROM customer WHERE customer.id IN (5);"
    assert told("snapshot", "list")["waves"][0]["users"] == 12

    done = told("erase", "5", "--yes")

    assert done["target"]["rows"] == {"orders": 3, "accounts": 1}
    assert (done["remains"], done["snapshots"]["rewritten"], done["statements"]) == ([], 1, [])
    assert "5@" not in json.dumps(done).lower()
    assert told("status")["users"]["erased"] == 1
    assert told("erase", "5", "--yes") == done
    assert "There is no account." in say("user", "show", "5")


def test_erase_is_not_done_by_a_y(folder: Path) -> None:
    with pytest.raises(Refused, match="say --yes"):
        say("erase", "5")
    with pytest.raises(WrongInput, match="--legacy is leave or delete"):
        say("erase", "5", "--legacy", "burn", "--yes")
