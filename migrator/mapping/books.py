"""The books of a mapping: where its rows went. Apart from the frames, because people ask for numbers all day."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Book:
    """What happened to the rows of one mapping; it must balance."""

    read: int = 0
    expanded: int = 0
    written: int = 0
    folded: int = 0
    filtered: int = 0
    skipped: int = 0
    review: int = 0
    blocked: int = 0

    @property
    def balanced(self) -> bool:
        """read + expanded = written + folded + filtered + skipped + review + blocked."""
        out = self.written + self.folded + self.filtered + self.skipped + self.review + self.blocked
        return self.read + self.expanded == out

    def __sub__(self, other: Book) -> Book:
        return Book(*(getattr(self, name) - getattr(other, name) for name in self.__slots__))

    def __add__(self, other: Book) -> Book:
        return Book(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))
