"""The named places where a process may be made to die, by the environment alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from migrator import crashpoints

PROGRAM = """
from migrator.crashpoints import crash_point
for place in ("here", "there", "here", "there"):
    crash_point(place)
    print(place, flush=True)
"""


def run(said: str | None) -> tuple[int, str, str]:
    environment = {name: value for name, value in os.environ.items() if name != crashpoints.VARIABLE}
    environment |= {crashpoints.VARIABLE: said} if said else {}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False,
        cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_without_the_variable_nothing_happens_anywhere() -> None:
    assert run(None)[:2] == (0, "here\nthere\nhere\nthere\n")


def test_a_process_kills_itself_where_and_when_it_is_told_to() -> None:
    assert run("there:2:kill")[:2] == (-9, "here\nthere\nhere\n")


def test_an_error_that_no_flow_knows_is_raised() -> None:
    code, out, err = run("here:1:raise")

    assert (code, out) == (1, "")
    assert err.strip().endswith("migrator.crashpoints.Crashed")


def test_a_pause_ends_and_all_goes_on() -> None:
    assert run("there:1:pause 0.05")[:2] == (0, "here\nthere\nhere\nthere\n")


@pytest.mark.parametrize(
    "said", ["here", "here:1", "here:x:kill", "here:0:kill", "here:1:dance", "here:1:pause", "a:1:kill:b"]
)
def test_what_cannot_be_understood_is_refused_and_not_left_out(said: str) -> None:
    with pytest.raises(ValueError, match="MIGRATOR_CRASH"):
        crashpoints.armed(said)
