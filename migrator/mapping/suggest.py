"""What was probably meant: one near name, or the list of those there are."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

_NEAR = 0.72
_LISTED = 12


def suggest(word: str, known: Iterable[str]) -> str:
    """Say the nearest of *known*, or all of them where none is near; empty when nothing is known."""
    names = sorted(set(known))
    if not names:
        return ""
    near = max(names, key=lambda name: _likeness(word, name))
    if _likeness(word, near) >= _NEAR:
        return f'did you mean "{near}"?'
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"there is: {', '.join(names[:_LISTED])}{more}"


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one.lower(), other.lower()).ratio()
