"""Writes each message into a folder as an .eml file that any mail program opens. For trials and demonstrations."""

from __future__ import annotations

import os
import re
from pathlib import Path

from migrator.edges.senders.base import Outgoing, compose
from migrator.errors import Refused, Transient

NAME = re.compile(r"[A-Za-z0-9_-]{1,120}")


class FileSender:
    """One file per message, whole or not at all, readable by its owner only."""

    repeatable = True  # the same message is the same file

    def __init__(self, folder: str | Path, from_: str) -> None:
        self.folder, self.from_ = Path(folder), from_

    def send(self, message: Outgoing) -> None:
        """Write `ID.eml`; a message that is there already is replaced by its equal."""
        if not NAME.fullmatch(message.id):
            raise Refused("the id of a notice is no file name; nothing was written")
        written = compose(message, self.from_)
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._put(self.folder / f"{message.id}.eml", written)
        except OSError as exc:
            raise Transient(f"cannot write a notice to {self.folder}: {exc.strerror or exc}") from exc

    def close(self) -> None:
        """Nothing is kept open."""

    def _put(self, path: Path, written: bytes) -> None:
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(written)
        part.replace(path)
