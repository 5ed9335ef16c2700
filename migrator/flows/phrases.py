"""Words for numbers, alike wherever they are told."""

from __future__ import annotations


def said(people: int, rows: int) -> str:
    """Users and rows of nobody in one phrase; of rows only where there are some."""
    if not rows:
        return f"{people} users"
    return f"{people} users and {rows} rows of nobody" if people else f"{rows} rows of nobody"
