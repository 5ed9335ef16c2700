"""
What a driver's error means to us: our class, a sentence, and nothing of the user's data.

A driver's own text may quote values (`Key (email)=(…)`), and so may a chained traceback: neither leaves this room.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import sqlalchemy as sa

from migrator.errors import MigratorError, Refused

#: What to do where an account lacks a right.
GRANTS = "`migrator store grants` says what each account needs"


class Meaning(Protocol):
    """A dialect's translation."""

    def __call__(self, error: BaseException, *, at_commit: bool = False) -> MigratorError | None:
        """Translate one driver error; None when it is not one of this driver's."""


@contextmanager
def translated(meaning: Meaning, *, at_commit: bool = False) -> Iterator[None]:
    """Raise what *meaning* makes of a driver's error instead of the error, without its chain."""
    try:
        yield
    except MigratorError:
        raise
    except Exception as error:
        meant = meaning(driver_error(error), at_commit=at_commit)
        if meant is None:
            raise
        raise meant from None  # the chain would carry the driver's text, and with it values


def driver_error(error: BaseException) -> BaseException:
    """Look through SQLAlchemy's wrapper."""
    if isinstance(error, sa.exc.DBAPIError) and error.orig is not None:
        return error.orig
    return error


def only_target(role: str) -> None:
    """Refuse to write to the legacy database before it has to refuse itself."""
    if role in ("legacy", "replica"):
        raise Refused(f"the {role} database is only read, never written")


def at_place(url: sa.URL) -> str:
    """Name a database for people: its URL without password and options."""
    return url.set(query={}).render_as_string(hide_password=True)
