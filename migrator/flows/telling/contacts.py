"""What the control database knows of how to reach a user: sealed, and found by a keyed hash of the e-mail address."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from migrator.flows.people.desk import Desk
from migrator.store.users import User

if TYPE_CHECKING:
    import polars as pl


def sealed(desk: Desk, told: pl.DataFrame) -> list[bytes]:
    """`email` and `name` of each user, as they are stored."""
    import polars as pl  # late: support asks for one user without it

    texts = told.select(told=pl.struct("email", "name").struct.json_encode())["told"]
    return desk.key.seal_all(texts.to_list())


def opened(desk: Desk, user: User) -> dict[str, Any]:
    """E-mail address and name of a stored user; empty for rows of nobody."""
    return dict(json.loads(desk.key.open(user.contact))) if user.contact else {}


def email_prints(desk: Desk, emails: Iterable[str | None]) -> list[str | None]:
    """The keyed hashes of many."""
    return desk.key.lookups(_named(email) for email in emails)


def known_prints(desk: Desk, email: str) -> list[str]:
    """All keyed hashes under which a user with this address may stand: several, while the key is being changed."""
    return desk.key.looked_up_by(str(_named(email)))


def _named(email: str | None) -> str | None:
    said = email.strip().lower() if email else ""
    return f"email:{said}" if said else None
