"""Everybody of a plan has a row that says what one would write by hand, and support needs little to read it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.edges.keys import ProjectKey
from migrator.flows.people.desk import Desk
from migrator.flows.plans import roster
from migrator.rollout.plan import WaveDraft
from migrator.rollout.stages import Stage
from migrator.store.control import Control
from tests.flows.memory import NOW

DESK = Desk(Control("sqlite://"), ProjectKey(bytes(32)))  # nothing is stored here
keys = st.lists(st.text("ab1~ü:", min_size=1, max_size=3), unique=True, max_size=12)
mails = st.sampled_from([None, "", "  ", "Ann@Example.org ", "ann@example.org", 'o"q\\@x.de'])


@st.composite
def plans(draw: st.DrawFn) -> dict[str, Any]:
    """Users with what is known of some of them."""
    everybody = draw(keys)
    some = st.sets(st.sampled_from(everybody)) if everybody else st.just(set())
    excluded = draw(some)
    movers = [key for key in everybody if key not in excluded]
    cut = draw(st.integers(0, len(movers)))
    return {
        "everybody": [
            (key, draw(mails), draw(st.sampled_from([None, "Ann \u2028"])), key in excluded) for key in everybody
        ],
        "waves": [movers[:cut], movers[cut:]],
        "held": {key: f"why {key}" for key in draw(some) if key not in excluded},
        "leaders": {key: everybody[0] for key in draw(some)},
        "stays": {key: f"said of {key}" for key in draw(some) if key in excluded},
    }


@settings(deadline=None, max_examples=60)
@given(plans())
def test_each_row_is_what_one_would_write_for_that_user(given_: dict[str, Any]) -> None:
    schema = {"key": pl.String, "email": pl.String, "name": pl.String, "excluded": pl.Boolean}
    everybody = pl.DataFrame(given_["everybody"], schema=schema, orient="row")
    everybody = everybody.with_columns(locale=pl.lit("de"))
    movers = everybody.filter(~pl.col("excluded"))["key"]
    assigned = pl.DataFrame({"key": movers}).with_columns(
        tier=pl.lit("core"), code=pl.lit("111"), r=pl.lit(None, dtype=pl.Int64), f=pl.lit(2), m=pl.lit("1.5")
    )
    drafts = [WaveDraft(n, f"w{n}", None, Stage.FULL, 100, users) for n, users in enumerate(given_["waves"])]
    known = {name: given_[name] for name in ("held", "leaders", "stays")}

    parts = list(roster.of_people(DESK, NOW, everybody, assigned, roster.by_wave(drafts, [10, 11]), **known))

    rows = {row["user_key"]: row for part in parts for row in part.iter_rows(named=True)}
    assert len(rows) == everybody.height
    for key, email, name, excluded in given_["everybody"]:
        row = rows[key]
        wave = None if excluded else 10 if key in given_["waves"][0] else 11
        status = "held" if key in given_["held"] else "excluded" if excluded else "planned"
        reason = given_["held"].get(key) or (given_["stays"].get(key, roster.BY_SET) if excluded else None)
        assert (row["wave_id"], row["status"], row["reason"]) == (wave, status, reason)
        assert row["group_key"] == given_["leaders"].get(key)
        assert (row["tier"], row["f"], row["m"]) == (("none", 0, "0") if excluded else ("core", 2, "1.5"))
        assert json.loads(DESK.key.open(row["contact"])) == {"email": email, "name": name}
        mail = email.strip().lower() if email else ""
        assert row["email_print"] == (DESK.key.fingerprint(f"email:{mail}") if mail else None)


@pytest.mark.parametrize("heavy", ["polars", "alembic", "migrator.edges.databases.sqlite", "jinja2", "celery"])
def test_one_user_is_shown_without_what_only_moving_needs(heavy: str) -> None:
    words = f"import sys, migrator.cli, migrator.runtime, migrator.flows.helping.support; sys.exit({heavy!r} in sys.modules)"

    assert subprocess.run([sys.executable, "-c", words], check=False).returncode == 0
