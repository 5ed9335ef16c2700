"""
The stable hash that decides who is early: the same for ever, in every process and on every machine.

Salted by run and by purpose, so that two splits of the same users are independent. The algorithm is stored with a
plan as `ALGORITHM`; a change here would be a new name, never another result under the old one.
"""

from __future__ import annotations

import hashlib
import heapq
import struct
import unicodedata
from collections.abc import Iterable

import polars as pl

ALGORITHM = "m1"
BUCKETS = 10_000


def bucket(salt: str, purpose: str, uid: str | int) -> int:
    """Give the user's number from 0 to 9999; 100 of them are one percent."""
    return place(salt, purpose, uid) * BUCKETS >> 64


def buckets(salt: str, purpose: str, uids: Iterable[str | int]) -> list[int]:
    """Give the number of each user, in the order given. About a microsecond each."""
    return [h * BUCKETS >> 64 for h in places(salt, purpose, uids)]


def place(salt: str, purpose: str, uid: str | int) -> int:
    """Give the user's place on the ring of 2**64: what `bucket` cuts into pieces and `ranked` sorts by."""
    return places(salt, purpose, [uid])[0]


def places(salt: str, purpose: str, uids: Iterable[str | int]) -> list[int]:
    """Give the place of each user, in the order given."""
    prefix = hashlib.sha256(f"{ALGORITHM}\x1f{salt}\x1f{purpose}\x1f".encode())
    heads = []
    for uid in uids:
        digest = prefix.copy()  # the prefix is hashed once, not once per user
        # most keys are plain: for a million of them it counts that no function is called
        digest.update(uid.encode() if uid.__class__ is str and uid and uid.isascii() else _canonical(uid))
        heads.append(digest.digest()[:8])
    return list(struct.unpack(f">{len(heads)}Q", b"".join(heads)))


def ranked(salt: str, purpose: str, uids: Iterable[str]) -> list[str]:
    """Sort users by place, those of one place by key: cut anywhere, a wider cut contains a narrower one."""
    users = list(uids)
    place = pl.Series("place", places(salt, purpose, users), dtype=pl.UInt64)
    return pl.DataFrame([place, pl.Series("user", users, dtype=pl.String)]).sort("place", "user")["user"].to_list()


def first(salt: str, purpose: str, uids: Iterable[str], count: int) -> list[str]:
    """Give the first *count* of `ranked`, without sorting the others."""
    users = list(uids)
    if count >= len(users):
        return ranked(salt, purpose, users)
    placed = zip(places(salt, purpose, users), users, strict=True)
    return [user for _, user in heapq.nsmallest(count, placed)]


def _canonical(uid: str | int) -> bytes:
    # A missing id hashed to some number would put everybody without one into the same bucket: refuse.
    if isinstance(uid, bool) or not isinstance(uid, str | int) or uid == "":
        raise ValueError(f"a user id is a text or an integer, not {type(uid).__name__} {uid!r}")
    text = str(uid)
    return (text if text.isascii() else unicodedata.normalize("NFC", text)).encode()
