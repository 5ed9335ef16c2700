"""How wide a wave is, and what it moves."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """How wide a wave is."""

    PILOT = "pilot"
    GRAY = "gray"
    FULL = "full"
    NOBODY = "nobody"  # rows that belong to no user, each its own owner: always the last wave

    @property
    def units(self) -> str:
        """What the waves of this stage move."""
        return "rows of nobody" if self is Stage.NOBODY else "users"
