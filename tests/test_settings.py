"""Settings are read once, from the file and the environment over it, and every mistake is told at once."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path

import pytest

from migrator import settings
from migrator.errors import SettingWrong
from migrator.settings import Settings


def a_file(folder: Path, text: str = "") -> Path:
    path = folder / "migrator.toml"
    path.write_text(text, encoding="utf-8")
    return path


def loaded(folder: Path, text: str = "", **environment: str) -> Settings:
    return settings.load(a_file(folder, text), environment)


def problems(folder: Path, text: str, **environment: str) -> str:
    with pytest.raises(SettingWrong) as told:
        loaded(folder, text, **environment)
    return str(told.value)


def test_an_empty_file_is_all_defaults_and_paths_count_from_it(tmp_path: Path) -> None:
    found = loaded(tmp_path)

    assert found.control.url == f"sqlite:///{tmp_path}/.migrator/control.db"
    assert found.mappings.path == tmp_path / "mappings"
    assert found.snapshots.key == tmp_path / ".migrator" / "project.key"
    assert found.state == tmp_path / ".migrator"
    assert (found.broker.url, found.notices.sender) == (None, None)


def test_the_smallest_file_of_the_design_is_understood(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        """
        [legacy]
        url = "sqlite:///legacy.sqlite"
        [target]
        url = "postgresql://localhost/new"
        schema = "shop"
        [mappings]
        path = "mappings/magento1"
        [plan]
        soak = "0s"
        gray = [5, 25, 50]
        cutover = "immediate"
        """,
    )

    assert found.legacy.url == f"sqlite:///{tmp_path}/legacy.sqlite"
    assert (found.target.url, found.target.schema) == ("postgresql://localhost/new", "shop")
    assert found.mappings.path == tmp_path / "mappings" / "magento1"
    assert (found.plan.soak, found.plan.gray, found.plan.cutover) == (timedelta(0), (5, 25, 50), "immediate")


def test_the_environment_has_the_last_word(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        '[plan]\nsoak = "24h"\n',
        MIGRATOR_PLAN_SOAK="90s",
        MIGRATOR_PLAN_GRAY="10, 50",
        MIGRATOR_TARGET_URL="postgresql://ada:secret@db/new",
        MIGRATOR_TIERS_RECENCY="{ fixed = 14 }",
        MIGRATOR_GATES_MAX_HELD="0.1",
        MIGRATOR_NOTICES_FROM="shop@example.com",
        MIGRATOR_SNAPSHOTS_PATH="elsewhere",
    )

    assert (found.plan.soak, found.plan.gray) == (timedelta(seconds=90), (10, 50))
    assert found.target.url == "postgresql://ada:secret@db/new"
    assert found.tiers.recency == {"fixed": 14}
    assert (found.gates.max_held, found.notices.from_) == (0.1, "shop@example.com")
    assert found.snapshots.path == tmp_path / "elsewhere"


def test_every_key_of_every_section_can_be_set_by_the_environment(tmp_path: Path) -> None:
    examples = {
        "Mapping": "{ fixed = 7 }", "tuple": "7", "int": "7", "float": "0.5", "timedelta": "7m", "Path": "x", "str": "whole", "bool": "true",
    }  # fmt: skip
    chosen = {
        "cutover": "immediate", "on_stop": "rollback_wave", "sender": "smtp",
        "adaptive": "false", "largest": "7000", "memory": "700", "target": "7s", "drain": "7s", "cut_over": "true", "snapshot_check": "before gray",
        "capture": "trigger", "format": "json", "level": "info", "policy": "merge",
    }  # fmt: skip
    for name, kind in settings.SECTIONS.items():
        for item in dataclasses.fields(kind):
            key = item.name.rstrip("_")
            if (name, key) in settings.ONLY_IN_FILE or key == "databases":  # which names other sections of the file
                continue
            text = chosen.get(key) or next(text for word, text in examples.items() if word in str(item.type))

            found = loaded(tmp_path, "", **{f"MIGRATOR_{name}_{key}".upper(): text})

            default = getattr(getattr(loaded(tmp_path), name), item.name)
            assert getattr(getattr(found, name), item.name) != default, f"[{name}] {key}"


def test_all_mistakes_are_told_at_once_and_where(tmp_path: Path) -> None:
    told = problems(
        tmp_path,
        """
        [plan]
        soak = "a while"
        cutover = "soon"
        grey = [5]
        gray = ["x"]
        pilot_share = -1
        [gates]
        max_failed = 2
        [batches]
        users = 0
        lease = "1s"
        [notice]
        sender = "file"
        [tiers]
        recency = 30
        """,
        MIGRATOR_PLAN_PILOT_FLOOR="many",
    )

    for part in (
        '[plan] soak: "a while" is not a duration such as 30s, 15m, 24h or 7d',
        '[plan] cutover: must be one of manual, immediate, not "soon"',
        'unknown key in [plan] "grey"; did you mean "gray"?',
        "[plan] gray: invalid literal",
        "[plan] pilot_share: must not be negative",
        "[gates] max_failed: must be a share between 0 and 1",
        "[batches] users: must be at least 1",
        "[batches] lease: must be at least 5s",
        'unknown section "notice"; did you mean "notices"?',
        "[tiers] recency: must be a table such as { quantile = 0.8 }",
        "MIGRATOR_PLAN_PILOT_FLOOR: invalid literal",
    ):
        assert part in told
    assert len(told.splitlines()) == 11


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[plan", "not TOML"),
        ("plan = 7", "[plan] must be a section, not 7"),
        ("[mappings]\npath = 7", "[mappings] path: must be text, not 7"),
        ("[plan]\ngray = 5", "[plan] gray: must be a list, not 5"),
        ("[batches]\nusers = true", "[batches] users: must be a whole number, not True"),
        ("[zzzz]", "known are batches, broker"),
    ],
)
def test_what_is_no_setting_is_said(tmp_path: Path, text: str, why: str) -> None:
    assert why in problems(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("90s", 90), (" 15m ", 900), ("24h", 86_400), ("7 d", 604_800), ("2w", 1_209_600)]
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert settings.duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "h", "-1s", "1.5h", "5 minutes"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        settings.duration(text)


def test_the_file_is_found_from_a_folder_below_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = a_file(tmp_path)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)

    assert settings.load(environment={}).file == path.resolve()
    assert settings.load(tmp_path, {}).file == path.resolve()
    assert settings.load(environment={"MIGRATOR_SETTINGS": str(path)}).file == path.resolve()


def test_without_a_file_it_is_said_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SettingWrong, match=r"`migrator init \.` makes one"):
        settings.load(environment={})
    with pytest.raises(SettingWrong, match="there is no settings file"):
        settings.load(tmp_path / "other.toml", {})


# ---- several legacy databases -----------------------------------------------------------------------------------------

SEVERAL = """
[legacy.shop]
url = "sqlite:///shop.sqlite"
[legacy.crm]
url = "mysql://crm.example/crm"
schema = "crm"
"""


def test_several_legacy_databases_have_a_name_each(tmp_path: Path) -> None:
    found = loaded(tmp_path, SEVERAL)

    assert list(found.sources) == ["shop", "crm"]
    assert found.sources["shop"].url == f"sqlite:///{tmp_path}/shop.sqlite"
    assert (found.sources["crm"].url, found.sources["crm"].schema) == ("mysql://crm.example/crm", "crm")
    assert found.legacy.url == ""


def test_one_legacy_database_has_none(tmp_path: Path) -> None:
    assert loaded(tmp_path, '[legacy]\nurl = "sqlite:///shop.sqlite"').sources == {}


def test_the_environment_says_where_a_named_database_is(tmp_path: Path) -> None:
    found = loaded(
        tmp_path, SEVERAL, MIGRATOR_LEGACY_CRM_URL="mysql://other/crm", MIGRATOR_LEGACY_NEWS_LIST_URL="sqlite:///n.db"
    )

    assert found.sources["crm"].url == "mysql://other/crm"
    assert found.sources["crm"].schema == "crm"
    assert found.sources["news_list"].url == f"sqlite:///{tmp_path}/n.db"


@pytest.mark.parametrize("environment", [{}, {"MIGRATOR_LEGACY_URL": "sqlite:///legacy.sqlite"}])
def test_a_database_with_a_name_and_one_without_is_one_too_many(tmp_path: Path, environment: dict[str, str]) -> None:
    text = SEVERAL if environment else '[legacy]\nurl = "sqlite:///legacy.sqlite"\n' + SEVERAL

    assert "[legacy] url stands beside [legacy.shop]" in problems(tmp_path, text, **environment)


def test_every_mistake_in_named_databases_is_told(tmp_path: Path) -> None:
    told = problems(tmp_path, '[legacy.shop]\nulr = "sqlite:///a"\n[legacy.CRM]\nurl = 5\n')

    assert 'unknown key in [legacy.shop] "ulr"' in told
    assert "[legacy.shop] url is not set" in told
    assert "[legacy.CRM]: a name has small letters" in told
    assert "[legacy.CRM] url: must be text, not 5" in told


@pytest.mark.parametrize("line", ["max_failed = 0", "max_failed = 1.0", "alpha = 0", "stop_alpha = 1"])
def test_a_share_with_which_nothing_can_be_proved_is_refused(tmp_path: Path, line: str) -> None:
    assert f"[gates] {line.partition(' ')[0]}: must be above 1e-09 and below" in problems(
        tmp_path, f"[gates]\n{line}\n"
    )


def test_what_is_run_in_other_databases_is_only_taken_from_the_file(tmp_path: Path) -> None:
    query = '[throttle]\nsql = { target = { query = "select count(*) from jobs", above = 100 } }'

    assert loaded(tmp_path, query).throttle.sql["target"]["above"] == 100
    assert "it is not taken from the environment" in problems(tmp_path, "", MIGRATOR_THROTTLE_SQL="{ target = 1 }")


def test_limits_of_the_throttle_are_seconds_or_counts(tmp_path: Path) -> None:
    found = loaded(
        tmp_path, '[throttle]\nmax_lag = 0.5\nmax_sessions = 40\nflag = "stop"', MIGRATOR_THROTTLE_MAX_STATEMENT="90s"
    ).throttle

    assert (found.max_lag, found.max_sessions, found.max_statement) == (0.5, 40, 90.0)
    assert found.flag == tmp_path / "stop"


def test_mistakes_in_batches_and_throttle_are_told_at_once(tmp_path: Path) -> None:
    told = problems(
        tmp_path,
        """
        [legacy.shop]
        url = "sqlite:///shop.db"
        [batches]
        smallest = 50
        largest = 20
        target = "10m"
        adaptive = "perhaps"
        [throttle]
        max_lag = "soon"
        max_statement = 0
        sql = { legacy = { query = "select 1", above = 1 }, target = { query = "select 1" } }
        """,
    )

    for part in (
        "[batches] target: must be at most 100s",
        "[batches] adaptive: must be true or false, not 'perhaps'",
        "[throttle] max_lag: must be seconds, such as 5, 0.5 or \"5s\", not 'soon'",
        "[throttle] max_statement: must be above 0, not 0",
        "[batches] smallest (50) is above largest (20)",
        '[throttle] sql: there is no database "legacy"; known are legacy.shop, target',
        "[throttle] sql: target must be such as",
    ):
        assert part in told


def test_a_token_comes_from_the_environment_alone_under_its_short_name_and_is_shown_nowhere(tmp_path: Path) -> None:
    found = loaded(tmp_path, '[security]\ntoken_file = "mine"\n', MIGRATOR_TOKEN="mig_secret")

    assert (found.security.token, found.security.token_file) == ("mig_secret", tmp_path / "mine")
    assert "mig_secret" not in repr(found)
    assert loaded(tmp_path, MIGRATOR_TOKEN_FILE="there").security.token_file == tmp_path / "there"
    said = problems(tmp_path, '[security]\ntoken = "mig_secret"\n')
    assert said == f"{tmp_path}/migrator.toml: [security] token: not in a file that others read; set MIGRATOR_TOKEN"
