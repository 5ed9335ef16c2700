"""The trouble in the old shop: which kinds there are, how many of each, and whom it befell."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final

_FULL_SIZE: Final = 2000


@dataclass(frozen=True, slots=True)
class Dirt:
    """How many of each kind a shop of 2,000 users holds: users, or where it says so rows."""

    # held: a person has to look
    shared_emails: int = 4  # pairs: two users, one e-mail but for case and blanks
    taken_email: int = 1  # the new shop knows the e-mail already
    invalid_emails: int = 6
    unknown_statuses: int = 6  # an order in status 7
    broken_order_ext: int = 5  # JSON that was cut off
    ms_last_logins: int = 4  # milliseconds in a column of seconds
    # moved, with a warning
    bad_birthdays: int = 12
    mojibake: int = 15
    bad_phones: int = 10
    broken_event_ext: int = 12
    # moved, with one row waiting
    ms_events: int = 9
    empty_cart_lines: int = 5
    # moved as they should be, without a word
    zero_birthdays: int = 20
    no_emails: int = 30  # signed up by phone
    doubled_settings: int = 15  # the most recent wins
    doubled_favourites: int = 10  # one product in two folders
    vanished_favourites: int = 6  # skipped
    old_events: int = 60  # rows from before the window
    # not moved
    deleted_users: int = 20
    guest_orders: int = 40  # rows
    dead_user_events: int = 25  # rows
    visitor_events: int = 50  # rows

    def scaled(self, users: int) -> Dirt:
        """Give a shop of another size its share, but at least one of each kind."""
        return Dirt(
            **{each.name: max(1, round(getattr(self, each.name) * users / _FULL_SIZE)) for each in fields(self)}
        )


#: The kinds whose users are held until a person has looked.
HOLDING: Final = (
    "shared_emails",
    "taken_email",
    "invalid_emails",
    "unknown_statuses",
    "broken_order_ext",
    "ms_last_logins",
)


@dataclass(frozen=True, slots=True)
class Planted:
    """Where the dirt is: the users of each kind that has users, ascending."""

    dirt: Dirt
    users: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def held(self) -> frozenset[int]:
        """Everybody whom no mapping may move without a person's decision."""
        return frozenset(user for kind in HOLDING for user in self.users[kind])
