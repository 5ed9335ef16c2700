"""What an operator proves himself with: the file in which he keeps it, and that no child of ours gets it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from migrator.errors import SettingWrong

PROOFS = ("MIGRATOR_TOKEN", "MIGRATOR_TOKEN_FILE", "MIGRATOR_SECURITY_TOKEN", "MIGRATOR_SECURITY_TOKEN_FILE")


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Give a child our environment without the proof: it is a service, or works for whom its parent was let in for."""
    ours = {name: value for name, value in os.environ.items() if name not in PROOFS}
    return {**ours, **environment}


def read(path: Path) -> str:
    """
    Read a token.

    Raises:
        SettingWrong: There is no such file, others than its owner may read it, or it is empty.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        raise SettingWrong(
            f"there is no token file {path}; MIGRATOR_TOKEN_FILE or [security] token_file names it"
        ) from None
    if mode & 0o077:
        raise SettingWrong(f"others can read the token file {path}; run chmod 600 {path}")
    if not text:
        raise SettingWrong(f"the token file {path} is empty")
    return text
