"""Steps on password hashes. Nothing is hashed again: 38 ms a user has no place in the copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from migrator.mapping import values as columns
from migrator.mapping.environment import Env
from migrator.mapping.schema import Kind
from migrator.mapping.transforms import arguments as takes
from migrator.mapping.transforms.transform import word
from migrator.mapping.values import Values

_DIGITS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}


def password_hash(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """Carry a hash over as `$legacy$SCHEME$SALT$HASH`; a form that is not known fails, or is null (`reset`)."""
    given = inputs[0].text
    made = _by_scheme(inputs, args["scheme"]) if "scheme" in args else _by_form(given, args["forms"])
    unknown = given.is_not_null() & made.is_null()
    if args.get("on_unsupported") == "reset":
        return Values(made, Kind.TEXT, changed=unknown if unknown.any() else None, note="must set a new password")
    return Values(made, Kind.TEXT).fails(unknown, "the form of the hash is not known")


def _by_form(given: pl.Series, forms: dict[str, str]) -> pl.Series:
    made = pl.Series([None], dtype=pl.String).new_from_index(0, len(given))
    done = pl.Series([False]).new_from_index(0, len(given))
    for scheme, pattern in forms.items():
        whole = rf"\A(?:{pattern})\z"
        fits = columns.is_true(given.str.contains(whole)) & ~done
        done = done | fits  # the first form that fits decides, even where its salt cannot be carried
        if fits.any():
            groups = given.str.extract_groups(whole).struct
            salt = groups.field("salt") if "salt" in groups.fields else None
            made = columns.pick(fits, _tagged(scheme, salt, groups.field("hash")), made)
    return made


def _by_scheme(inputs: Sequence[Values], scheme: str) -> pl.Series:
    digest = inputs[0].text
    count = _DIGITS[scheme.partition("-")[0]]
    known = columns.is_true(digest.str.contains(rf"\A[0-9a-fA-F]{{{count}}}\z"))
    salt = inputs[1].text if len(inputs) > 1 else None
    return columns.blank(_tagged(scheme, salt, digest), ~known)


def _tagged(scheme: str, salt: pl.Series | None, digest: pl.Series) -> pl.Series:
    if salt is None:
        return f"$legacy${scheme}$$" + digest
    plain = salt.fill_null("")
    return columns.blank(f"$legacy${scheme}$" + plain + "$" + digest, plain.str.contains("$", literal=True))


def _hash_args(args: Any) -> str | None:
    wrong = takes.options(scheme=takes.text, forms=_forms, on_unsupported=takes.choice("reset"))(args)
    if wrong:
        return wrong
    if ("scheme" in args) == ("forms" in args):
        return "it needs either scheme or forms"
    if "scheme" in args and args["scheme"].partition("-")[0] not in _DIGITS:
        return f"scheme: it begins with one of {', '.join(_DIGITS)}, such as md5-salted; for others write forms"
    return None


def _forms(args: Any) -> str | None:
    if not isinstance(args, dict) or not args:
        return "it is a map of names to patterns"
    for name, pattern in args.items():
        if "$" in name:
            return f'the name "{name}" may hold no $'
        wrong = takes.regex(pattern)
        if wrong:
            return f"{name}: {wrong}"
        if "(?<hash>" not in pattern and "(?P<hash>" not in pattern:
            return f"{name}: the pattern needs a group (?<hash>…)"
    return None


WORDS = (word(password_hash, _hash_args, fallible=True, many=True),)
