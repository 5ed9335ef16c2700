"""
Snapshots: one sealed file per batch and fence, durable before anything is written to the target.

A file is: magic · length of the wrapped data key · wrapped data key · nonce · AES-256-GCM of a zip (stored) with
`manifest.json` and one part per frame, an Arrow stream. The data key is used once; it is bound, like the content, to plan,
batch, fence and mapping set, so that a file put in another's place does not open.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import polars as pl
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from migrator.edges.keys import NONCE_BYTES, ProjectKey
from migrator.edges.shelves import Folder, Shelf
from migrator.errors import KeyWrong, Refused, SnapshotDamaged

USER = "__user"

_MAGIC = b"MIGSNAP\x01"
_LENGTH_BYTES = 4
_MANIFEST = "manifest.json"
_PART = ".arrows"
_PARQUET_PART = ".parquet"  # as parts were written before
_FILES_PER_FOLDER = 1000
_NAME = re.compile(r"plan-([^/]+)/\d+/(\d+)-(\d+)\.snapshot")
_ARCHIVE = "archive"
_CARRIED = "carried"
_PROBE = "doctor.probe"


@dataclass(frozen=True, slots=True)
class Ref:
    """Which snapshot: the valid one is that whose batch and fence the ledger names."""

    plan: str
    batch: int
    fence: int
    set_hash: str


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What a snapshot holds."""

    manifest: dict[str, Any]
    frames: dict[str, pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Found:
    """A snapshot as it lies there, whether anybody knows of it or not."""

    plan: str
    batch: int
    fence: int
    size: int
    at: datetime

    def ref(self, set_hash: str) -> Ref:
        """Name it; with which mappings it was made is known elsewhere."""
        return Ref(self.plan, self.batch, self.fence, set_hash)


class Snapshots:
    """All snapshots of a project, in a folder or on another shelf."""

    def __init__(self, root: str | Path | Shelf, key: ProjectKey) -> None:
        self._shelf: Shelf = Folder(Path(root)) if isinstance(root, str | Path) else root
        self._key = key

    @property
    def archive(self) -> Snapshots:
        """Where source rows are kept that were cleaned away: a folder of its own, as these do not expire."""
        return Snapshots(self._shelf.below(_ARCHIVE), self._key)

    @property
    def carried(self) -> Snapshots:
        """Where it is kept what the new system had changed when users went back: by the number of the carry as fence."""
        return Snapshots(self._shelf.below(_CARRIED), self._key)

    def keep(self, ref: Ref, manifest: Mapping[str, Any], frames: Mapping[str, pl.DataFrame]) -> str:
        """
        Write a snapshot; it is on the disk when this returns. A snapshot kept again replaces the first as a whole.

        Args:
            manifest: JSON; no personal values.
            frames: By names such as `source/accounts`, `before/orders`, `rows/orders`.

        Returns:
            The path below the root.

        Raises:
            Transient: The disk is full.
            Unreachable: The store is away.
        """
        name = self.name(ref)
        self._shelf.put(name, self._sealed(ref, _packed(manifest, frames)))
        return name

    def load(self, ref: Ref) -> Kept:
        """
        Read a snapshot.

        Raises:
            SnapshotDamaged: It is not there, was changed, or was sealed with another key or for another batch.
        """
        return _unpacked(self._opened(ref, self._content(ref)))

    def name(self, ref: Ref) -> str:
        """The path below the root, whether it is there or not."""
        folder = f"{ref.batch // _FILES_PER_FOLDER:06d}"
        # quote leaves dots alone, and a plan named '..' must not leave the root
        return f"plan-{quote(ref.plan, safe='')}/{folder}/{ref.batch}-{ref.fence}.snapshot"

    def delete(self, ref: Ref) -> None:
        """Remove a snapshot; one that is not there is removed already."""
        self._shelf.delete(self.name(ref))

    def is_there(self, ref: Ref) -> bool:
        """Whether something lies under its name."""
        return self._shelf.get(self.name(ref)) is not None

    def where(self, ref: Ref) -> str:
        """How a person finds it."""
        return self._shelf.where(self.name(ref))

    def there(self) -> Iterator[Found]:
        """All that lie there, the archive aside."""
        for item in self._shelf.items(""):
            if named := _NAME.fullmatch(item.name):
                yield Found(unquote(named[1]), int(named[2]), int(named[3]), item.size, item.at)

    def try_out(self) -> None:
        """Put something there, read it and remove it; Refused or Unreachable where that cannot be done."""
        content = os.urandom(NONCE_BYTES)
        self._shelf.put(_PROBE, content)
        there = self._shelf.get(_PROBE)
        self._shelf.delete(_PROBE)
        if there != content:
            raise Refused(
                f"what was put at {self._shelf.where(_PROBE)} is not what is there; two projects share the place?"
            )

    def rewrite(self, ref: Ref, without_users: AbstractSet[str]) -> str:
        """Keep a snapshot again, under a new data key, without the rows of some users (by the column `__user`)."""
        kept = self.load(ref)
        return self.keep(
            ref, kept.manifest, {name: _without(frame, without_users) for name, frame in kept.frames.items()}
        )

    def rewrap(self, ref: Ref, old: ProjectKey) -> bool:
        """
        Wrap the data key of a snapshot with this project key, where it is wrapped with *old*; False where it was done.

        The content stays as it is.
        """
        content = self._content(ref)
        wrapped, sealed = self._apart(ref, content)
        if self._key.wraps(wrapped, _purpose(ref)):
            return False
        try:
            data_key = old.unwrap(wrapped, _purpose(ref))
        except KeyWrong:
            raise self._damaged(ref, _WRONG) from None
        self._shelf.put(self.name(ref), _headed(self._key.wrap(data_key, _purpose(ref))) + sealed)
        return True

    def _content(self, ref: Ref) -> bytes:
        content = self._shelf.get(self.name(ref))
        if content is None:
            raise self._damaged(ref, "is not there")
        return content

    def _sealed(self, ref: Ref, content: bytes) -> bytes:
        data_key, nonce = AESGCM.generate_key(bit_length=256), os.urandom(NONCE_BYTES)
        header = _headed(self._key.wrap(data_key, _purpose(ref)))
        try:
            return header + nonce + AESGCM(data_key).encrypt(nonce, content, _purpose(ref))
        except OverflowError:
            raise Refused(f"the snapshot of batch {ref.batch} is larger than 2 GB; make batches smaller") from None

    def _opened(self, ref: Ref, content: bytes) -> bytes:
        wrapped, sealed = self._apart(ref, content)
        try:
            data_key = self._key.unwrap(wrapped, _purpose(ref))
            return AESGCM(data_key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _purpose(ref))
        except (KeyWrong, InvalidTag, ValueError):
            raise self._damaged(ref, _WRONG) from None

    def _apart(self, ref: Ref, content: bytes) -> tuple[bytes, bytes]:
        """The wrapped data key, and what it seals."""
        if not content.startswith(_MAGIC):
            raise self._damaged(ref, "is not a snapshot of this version")
        start = len(_MAGIC) + _LENGTH_BYTES
        end = start + int.from_bytes(content[len(_MAGIC) : start])
        return content[start:end], content[end:]

    def _damaged(self, ref: Ref, what: str) -> SnapshotDamaged:
        return SnapshotDamaged(f"the snapshot of batch {ref.batch} (fence {ref.fence}) at {self.where(ref)} {what}")


_WRONG = "was changed, or sealed with another key or for another batch"


def _headed(wrapped: bytes) -> bytes:
    return _MAGIC + len(wrapped).to_bytes(_LENGTH_BYTES) + wrapped


def _purpose(ref: Ref) -> bytes:
    return json.dumps([ref.plan, ref.batch, ref.fence, ref.set_hash]).encode()


def _packed(manifest: Mapping[str, Any], frames: Mapping[str, pl.DataFrame]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as parts:
        parts.writestr(_MANIFEST, json.dumps(manifest, ensure_ascii=False))
        for name, frame in frames.items():
            parts.writestr(name + _PART, _streamed(frame))
    return packed.getvalue()


def _streamed(frame: pl.DataFrame) -> bytes:
    """
    An Arrow stream, which takes half of the time that Parquet takes.

    Of a clone, which shares the data and has a lock of its own: Polars writes to our buffer with the frame locked and the
    interpreter released, and whoever else looks at the very same frame meanwhile stops both for ever.
    """
    part = io.BytesIO()
    # newer levels write texts as views, with all texts of the frame that this one was filtered from: also erased ones
    frame.clone().write_ipc_stream(part, compression="zstd", compat_level=pl.CompatLevel.oldest())
    return part.getvalue()


def _unpacked(content: bytes) -> Kept:
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        frames = dict(_read(name, parts.read(name)) for name in parts.namelist() if name != _MANIFEST)
        return Kept(json.loads(parts.read(_MANIFEST)), frames)


def _read(name: str, part: bytes) -> tuple[str, pl.DataFrame]:
    if name.endswith(_PARQUET_PART):
        return name.removesuffix(_PARQUET_PART), pl.read_parquet(io.BytesIO(part))
    return name.removesuffix(_PART), pl.read_ipc_stream(io.BytesIO(part))


def _without(frame: pl.DataFrame, users: AbstractSet[str]) -> pl.DataFrame:
    if USER not in frame.columns:
        return frame
    return frame.filter(~pl.col(USER).is_in(pl.Series(sorted(users), dtype=pl.String).implode()).fill_null(False))
