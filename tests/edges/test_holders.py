"""A process of this machine that is gone is known to be; what runs elsewhere, or had another form of name, never is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from migrator.edges import holders

NAME = "from migrator.edges import holders; print(holders.here(), flush=True)"


def _who_has_ended() -> str:
    return subprocess.run([sys.executable, "-c", NAME], capture_output=True, text=True, check=True).stdout.strip()


def test_who_is_here_is_not_gone_and_who_has_ended_is() -> None:
    gone = _who_has_ended()

    assert not holders.is_gone(holders.here())
    assert holders.is_gone(gone)


def test_a_zombie_is_gone_and_a_number_that_somebody_else_has_by_now_is_not_its_owner() -> None:
    with subprocess.Popen([sys.executable, "-c", NAME + "; input()"], stdin=-1, stdout=-1, text=True) as child:
        assert child.stdout and child.stdin
        owner = child.stdout.readline().strip()
        assert not holders.is_gone(owner)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has taken note
        assert holders.is_gone(owner)
    machine, _, started = holders.here().split(":")
    assert holders.is_gone(f"{machine}:{os.getpid()}:{int(started) - 1}")


@pytest.mark.parametrize("owner", [None, "", "test", "worker:7", "elsewhere-00000000:1:5", "a:b:c", ":::"])
def test_of_whom_nothing_is_known_it_is_not_said(owner: str | None) -> None:
    assert not holders.is_gone(owner)
