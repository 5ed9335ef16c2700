"""Assembly: what settings say is what flows get; nothing is opened before it is asked for."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from migrator import runtime, settings
from migrator.edges.senders.email import SmtpSender
from migrator.edges.senders.file import FileSender
from migrator.errors import Refused, SettingWrong
from tests.flows.memory import a_plan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project as `init` makes it, with two empty SQLite files."""
    runtime.make_project(tmp_path)
    for name in ("legacy.sqlite", "target.sqlite"):
        (tmp_path / name).touch()
    return tmp_path


def opened(folder: Path, **environment: str) -> runtime.Runtime:
    return runtime.Runtime(settings.load(folder / "migrator.toml", environment))


def test_a_new_project_has_settings_mappings_and_templates_and_is_made_once(tmp_path: Path) -> None:
    assert runtime.make_project(tmp_path / "new") == ["migrator.toml", "mappings/", "templates/"]
    (tmp_path / "new" / "migrator.toml").write_text("# mine\n", encoding="utf-8")

    assert runtime.make_project(tmp_path / "new") == []

    assert (tmp_path / "new" / "migrator.toml").read_text(encoding="utf-8") == "# mine\n"
    assert list((tmp_path / "new" / "mappings").glob("*/set.yaml"))


def test_nothing_is_opened_before_it_is_asked_for(folder: Path) -> None:
    project = opened(folder)

    assert not project.settings.state.exists()
    project.close()


def test_the_control_database_is_refused_until_it_has_its_tables(folder: Path) -> None:
    project = opened(folder)
    with pytest.raises(Refused, match="run `migrator store upgrade`"):
        _ = project.control
    project.control_as_is.upgrade()

    assert project.control.revision() == project.control.head()
    project.close()


def test_a_database_that_is_not_named_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "migrator.toml").write_text("", encoding="utf-8")
    project = opened(tmp_path)

    with pytest.raises(SettingWrong, match=r"\[legacy\] url is not set"):
        _ = project.legacy


def test_the_projects_key_is_made_once_and_closed_to_others(folder: Path) -> None:
    first, second = opened(folder), opened(folder)
    with pytest.raises(Refused, match="there is no project key at"):
        _ = first.key
    first.control_as_is.upgrade()

    assert (first.keyring.make(), second.keyring.make()) == (True, False)

    assert second.key.open(first.key.seal("a secret")) == "a secret"
    assert stat.S_IMODE(first.settings.snapshots.key.stat().st_mode) == 0o600


def test_a_key_that_was_lost_is_not_replaced_by_one_that_opens_nothing(folder: Path) -> None:
    project = opened(folder)
    project.control_as_is.upgrade()
    with project.control.write() as db:
        a_plan(db)

    with pytest.raises(Refused, match="put the copy of it back"):
        project.keyring.make()


def test_flows_get_what_the_settings_say(folder: Path) -> None:
    project = opened(
        folder,
        MIGRATOR_BATCHES_USERS="7",
        MIGRATOR_BATCHES_LEASE="9s",
        MIGRATOR_PLAN_SOAK="1h",
        MIGRATOR_PLAN_ON_STOP="rollback_wave",
        MIGRATOR_GATES_MAX_HELD="0.2",
        MIGRATOR_NOTICES_PRODUCT="Shop",
        MIGRATOR_SUPPORT_CONTACT="help@shop.example",
        MIGRATOR_TIERS_MONEY="{ fixed = 100 }",
    )
    project.control_as_is.upgrade()
    project.keyring.make()
    parts, plan = project.parts, project.plan_options

    assert (parts.limits.users, parts.limits.lease.seconds, parts.folder) == (7, 9, "mappings/shop/")
    assert (plan.batch_users, plan.soak_seconds, plan.on_stop, plan.max_held) == (7, 3600, "rollback_wave", 0.2)
    assert (parts.telling.product, parts.telling.contact, parts.telling.sender) == ("Shop", "help@shop.example", None)
    assert project.tier_options.thresholds["money"] == {"fixed": 100}
    assert parts.load_set().set.name == "shop"
    assert "@" in parts.actor
    project.close()


def test_the_sender_is_the_one_that_is_set(folder: Path) -> None:
    assert isinstance(opened(folder).sender(), FileSender)
    assert isinstance(opened(folder, MIGRATOR_NOTICES_SENDER="smtp").sender(), SmtpSender)


def test_templates_are_the_projects_own_where_it_has_some(folder: Path) -> None:
    assert opened(folder).templates_folder() == folder / "templates"
    (folder / "templates").rename(folder / "gone")
    assert opened(folder).templates_folder() == runtime.bundled("templates")


def test_a_project_is_closed_whatever_happened_in_it(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), runtime.connect(folder / "migrator.toml") as project:
        project.control_as_is.upgrade()
        raise ZeroDivisionError

    assert project.control_as_is.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
