"""The project's key: seals personal values at rest, makes keyed hashes, wraps the data keys of snapshots."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from migrator.errors import KeyWrong, Refused, SettingWrong

NONCE_BYTES = 12
_KEY_BYTES = 32
_VERSION = b"\x01"


class ProjectKey:
    """One secret of 32 bytes, with a key of its own for each use."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != _KEY_BYTES:
            raise SettingWrong(f"the project key must have {_KEY_BYTES} bytes, not {len(secret)}")
        self._values = AESGCM(_derived(secret, "values"))
        self._data_keys = AESGCM(_derived(secret, "data keys"))
        self._hashes = _derived(secret, "hashes")
        self._mapping = _derived(secret, "mapping")

    def __repr__(self) -> str:
        return "ProjectKey(…)"

    @classmethod
    def create(cls, path: str | Path) -> ProjectKey:
        """Make a new key in a new file that only its owner can read; never over another."""
        secret = os.urandom(_KEY_BYTES)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise Refused(f"there is a project key at {path}; what it sealed would be lost with it") from None
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # whatever the umask took away
            file.write(base64.b64encode(secret) + b"\n")
            file.flush()
            os.fsync(descriptor)
        return cls(secret)

    @classmethod
    def load(cls, path: str | Path) -> ProjectKey:
        """
        Read the key.

        Raises:
            SettingWrong: There is no such file, others than its owner may read it, or it holds no key.
        """
        try:
            with Path(path).open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                content = file.read()
        except FileNotFoundError:
            raise SettingWrong(f"there is no project key at {path}; `migrator store upgrade` makes one") from None
        if mode & 0o077:
            raise SettingWrong(f"others can read the project key at {path}; run chmod 600 {path}")
        try:
            secret = base64.b64decode(content.strip(), validate=True)
        except binascii.Error:
            raise SettingWrong(f"the file {path} does not hold a project key") from None
        return cls(secret)

    def seal(self, text: str) -> bytes:
        """Encrypt a personal value; the same text gives other bytes each time."""
        return _VERSION + _encrypted(self._values, text.encode("utf-8", "surrogatepass"), _VERSION)

    def seal_all(self, texts: Iterable[str]) -> list[bytes]:
        """`seal` each of many."""
        encrypt, several = self._values.encrypt, list(texts)
        random = os.urandom(NONCE_BYTES * len(several))  # asked for once: a million calls are most of the time
        sealed = []
        for place, text in enumerate(several):
            nonce = random[place * NONCE_BYTES : (place + 1) * NONCE_BYTES]
            sealed.append(_VERSION + nonce + encrypt(nonce, text.encode("utf-8", "surrogatepass"), _VERSION))
        return sealed

    def open(self, blob: bytes) -> str:
        """
        Decrypt what `seal` gave.

        Raises:
            KeyWrong: It was sealed with another key, or was changed.
        """
        return _decrypted(self._values, blob[1:], bytes(blob[:1])).decode("utf-8", "surrogatepass")

    def fingerprint(self, text: str) -> str:
        """Give a keyed hash for lookup and grouping: 32 hex digits that say nothing without the key."""
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, key=self._hashes)
        return digest.hexdigest()

    def fingerprints(self, texts: Iterable[str | None]) -> list[str | None]:
        """`fingerprint` of each of many, null for null."""
        keyed, found = hashlib.blake2b(digest_size=16, key=self._hashes), list[str | None]()
        for text in texts:
            if text is None:
                found.append(None)
                continue
            hash_ = keyed.copy()
            hash_.update(text.encode("utf-8", "surrogatepass"))
            found.append(hash_.hexdigest())
        return found

    def digest(self, purpose: str, text: str) -> str:
        """Give the keyed hash (HMAC-SHA-256, hex) that mappings write; another for each purpose."""
        said = f"{len(purpose)}:{purpose}{text}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._mapping, said, "sha256").hex()

    def wrap(self, data_key: bytes, purpose: bytes) -> bytes:
        """Encrypt the key of one file, bound to *purpose*."""
        return _encrypted(self._data_keys, data_key, purpose)

    def unwrap(self, wrapped: bytes, purpose: bytes) -> bytes:
        """
        Decrypt what `wrap` gave for the same purpose.

        Raises:
            KeyWrong: Another key, another purpose, or changed bytes.
        """
        return _decrypted(self._data_keys, wrapped, purpose)


def _derived(secret: bytes, use: str) -> bytes:
    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=f"migrator {use}".encode()).derive(secret)


def _encrypted(cipher: AESGCM, content: bytes, purpose: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, content, purpose)


def _decrypted(cipher: AESGCM, blob: bytes, purpose: bytes) -> bytes:
    try:
        return cipher.decrypt(bytes(blob[:NONCE_BYTES]), bytes(blob[NONCE_BYTES:]), purpose)
    except (InvalidTag, ValueError):  # ValueError: too short to be anything
        raise KeyWrong("a sealed value does not open: it was sealed with another project key, or was changed") from None
