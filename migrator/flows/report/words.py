"""What the numbers say in a sentence."""

from __future__ import annotations

from collections.abc import Mapping

from migrator.rollout.states import User

IN_TARGET = (User.MOVED, User.LIVE, User.SETTLED)


def how_far(users: Mapping[str, int]) -> str:
    """Where all users are, in one sentence; whoever is not named is not there."""
    total = sum(users.values())
    if not total:
        return "The plan has no users."
    there = sum(users[status] for status in IN_TARGET)
    # rounded down, so that 100 % is said only of all
    share = "all" if there == total else f"{1000 * there // total / 10:.1f} %"
    others = {
        "held": "held for a person to decide",
        "failed": "failed",
        "planned": "still waiting",
        "moving": "on their way",
        "rolling_back": "being put back",
        "rolled_back": "put back",
        "excluded": "staying in legacy for a stated reason",
        "erased": "erased",
    }
    rest = [f"{users[status]:,} {text}" for status, text in others.items() if users[status]]
    first = f"{there:,} of {total:,} users ({share}) are in the new system and verified"
    return f"{first}; {_list(rest)}." if rest else f"{first}."


def how_far_rows(rows: Mapping[str, int]) -> str | None:
    """The same of rows of nobody; None where none are to move."""
    total = sum(rows.values())
    if not total:
        return None
    there = sum(rows[status] for status in IN_TARGET)
    others = [
        f"{count:,} {status.replace('_', ' ')}" for status, count in rows.items() if count and status not in IN_TARGET
    ]
    first = f"{there:,} of {total:,} rows that belong to no user are in the new system and verified, with all that hangs on them"
    return f"{first}; {_list(others)}." if others else f"{first}."


def _list(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
