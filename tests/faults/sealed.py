"""
Opens sealed snapshots by what is known of their format, without the product: the oracle looks whether they still tell
of somebody. It reads with Polars, so a parent that forks asks it in a child.
"""

from __future__ import annotations

import base64
import io
import json
import sqlite3
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import polars as pl
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HEAD = b"MIGSNAP\x01"
NONCE = 12


def told_of(folder: Path, words: Iterable[str]) -> Iterator[str]:
    """Which snapshots hold one of these words."""
    wanted = [word.lower() for word in words]
    secret = base64.b64decode((folder / "project.key").read_text("ascii"))
    key = AESGCM(HKDF(SHA256(), 32, salt=None, info=b"migrator data keys").derive(secret))
    with closing(sqlite3.connect(folder / "control.db", timeout=40)) as db:
        hashes = [hash_ for (hash_,) in db.execute("select hash from mapping_sets")]
    for path in sorted((folder / "snapshots").rglob("*.snapshot")):
        content = _content(path, key, hashes).lower()
        yield from (path.name for word in wanted if word in content)


def _content(path: Path, key: AESGCM, hashes: Iterable[str]) -> str:
    """All that a snapshot says, as text."""
    sealed = path.read_bytes()
    assert sealed.startswith(HEAD), f"{path.name} is no snapshot"
    start = len(HEAD) + 4
    end = start + int.from_bytes(sealed[len(HEAD) : start])
    wrapped, rest = sealed[start:end], sealed[end:]
    batch, fence = (int(one) for one in path.stem.split("-"))
    plan = path.parent.parent.name.removeprefix("plan-")
    for hash_ in hashes:
        purpose = json.dumps([plan, batch, fence, hash_]).encode()
        try:
            data_key = key.decrypt(wrapped[:NONCE], wrapped[NONCE:], purpose)
            packed = AESGCM(data_key).decrypt(rest[:NONCE], rest[NONCE:], purpose)
        except Exception:  # noqa: BLE001, S112 (sealed for another set)
            continue
        with zipfile.ZipFile(io.BytesIO(packed)) as parts:
            return "\n".join(_said(name, parts.read(name)) for name in parts.namelist())
    raise AssertionError(f"{path.name} does not open")


def _said(name: str, part: bytes) -> str:
    if name.endswith(".json"):
        return part.decode()
    return str(pl.read_ipc_stream(io.BytesIO(part)).rows())
