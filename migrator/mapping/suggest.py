"""What was probably meant: one near name, or the list of those there are."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

_NEAR = 0.72
_LISTED = 12
_LONGEST = 100  # letters: a longer word is no slip of the pen


def suggest(word: str, known: Iterable[str]) -> str:
    """Say the nearest of *known*, or all of them where none is near; empty when nothing is known."""
    names = sorted(set(known))
    if not names:
        return ""
    near = _nearest(word, names)
    if near is not None:
        return f'did you mean "{near}"?'
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"there is: {', '.join(names[:_LISTED])}{more}"


def _nearest(word: str, names: list[str]) -> str | None:
    """The name most like *word*, where one is like it at all."""
    if len(word) > _LONGEST:
        return None
    near, best, matcher = None, _NEAR, SequenceMatcher(None, b=word.lower())
    for name in names:
        if len(name) > _LONGEST:
            continue
        matcher.set_seq1(name.lower())
        # the first two are quick to say that it is not
        if matcher.real_quick_ratio() >= best and matcher.quick_ratio() >= best and (like := matcher.ratio()) >= best:
            if near is None or like > best:
                near = name
            best = like
    return near
