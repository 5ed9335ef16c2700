"""Ids that are computed: the same legacy row has the same id in every run, on every machine, for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from uuid import NAMESPACE_URL, UUID
from uuid import uuid5 as _uuid5

import polars as pl

#: Frozen: another namespace would give every row that was ever moved another id.
NAMESPACE: UUID = _uuid5(NAMESPACE_URL, "urn:migrator:row")

#: Stands between the parts of a key. A part that holds it goes to review, so that no two keys are one text.
SEPARATOR = "\x1f"

_VARIANTS = "89ab"


def key(parts: Sequence[pl.Series]) -> pl.Series:
    """Join the canonical texts of a key's parts; null where a part is null."""
    if len(parts) == 1:
        return parts[0]
    frame = pl.DataFrame([part.alias(str(place)) for place, part in enumerate(parts)])
    return frame.select(pl.concat_str(pl.all(), separator=SEPARATOR)).to_series()


def is_broken(parts: Sequence[pl.Series]) -> pl.Series:
    """Where a part is null or holds the separator, so that no key can be made."""
    if parts and not any(part.null_count() or SEPARATOR in (part.str.join("").item() or "") for part in parts):
        return pl.Series([False], dtype=pl.Boolean).new_from_index(0, len(parts[0]))
    frame = pl.DataFrame([part.alias(str(place)) for place, part in enumerate(parts)])
    broken = pl.all().is_null() | pl.all().str.contains(SEPARATOR, literal=True)
    return frame.select(pl.any_horizontal(broken)).to_series()


def uuid5(name: str, parts: Sequence[pl.Series]) -> pl.Series:
    """
    Compute `uuid5(NAMESPACE, name + SEPARATOR + parts joined by SEPARATOR)` for each row; null where a part is null.

    Cost:
        One SHA-1 per distinct key.
    """
    keys = key(parts)
    distinct = keys.drop_nulls().unique()
    start = hashlib.sha1(NAMESPACE.bytes + f"{name}{SEPARATOR}".encode(), usedforsecurity=False)
    made = pl.Series([_made(start, text) for text in distinct.to_list()], dtype=pl.String)
    return keys.replace_strict(distinct, made, default=None, return_dtype=pl.String)


def _made(start: hashlib._Hash, text: str) -> str:
    # as uuid.uuid5, which spends three times as long on the object that is then printed
    digest = start.copy()
    digest.update(text.encode())
    h = digest.hexdigest()
    return f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{_VARIANTS[int(h[16], 16) & 3]}{h[17:20]}-{h[20:32]}"
