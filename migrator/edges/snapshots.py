"""
Snapshots: one sealed file per batch and fence, durable before anything is written to the target.

A file is: magic · length of the wrapped data key · wrapped data key · nonce · AES-256-GCM of a zip (stored) with
`manifest.json` and one part per frame, an Arrow stream. The data key is used once; it is bound, like the content, to plan,
batch, fence and mapping set, so that a file put in another's place does not open.
"""

from __future__ import annotations

import errno
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from migrator.edges.keys import NONCE_BYTES, ProjectKey
from migrator.errors import KeyWrong, Refused, SnapshotDamaged, Transient

USER = "__user"

_MAGIC = b"MIGSNAP\x01"
_LENGTH_BYTES = 4
_MANIFEST = "manifest.json"
_PART = ".arrows"
_PARQUET_PART = ".parquet"  # as parts were written before
_FILES_PER_FOLDER = 1000


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


class Snapshots:
    """The folder of snapshots."""

    def __init__(self, root: str | Path, key: ProjectKey) -> None:
        self._root, self._key = Path(root), key

    @property
    def archive(self) -> Snapshots:
        """Where source rows are kept that were cleaned away: a folder of its own, as these do not expire."""
        return Snapshots(self._root / "archive", self._key)

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
        """
        path = self._path(ref)
        with _storage():
            _make_folder(path.parent, self._root)
            _replace(path, self._sealed(ref, _packed(manifest, frames)))
        return str(path.relative_to(self._root))

    def load(self, ref: Ref) -> Kept:
        """
        Read a snapshot.

        Raises:
            SnapshotDamaged: It is not there, was changed, or was sealed with another key or for another batch.
        """
        with _storage():
            try:
                content = self._path(ref).read_bytes()
            except FileNotFoundError:
                raise self._damaged(ref, "is not there") from None
        return _unpacked(self._opened(ref, content))

    def name(self, ref: Ref) -> str:
        """The path below the root, whether it is there or not."""
        return str(self._path(ref).relative_to(self._root))

    def delete(self, ref: Ref) -> None:
        """Remove a snapshot; one that is not there is removed already."""
        path = self._path(ref)
        with _storage():
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                _sync_folder(path.parent)

    def rewrite(self, ref: Ref, without_users: AbstractSet[str]) -> str:
        """Keep a snapshot again, under a new data key, without the rows of some users (by the column `__user`)."""
        kept = self.load(ref)
        return self.keep(
            ref, kept.manifest, {name: _without(frame, without_users) for name, frame in kept.frames.items()}
        )

    def _path(self, ref: Ref) -> Path:
        folder = f"{ref.batch // _FILES_PER_FOLDER:06d}"
        # quote leaves dots alone, and a plan named '..' must not leave the root
        return self._root / f"plan-{quote(ref.plan, safe='')}" / folder / f"{ref.batch}-{ref.fence}.snapshot"

    def _sealed(self, ref: Ref, content: bytes) -> bytes:
        data_key, nonce = AESGCM.generate_key(bit_length=256), os.urandom(NONCE_BYTES)
        wrapped = self._key.wrap(data_key, _purpose(ref))
        header = _MAGIC + len(wrapped).to_bytes(_LENGTH_BYTES) + wrapped
        try:
            return header + nonce + AESGCM(data_key).encrypt(nonce, content, _purpose(ref))
        except OverflowError:
            raise Refused(f"the snapshot of batch {ref.batch} is larger than 2 GB; make batches smaller") from None

    def _opened(self, ref: Ref, content: bytes) -> bytes:
        if not content.startswith(_MAGIC):
            raise self._damaged(ref, "is not a snapshot of this version")
        start = len(_MAGIC) + _LENGTH_BYTES
        end = start + int.from_bytes(content[len(_MAGIC) : start])
        try:
            data_key = self._key.unwrap(content[start:end], _purpose(ref))
            nonce, sealed = content[end : end + NONCE_BYTES], content[end + NONCE_BYTES :]
            return AESGCM(data_key).decrypt(nonce, sealed, _purpose(ref))
        except (KeyWrong, InvalidTag, ValueError):
            raise self._damaged(ref, "was changed, or sealed with another key or for another batch") from None

    def _damaged(self, ref: Ref, what: str) -> SnapshotDamaged:
        return SnapshotDamaged(f"the snapshot of batch {ref.batch} (fence {ref.fence}) at {self._path(ref)} {what}")


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
    """An Arrow stream, which takes half of the time that Parquet takes."""
    part = io.BytesIO()
    # newer levels write texts as views, with all texts of the frame that this one was filtered from: also erased ones
    frame.write_ipc_stream(part, compression="zstd", compat_level=pl.CompatLevel.oldest())
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


def _replace(path: Path, content: bytes) -> None:
    """Put a whole new file in place: after a crash there is the old one or the new one, never a part."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")  # of mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_folder(path.parent)


def _make_folder(folder: Path, root: Path) -> None:
    """Make *folder* and what is missing above it, each name durable in its parent, closed to others."""
    if folder.is_dir():
        return
    if folder != root:
        _make_folder(folder.parent, root)
    folder.mkdir(mode=0o700, parents=folder == root, exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _storage() -> Iterator[None]:
    """Say what the disk said: what may pass, and what somebody must change."""
    try:
        yield
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "OSError")
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EAGAIN, errno.EMFILE, errno.ENFILE):
            raise Transient(f"the snapshot folder cannot take a file now: {error.strerror} ({name})") from error
        raise Refused(f"the snapshot folder cannot be used: {error.strerror} ({name}) at {error.filename}") from error
