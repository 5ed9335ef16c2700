"""The sentences about accounts, cover and clocks that all kinds of databases share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from migrator.edges.databases.base import Concern

_SHOWN = 3
APART_SECONDS = 5


def listed(tables: Sequence[str]) -> str:
    """The first few of many tables."""
    more = f" and {len(tables) - _SHOWN} more" if len(tables) > _SHOWN else ""
    return f"{', '.join(tables[:_SHOWN])}{more}" if tables else "everything"


def grants(role: str) -> str:
    """The way to an account with fewer rights."""
    return (
        f"migrator store grants --for {role.partition(' ')[0]} --account NAME prints what an account of its own needs"
    )


def unencrypted(server: str, option: str) -> Concern:
    """Said of a connection that leaves this machine in the clear."""
    return Concern("warn", f"what goes to {server} and comes from it can be read on the way", f"{option} in the url")


def apart(theirs: Any) -> Iterator[Concern]:
    """Whether the server's clock is another than ours; a time without a zone is UTC."""
    if not isinstance(theirs, datetime):
        return
    theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)
    seconds = abs((theirs - datetime.now(UTC)).total_seconds())
    if seconds > APART_SECONDS:
        yield Concern("warn", f"its clock and that of this machine are {seconds:.0f} s apart", "run NTP on both")
