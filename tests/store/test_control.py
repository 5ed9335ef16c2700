"""The control database tells the truth about time, is read as of one moment, and says what is wrong with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from migrator.errors import NotFound, Overtaken, Refused, Transient, Unreachable
from migrator.rollout.states import Wave
from migrator.store import effects, journal, plans, waves
from migrator.store.control import Control, clock
from migrator.store.tables import metadata, snapshots
from tests.flows.memory import NOW, a_batch, a_plan, a_user, a_wave
from tests.postgresql_server import PostgresqlServer


def test_its_clock_is_utc_and_goes(control: Control) -> None:
    with control.read() as db:
        first, second = clock(db), clock(db)

    assert first.tzinfo is UTC
    assert first <= second <= first + timedelta(minutes=1)


def test_a_moment_comes_back_as_utc_wherever_the_server_thinks_it_is(postgresql: PostgresqlServer) -> None:
    control = Control(postgresql.url())
    control.upgrade()
    with control.engine.connect() as db:
        name = db.scalar(sa.select(sa.func.current_database()))
        db.execute(sa.DDL(f"alter database {name} set timezone to 'Asia/Kolkata'"))
        db.commit()
    control.engine.dispose()
    noon_elsewhere = datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=9)))
    with control.write() as db:
        plan = a_plan(db, as_of=noon_elsewhere)

    with control.read() as db:
        as_of = plans.get(db, plan.id).as_of
    control.close()

    assert f"{as_of:%Y-%m-%dT%H:%M:%SZ}" == "2026-01-31T03:00:00Z"


def test_all_that_is_read_together_is_of_one_moment(control: Control) -> None:
    with control.write() as db:
        plan = a_plan(db)
        a_wave(db, plan)

    with control.read() as db:
        before = waves.of_plan(db, plan.id)
        with control.write() as other:
            waves.move(other, before[0], Wave.PAUSING)
        assert waves.of_plan(db, plan.id) == before


def test_what_ends_in_an_error_never_was(control: Control) -> None:
    with pytest.raises(ZeroDivisionError), control.write() as db:
        a_plan(db)
        raise ZeroDivisionError

    with control.read() as db:
        assert plans.current(db) is None


def test_a_status_changes_only_from_what_it_was(control: Control) -> None:
    with control.write() as db:
        plan = a_plan(db)
        wave = a_wave(db, plan)
        waves.move(db, wave, Wave.PAUSING)

        with pytest.raises(Overtaken, match="wave pilot is no longer running"):
            waves.move(db, wave, Wave.HELD)
        with pytest.raises(Overtaken, match="no longer draft"):
            plans.move(db, plan.id, "draft", "approved")


def test_a_wave_is_found_by_name_or_number(control: Control) -> None:
    with control.write() as db:
        plan = a_plan(db)
        a_wave(db, plan)
        a_wave(db, plan, name="core-5")

        assert [waves.find(db, plan.id, name).name for name in ("core-5", "2", "W2")] == ["core-5"] * 3
        with pytest.raises(NotFound, match='no wave "core-25"; there are pilot, core-5'):
            waves.find(db, plan.id, "core-25")


def test_without_tables_it_says_what_to_run(tmp_path: Path) -> None:
    control = Control(f"sqlite:///{tmp_path / 'deep' / 'control.db'}")

    with pytest.raises(Refused, match="has no tables yet; run `migrator store upgrade`"):
        control.require()
    control.upgrade()
    control.require()
    control.close()


def test_one_that_a_newer_migrator_made_is_neither_worked_on_nor_upgraded(tmp_path: Path) -> None:
    control = Control(f"sqlite:///{tmp_path / 'control.db'}")
    control.upgrade()
    with control.write() as db:
        db.execute(sa.text("update alembic_version set version_num = '0099'"))
    told = rf"made by a newer migrator \(revision 0099, this one knows up to {control.head()}\); install that one"

    with pytest.raises(Refused, match=told):
        control.require()
    with pytest.raises(Refused, match=told):
        control.upgrade()
    assert control.revision() == "0099"
    control.close()


def test_a_file_that_is_no_database_is_to_be_restored(tmp_path: Path) -> None:
    file = tmp_path / "control.db"
    file.write_text("garbage\n", encoding="utf-8")
    control = Control(f"sqlite:///{file}")

    for ask in (control.require, control.upgrade):
        with pytest.raises(Refused, match=r"control\.db is no SQLite database; restore it from a backup"):
            ask()
    control.close()


def test_a_file_with_a_page_that_was_written_over_is_to_be_restored(tmp_path: Path) -> None:
    file = tmp_path / "control.db"
    whole = Control(f"sqlite:///{file}")
    whole.upgrade()
    whole.close()
    pages = file.read_bytes()
    file.write_bytes(pages[:100] + b"\xff" * (len(pages) - 100))
    control = Control(f"sqlite:///{file}")

    with pytest.raises(Refused, match=r"control\.db is damaged; restore it from a backup"):
        control.require()
    control.close()


def test_its_file_and_its_folder_are_closed_to_others(tmp_path: Path) -> None:
    file = tmp_path / "ours" / "control.db"

    Control(f"sqlite:///{file}").upgrade()

    assert [path.stat().st_mode & 0o077 for path in (file.parent, *file.parent.iterdir())] == [0] * (
        1 + len(list(file.parent.iterdir()))
    )


def test_one_that_is_away_is_named_without_its_password() -> None:
    control = Control("postgresql://ada:secret@127.0.0.1:1/control?connect_timeout=2")

    with pytest.raises(Unreachable) as told, control.read():
        pass

    assert "127.0.0.1:1/control" in str(told.value)
    assert "secret" not in str(told.value)


def test_one_that_is_busy_passes(tmp_path: Path) -> None:
    control = Control(f"sqlite:///{tmp_path / 'control.db'}")
    with control.write(), pytest.raises(Transient, match="busy"), control.engine.connect() as impatient:
        impatient.exec_driver_sql("PRAGMA busy_timeout=1")
        impatient.commit()
        from migrator.store.control import _told

        with _told(control.url):
            impatient.execution_options(writes=True).begin()
    control.close()


def test_the_journal_names_acts_and_never_users(control: Control) -> None:
    with control.write() as db:
        journal.add(db, NOW, "ada", "pause", "wave", "pilot")
        journal.add(db, NOW, "worker", "move", "batch", 7, users=["b", "a"], moved=2)
        journal.add(db, NOW, "worker", "move", "batch", 8, users=["a", "b"], moved=2)

    with control.read() as db:
        entries = journal.latest(db, 2)
        assert [entry["detail"] for entry in entries] == [{"moved": 2}, {"moved": 2}]
        assert entries[0]["digest"] == entries[1]["digest"] is not None
        assert [entry["event"] for entry in journal.of(db, "wave", ["pilot"])] == ["pause"]
        assert [entry["ref"] for entry in journal.of(db, "batch", [7, 8])] == ["7", "8"]


def test_a_snapshot_noted_twice_is_one(control: Control) -> None:
    with control.write() as db:
        plan = a_plan(db)
        batch = a_batch(db, a_wave(db, plan), [])
        for users in (3, 4):
            effects.keep_snapshot(db, batch.id, 1, "plan-1/1-1", "5" * 64, users, NOW)

        assert db.scalars(sa.select(snapshots.c.users)).all() == [4]
        assert effects.snapshot(db, batch.id, 2) is None


def test_warnings_are_counted_by_cause_with_one_sample(control: Control) -> None:
    with control.write() as db:
        wave = a_wave(db, plan := a_plan(db))
        a_user(db, plan, "1")
        line = {"mapping": "orders", "field": "country", "rule": "country", "count": 2, "sample": b"x"}
        for _ in range(2):
            effects.keep_warnings(db, a_batch(db, wave, []).id, [line])

        assert effects.warnings_of(db, [wave.id]) == [{**line, "count": 4}]


def test_the_revisions_make_just_the_tables_that_the_code_knows(control: Control) -> None:
    with control.engine.connect() as db:
        differences = compare_metadata(MigrationContext.configure(db), metadata)

    assert differences == []


def test_a_database_that_cannot_be_our_memory_is_refused_in_a_sentence() -> None:
    with pytest.raises(Refused, match="SQLite or PostgreSQL, not mysql"):
        Control("mysql://user@host/control")
