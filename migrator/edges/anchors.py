"""
Where the head of the journal is written down beside the database: whoever cuts off its end cannot reach this, or not unseen.

One line of JSON per anchor, only ever added to. A copy of the file on another machine, or its lines in a mail, are worth
more than the file: who can write here can also take lines out.
"""

from __future__ import annotations

import json
import logging
import os
from datetime import datetime
from pathlib import Path

from migrator.errors import WrongInput

log = logging.getLogger("migrator.journal")
_FIELDS = {"at": str, "seq": int, "hash": str, "why": str}


class Anchors:
    """The file of anchors of one project."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, at: datetime, seq: int, hash_: str, why: str) -> bool:
        """
        Write down one head, durably; whether it could be written.

        What was anchored has happened already: a disk that is full must not undo it, so it is told and goes on.
        """
        said = {"at": at.isoformat(timespec="seconds").replace("+00:00", "Z"), "seq": seq, "hash": hash_, "why": why}
        line = json.dumps(said).encode() + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(file, line)  # in one piece: several processes add to it
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as trouble:
            log.warning("the head of the journal could not be written to %s: %s", self.path, trouble.strerror)
            return False
        return True

    def read(self) -> list[dict[str, object]]:
        """
        All anchors (at, seq, hash, why), oldest first.

        Raises:
            WrongInput: naming every line that is no anchor, or two that contradict each other.
        """
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            raise WrongInput(f"there is no file of anchors {self.path}") from None
        except (OSError, UnicodeDecodeError) as wrong:
            raise WrongInput(f"{self.path}: not a file of anchors: {type(wrong).__name__}") from None
        found, problems, hashes = [], [], dict[object, object]()
        for number, line in enumerate(lines, start=1):
            anchor = _anchor(line)
            if anchor is None:
                problems.append(f"{self.path}:{number}: not an anchor")
                continue
            if hashes.setdefault(anchor["seq"], anchor["hash"]) != anchor["hash"]:
                problems.append(f"{self.path}:{number}: names another entry {anchor['seq']} than a line before it")
            found.append(anchor)
        if problems:
            raise WrongInput("\n".join(problems))
        return found


def _anchor(line: str) -> dict[str, object] | None:
    try:
        said = json.loads(line)
    except ValueError:
        return None
    if not isinstance(said, dict) or any(not isinstance(said.get(name), kind) for name, kind in _FIELDS.items()):
        return None
    return {name: said[name] for name in _FIELDS}
