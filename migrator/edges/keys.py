"""The project's key: seals personal values at rest, makes keyed hashes, wraps the data keys of snapshots."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from migrator.errors import KeyWrong, Refused, SettingWrong

NONCE_BYTES = 12
_KEY_BYTES = 32
_VERSION = b"\x01"
_ENVELOPE = b"the key before"
_WRONG = "a sealed value does not open: it was sealed with another project key, or was changed"
_RESEALED = b"\x01"  # ends what an envelope holds, where sealed values went along


class ProjectKey:
    """
    One secret of 32 bytes, with a key of its own for each use.

    The secret may be changed: what is sealed, the hashes under which people are looked up and the data keys of files
    then go with the new one alone. What cannot be made again depends on the first one for ever, the *root*, which is
    kept sealed with the new one: hashes in the target and of who was erased, of tokens, the journal's chain, names in
    logs. `earlier` is the one before, as long as what it sealed is still met. `resealed`: sealed values went along when
    the secret was changed; where that was done by a version that left them alone, they are the root's.
    """

    def __init__(
        self, secret: bytes, root: bytes | None = None, earlier: bytes | None = None, *, resealed: bool = True
    ) -> None:
        if len(secret) != _KEY_BYTES:
            raise SettingWrong(f"the project key must have {_KEY_BYTES} bytes, not {len(secret)}")
        self._secret, self._root = secret, root or secret
        before = (earlier, self._root) if earlier else ()
        sealing = tuple(dict.fromkeys((secret, *before))) if resealed else (self._root,)
        self._values, *self._older = [AESGCM(_derived(one, "values")) for one in sealing]
        self._people = [_derived(one, "hashes") for one in sealing]
        self._data_keys = AESGCM(_derived(secret, "data keys"))
        self._before = earlier
        self._earlier = AESGCM(_derived(earlier, "data keys")) if earlier else None
        self._hashes = _derived(self._root, "hashes")
        self._mapping = _derived(self._root, "mapping")
        self._journal = _derived(self._root, "journal")
        self._logs = _derived(self._root, "logs")

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
        return cls.read(content, f"the file {path}")

    @classmethod
    def read(cls, content: bytes, whence: str) -> ProjectKey:
        """
        Understand a key as it is written down: base64 of 32 bytes.

        Args:
            whence: how to name in messages what it was read from.
        """
        try:
            return cls(base64.b64decode(content.strip(), validate=True))
        except (binascii.Error, SettingWrong):
            raise SettingWrong(f"{whence} does not hold a project key: base64 of {_KEY_BYTES} bytes") from None

    @property
    def id(self) -> str:
        """By which the secret is known: 16 hex digits that say nothing of it."""
        return _derived(self._secret, "id").hex()[:16]

    @property
    def knows_earlier(self) -> bool:
        """Whether files may still be wrapped with the key before it."""
        return self._before is not None

    def envelope(self, old: ProjectKey, *, wrapping: bool) -> bytes:
        """
        Seal what this key has to know of *old*, in whose place it comes: the root, and the secret while data keys are
        still wrapped with it. Of itself: what it knows already.
        """
        before = (self._before or b"") if old is self else old._secret
        return _encrypted(self._data_keys, old._root + (before if wrapping else b"") + _RESEALED, _ENVELOPE)

    def within(self, envelope: bytes) -> ProjectKey:
        """
        The same key, knowing what `envelope` sealed.

        Raises:
            KeyWrong: It is the envelope of another key.
        """
        told = _decrypted(self._data_keys, envelope, _ENVELOPE)
        root, rest = told[:_KEY_BYTES], told[_KEY_BYTES:]
        earlier = rest[:_KEY_BYTES] if len(rest) >= _KEY_BYTES else None
        resealed = earlier is not None or rest == _RESEALED  # what is under way reseals, whichever version began it
        return ProjectKey(self._secret, root, earlier, resealed=resealed)

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
        for cipher in (self._values, *self._older):
            with suppress(KeyWrong):
                return _decrypted(cipher, blob[1:], bytes(blob[:1])).decode("utf-8", "surrogatepass")
        raise KeyWrong(_WRONG)

    def seals(self, blob: bytes) -> bool:
        """Whether a value was sealed with this very key, and not with an earlier one."""
        try:
            _decrypted(self._values, blob[1:], bytes(blob[:1]))
        except KeyWrong:
            return False
        return True

    def resealed(self, blob: bytes) -> bytes:
        """
        The same value, sealed with this very key.

        Raises:
            KeyWrong: No key that is known here sealed it.
        """
        return self.seal(self.open(blob))

    def fingerprint(self, text: str) -> str:
        """Give a keyed hash for lookup and grouping: 32 hex digits that say nothing without the key."""
        return str(_printed(self._hashes, [text])[0])

    def fingerprints(self, texts: Iterable[str | None]) -> list[str | None]:
        """`fingerprint` of each of many, null for null."""
        return _printed(self._hashes, texts)

    def lookups(self, texts: Iterable[str | None]) -> list[str | None]:
        """Keyed hashes under which people are looked up, null for null: these go along when the key is changed."""
        return _printed(self._people[0], texts)

    def looked_up_by(self, text: str) -> list[str]:
        """All hashes under which a text may be found now: several, while they are being made anew."""
        return [found for key in self._people for found in _printed(key, [text]) if found is not None]

    def digest(self, purpose: str, text: str) -> str:
        """Give the keyed hash (HMAC-SHA-256, hex) that mappings write; another for each purpose."""
        said = f"{len(purpose)}:{purpose}{text}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._mapping, said, "sha256").hex()

    def sign(self, entry: bytes) -> bytes:
        """Give the keyed hash (HMAC-SHA-256) that chains an entry of the journal."""
        return hmac.digest(self._journal, entry, "sha256")

    def alias(self, user: str) -> str:
        """What a user is called in logs: always the same, and nobody can tell who it is without the key."""
        return hmac.digest(self._logs, user.encode("utf-8", "surrogatepass"), "sha256").hex()[:12]

    def wrap(self, data_key: bytes, purpose: bytes) -> bytes:
        """Encrypt the key of one file, bound to *purpose*."""
        return _encrypted(self._data_keys, data_key, purpose)

    def unwrap(self, wrapped: bytes, purpose: bytes) -> bytes:
        """
        Decrypt what `wrap` gave for the same purpose.

        Raises:
            KeyWrong: Another key, another purpose, or changed bytes.
        """
        if self._earlier is None or self.wraps(wrapped, purpose):
            return _decrypted(self._data_keys, wrapped, purpose)
        return _decrypted(self._earlier, wrapped, purpose)

    def wraps(self, wrapped: bytes, purpose: bytes) -> bool:
        """Whether a data key is wrapped with this very key, and not with an earlier one."""
        try:
            _decrypted(self._data_keys, wrapped, purpose)
        except KeyWrong:
            return False
        return True


def _printed(key: bytes, texts: Iterable[str | None]) -> list[str | None]:
    keyed, found = hashlib.blake2b(digest_size=16, key=key), list[str | None]()
    for text in texts:
        if text is None:
            found.append(None)
            continue
        hash_ = keyed.copy()
        hash_.update(text.encode("utf-8", "surrogatepass"))
        found.append(hash_.hexdigest())
    return found


def _derived(secret: bytes, use: str) -> bytes:
    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=f"migrator {use}".encode()).derive(secret)


def _encrypted(cipher: AESGCM, content: bytes, purpose: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, content, purpose)


def _decrypted(cipher: AESGCM, blob: bytes, purpose: bytes) -> bytes:
    try:
        return cipher.decrypt(bytes(blob[:NONCE_BYTES]), bytes(blob[NONCE_BYTES:]), purpose)
    except (InvalidTag, ValueError):  # ValueError: too short to be anything
        raise KeyWrong(_WRONG) from None
