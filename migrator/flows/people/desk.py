"""What it takes to answer for one user: our own memory and the key. Neither legacy nor target is opened for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrator.store.control import Control

if TYPE_CHECKING:
    from migrator.edges.keys import ProjectKey


@dataclass(frozen=True)
class Desk:
    """The control database and the project's key."""

    control: Control
    key: ProjectKey

    def __post_init__(self) -> None:
        """Whoever has both may write into the journal, which is chained with the key."""
        self.control.sign = self.key.sign
