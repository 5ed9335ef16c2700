"""Names with `*` in them: which of the ignored matches what."""

from __future__ import annotations

import re
from collections.abc import Iterable


def matches(pattern: str, name: str) -> bool:
    """Whether *pattern*, in which `*` stands for any text, is *name*."""
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), name, re.DOTALL) is not None


def any_match(pattern: str, names: Iterable[str]) -> bool:
    """Whether *pattern* stands for at least one of *names*."""
    return any(matches(pattern, name) for name in names)
