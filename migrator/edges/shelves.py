"""
Where snapshots lie: a folder here, or anything that fsspec has a URL for, such as `s3://bucket/prefix`.

What `put` was given is there when it returns, whole: in a folder after fsync, elsewhere after the store was asked what it
has. Names are paths below the root, with slashes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from migrator.crashpoints import crash_point
from migrator.errors import MigratorError, Refused, SettingWrong, Transient, Unreachable

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EAGAIN, errno.EMFILE, errno.ENFILE)
#: Names of what libraries of object stores raise when nobody answers; none of them need be installed.
_AWAY = re.compile(
    r"Timeout|Connection|Connector|EndpointConnection|HTTPClient|ServerDisconnected|ClientOSError|Payload"
)
_MD5 = re.compile(r"[0-9a-f]{32}")
_SECRET = re.compile(r"secret|token|password|^key$|access_key|account_key|sas", re.IGNORECASE)
_PASSING = (errno.EBUSY, errno.EIO, getattr(errno, "EREMOTEIO", errno.EIO), errno.EAGAIN)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing on a shelf: its name, how large it is, when it was put there."""

    name: str
    size: int
    at: datetime


class Shelf(Protocol):
    """Keeps bytes by name."""

    def put(self, name: str, content: bytes) -> None:
        """Keep *content*; what was there under this name is replaced as a whole. It is durable when this returns."""

    def get(self, name: str) -> bytes | None:
        """What is there; None where nothing is."""

    def delete(self, name: str) -> None:
        """Remove it with all that the store keeps of it; what is not there is removed already."""

    def items(self, below: str) -> Iterator[Item]:
        """All that lies in the folder *below* and in its folders, in order of names."""

    def where(self, name: str) -> str:
        """How a person finds it."""

    def below(self, folder: str) -> Shelf:
        """The same shelf, from one of its folders on."""


def shelf(url: str, options: Mapping[str, Any]) -> Shelf:
    """
    Open the place that a URL names.

    Args:
        options: For the file system that fsspec opens: endpoint, region, profile. Never a secret.

    Raises:
        SettingWrong: a secret among the options, or a store that forgets.
    """
    scheme, _, rest = url.partition("://")
    if not rest or scheme == "file":
        return Folder(Path(rest or url))
    named = [name for name in options if _SECRET.search(name)]
    if named:
        raise SettingWrong(
            f"[snapshots] options: {', '.join(named)} is a secret; give it in the environment as the store's own tools "
            "take it (AWS_SECRET_ACCESS_KEY), or by a profile or role"
        )
    if scheme == "memory":
        raise SettingWrong(
            "[snapshots] url: memory:// forgets everything; name a folder or a store such as s3://bucket/prefix"
        )
    return Store(url, options)


class Folder:
    """A folder on a disk. Files are replaced, never written over, and closed to others."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, content: bytes) -> None:
        """After a crash there is the old file or the new one, never a part."""
        path = self._root / name
        with self._told():
            _make_folder(path.parent, self._root)
            _replace(path, content)

    def get(self, name: str) -> bytes | None:
        """Read a file."""
        with self._told():
            try:
                return (self._root / name).read_bytes()
            except FileNotFoundError:
                return None

    def delete(self, name: str) -> None:
        """Remove a file; the folder says so for good when this returns."""
        path = self._root / name
        with self._told():
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                _sync_folder(path.parent)

    def items(self, below: str) -> Iterator[Item]:
        """All files; parts of writes that were cut off are none."""
        with self._told():
            for folder, folders, files in os.walk(self._root / below):
                folders.sort()
                for file in sorted(files):
                    path = Path(folder, file)
                    if file.startswith("."):
                        continue
                    about = path.stat()
                    at = datetime.fromtimestamp(about.st_mtime, UTC)
                    yield Item(path.relative_to(self._root).as_posix(), about.st_size, at)

    def where(self, name: str) -> str:
        """Its path."""
        return str(self._root / name)

    def below(self, folder: str) -> Folder:
        """One of its folders."""
        return Folder(self._root / folder)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say what the disk said: what may pass, and what somebody must change."""
        try:
            yield
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "OSError")
            if error.errno in _FULL:
                raise Transient(f"the snapshot folder cannot take a file now: {error.strerror} ({name})") from error
            raise Refused(
                f"the snapshot folder cannot be used: {error.strerror} ({name}) at {error.filename}"
            ) from error


class Store:
    """A store of objects under a URL. It is opened when it is first needed: its libraries take half a second."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url, self._options = url.rstrip("/"), dict(options)

    def put(self, name: str, content: bytes) -> None:
        """Keep *content*, then ask the store what it has: its size and its hash, or else all of it."""
        with self._told(name):
            self._files.pipe_file(self._path(name), content)
            crash_point("snapshot-in-place")
            about = (
                self._files.info(self._path(name), refresh=True) if self._is_s3 else self._files.info(self._path(name))
            )
            tag = str(about.get("ETag") or "").strip('"')
            same = about.get("size") == len(content)
            if same and not (_MD5.fullmatch(tag) and tag == hashlib.md5(content, usedforsecurity=False).hexdigest()):
                # in several parts, or sealed by the store: the tag says nothing of what is there
                same = self._files.cat_file(self._path(name)) == content
        if not same:
            raise Transient(f"{self.where(name)} is not what was put there; it is put there again")
        self._forget_versions(name)

    def get(self, name: str) -> bytes | None:
        """Read an object."""
        with self._told(name):
            try:
                return bytes(self._files.cat_file(self._path(name)))
            except FileNotFoundError:
                self._require_bucket()
                return None

    def delete(self, name: str) -> None:
        """Remove an object, and all its versions where the bucket keeps some."""
        with self._told(name), suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))
        self._forget_versions(name)

    def items(self, below: str) -> Iterator[Item]:
        """All objects, asked for anew."""
        with self._told(below):
            self._files.invalidate_cache()
            try:
                found = self._files.find(self._path(below), detail=True)
            except FileNotFoundError:
                found = {}
            for path in sorted(found):
                at = found[path].get("LastModified") or found[path].get("mtime") or datetime.now(UTC)
                yield Item(path.removeprefix(self._root).lstrip("/"), int(found[path]["size"]), at)

    def where(self, name: str) -> str:
        """Its URL."""
        return f"{self._url}/{name}"

    def below(self, folder: str) -> Store:
        """The same, with a longer prefix."""
        return Store(f"{self._url}/{folder}", self._options)

    @property
    def _is_s3(self) -> bool:
        return self._url.startswith(("s3://", "s3a://"))

    @cached_property
    def _files(self) -> Any:
        import fsspec

        scheme = self._url.partition("://")[0]
        more: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
        if self._is_s3:
            # nobody is waited for longer than a lease lives
            more["config_kwargs"] = {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 1}}
        try:
            files = fsspec.filesystem(scheme, **more | self._options)
        except (ImportError, ValueError) as missing:
            need = "install it with pip install 'migrator[s3]'" if self._is_s3 else str(missing)
            raise SettingWrong(f"[snapshots] url: {scheme}:// cannot be opened here: {need}") from missing
        if self._is_s3:
            files.retries = 1  # the batch is tried again itself
        return files

    @cached_property
    def _root(self) -> str:
        return str(self._files._strip_protocol(self._url))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _require_bucket(self) -> None:
        """A bucket that is not there is no snapshot that is not there."""
        self._files.ls(self._root.partition("/")[0], refresh=True) if self._is_s3 else None

    @cached_property
    def _keeps_versions(self) -> bool:
        return bool(self._is_s3 and self._files.is_bucket_versioned(self._root.partition("/")[0]))

    def _forget_versions(self, name: str) -> None:
        """What a bucket with versions still has of a snapshot that was replaced or removed can be read: it goes, too."""
        with self._told(name):
            if not self._keeps_versions:
                return
            bucket, _, key = self._path(name).partition("/")
            found = self._files.call_s3("list_object_versions", Bucket=bucket, Prefix=key)
            for one in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]:
                if one["Key"] == key and not (one["IsLatest"] and "Size" in one):
                    self._files.call_s3("delete_object", Bucket=bucket, Key=key, VersionId=one["VersionId"])

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """Say what the store said: that it is away, that it may pass, or what somebody must change."""
        try:
            yield
        except MigratorError:
            raise
        except Exception as error:
            raise self._meaning(name, error) from error

    def _meaning(self, name: str, error: Exception) -> MigratorError:
        cause = error.__cause__ or error
        kind, where = type(cause).__name__, self.where(name)
        response = getattr(cause, "response", None)
        code = str(response["Error"].get("Code", "")) if isinstance(response, dict) and "Error" in response else ""
        if not code and (isinstance(error, ConnectionError | TimeoutError) or _AWAY.search(kind)):
            return Unreachable(f"the store of snapshots does not answer ({kind}) at {where}")
        if code in ("SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "503", "500", "502", "504"):
            return Unreachable(f"the store of snapshots is not ready now ({code}) at {where}")
        if isinstance(error, OSError) and error.errno in _PASSING and not code:
            return Transient(f"the store of snapshots cannot do it now ({kind}) at {where}")
        said = {"FileNotFoundError": "there is no such bucket or folder", "PermissionError": "access was denied"}
        why = said.get(type(error).__name__, code or kind)
        return Refused(
            f"the store of snapshots refuses: {why} ({code or kind}) at {where}; look at [snapshots] url and its rights"
        )


def _replace(path: Path, content: bytes) -> None:
    """Put a whole new file in place: after a crash there is the old one or the new one, never a part."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")  # of mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            crash_point("snapshot-written")
            os.fsync(file.fileno())
        crash_point("snapshot-synced")
        os.replace(temporary, path)
        crash_point("snapshot-in-place")
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
