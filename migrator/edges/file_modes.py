"""Who may read the files of a project, as far as modes say."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

_OTHERS = 0o077


def mode_of(path: Path) -> int:
    """The mode without the kind of file; as if nobody else may where it is not there."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0


def is_open(path: Path) -> bool:
    """Whether anybody but its owner may do anything with it."""
    return bool(mode_of(path) & _OTHERS)


def readable(folder: Path) -> Iterator[Path]:
    """The files in *folder* that others may read, because all folders down to them let them in."""
    if not folder.is_dir() or not mode_of(folder) & 0o011:
        return
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        return
    for path in inside:
        if path.is_symlink():
            continue
        if path.is_dir():
            yield from readable(path)
        elif mode_of(path) & 0o044:
            yield path
