"""The head of the journal is written down beside the database, line by line, and read again with every mistake named."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from migrator.edges.anchors import Anchors
from migrator.errors import WrongInput

AT = datetime(2030, 1, 31, 9, 30, tzinfo=UTC)


def test_what_was_written_down_is_read_again(tmp_path: Path) -> None:
    anchors = Anchors(tmp_path / "deep" / "journal.anchors")

    assert anchors.add(AT, 7, "a" * 64, 'pass wave "pilot"\n')
    assert anchors.add(AT, 9, "b" * 64, "report")

    assert anchors.read() == [
        {"at": "2030-01-31T09:30:00Z", "seq": 7, "hash": "a" * 64, "why": 'pass wave "pilot"\n'},
        {"at": "2030-01-31T09:30:00Z", "seq": 9, "hash": "b" * 64, "why": "report"},
    ]
    assert stat.S_IMODE(anchors.path.stat().st_mode) == 0o600
    assert len(anchors.path.read_text().splitlines()) == 2


def test_a_place_that_cannot_be_written_to_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "journal.anchors").mkdir()

    assert not Anchors(tmp_path / "journal.anchors").add(AT, 7, "a", "report")
    assert "the head of the journal could not be written to" in caplog.text


def test_every_line_that_is_no_anchor_is_named(tmp_path: Path) -> None:
    anchors = Anchors(tmp_path / "journal.anchors")
    anchors.add(AT, 7, "a", "report")
    with anchors.path.open("a") as file:
        file.write('{"at": "then", "seq": "8", "hash": "b", "why": "x"}\nnothing\n{"at": "then", "seq"')
    anchors.path.write_text(anchors.path.read_text() + "\n")
    anchors.add(AT, 7, "b", "report")

    with pytest.raises(WrongInput) as told:
        anchors.read()

    assert str(told.value).splitlines() == [
        *(f"{anchors.path}:{number}: not an anchor" for number in (2, 3, 4)),
        f"{anchors.path}:5: names another entry 7 than a line before it",
    ]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match="there is no file of anchors"):
        Anchors(tmp_path / "none").read()
