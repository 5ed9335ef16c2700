"""Steps on secrets: keyed hashes, and password hashes. Nothing is hashed slowly: 38 ms a user has no place in the copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from migrator.errors import WrongInput
from migrator.mapping import passwords
from migrator.mapping import values as columns
from migrator.mapping.environment import Env
from migrator.mapping.schema import Kind
from migrator.mapping.transforms import arguments as takes
from migrator.mapping.transforms.transform import word
from migrator.mapping.values import Values

_DETECT = ("auto", "detect")


def hash_(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Write a keyed hash of the text (HMAC-SHA-256, 64 hex digits): the same in every run of a project, and no way back.

    Example: {hash: sha256} | ann -> '23f19920e2fa3217bb85457b7dd4cde0b08e7c90f567c40cd9ed01a90e76b858'
    """
    keyed = env.context.keyed
    if keyed is None:
        raise WrongInput("the step hash needs the project's key, and there is none here")
    purpose = args["sha256"] if isinstance(args, dict) else ""
    return Values(columns.per_distinct(inputs[0].text, lambda text: keyed(purpose, text)), Kind.TEXT)


def password_hash(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Carry a hash over as `$legacy$SCHEME$SALT$HASH`; an unknown form fails or, with `on_unsupported: reset`, asks for a reset.

    Example: password_hash | '5f4dcc3b5aa765d61d8327deb882cf99:k3' -> '$legacy$md5-salted$k3$5f4dcc3b5aa765d61d8327deb882cf99'
    """
    options = args if isinstance(args, dict) else {}
    given = inputs[0].text
    if "scheme" in options and options["scheme"] not in _DETECT:
        made = _by_scheme(inputs, options["scheme"])
    elif "forms" in options:
        made = _by_form(given, options["forms"])
    else:
        made = _by_form(_with_salt(inputs), passwords.known())
    unknown = given.is_not_null() & made.is_null()
    if options.get("on_unsupported") != "reset":
        return Values(made, Kind.TEXT).fails(unknown, "the form of the hash is not known")
    told = columns.pick(unknown, pl.Series([passwords.RESET]).new_from_index(0, len(made)), made)
    return Values(told, Kind.TEXT, changed=unknown if unknown.any() else None, note="must set a new password")


def _with_salt(inputs: Sequence[Values]) -> pl.Series:
    """A digest with its salt from a second column is written as legacy systems write both in one."""
    given = inputs[0].text
    if len(inputs) == 1:
        return given
    salt = inputs[1].text.fill_null("")
    digest = columns.is_true(given.str.contains(r"\A[0-9a-fA-F]+\z"))
    return columns.pick(digest & (salt != ""), given + ":" + salt, given)


def _by_form(given: pl.Series, forms: Mapping[str, str]) -> pl.Series:
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
    count = passwords.DIGESTS[scheme.partition("-")[0]]
    known = columns.is_true(digest.str.contains(rf"\A[0-9a-fA-F]{{{count}}}\z"))
    salt = inputs[1].text if len(inputs) > 1 else None
    return columns.blank(_tagged(scheme, salt, digest), ~known)


def _tagged(scheme: str, salt: pl.Series | None, digest: pl.Series) -> pl.Series:
    if salt is None:
        return f"$legacy${scheme}$$" + digest
    plain = salt.fill_null("")
    return columns.blank(f"$legacy${scheme}$" + plain + "$" + digest, plain.str.contains("$", literal=True))


_PASSWORD = takes.options(
    scheme=takes.text,
    forms=takes.shaped({"type": "object", "minProperties": 1})(lambda args: _forms(args)),
    on_unsupported=takes.choice("review", "reset"),
)


@takes.shaped({"anyOf": [{"type": "null"}, {"enum": [*_DETECT]}, _PASSWORD.schema]})
def _password_args(args: Any) -> str | None:
    if args is None or (isinstance(args, str) and args in _DETECT):
        return None
    wrong = _PASSWORD(args)
    if wrong:
        return wrong
    if "scheme" in args and "forms" in args:
        return "it takes either scheme or forms"
    scheme = args.get("scheme", "auto")
    if scheme not in _DETECT and ("$" in scheme or scheme.partition("-")[0] not in passwords.DIGESTS):
        return f"scheme: it is auto, or begins with one of {', '.join(passwords.DIGESTS)}, such as md5-salted"
    return None


def _forms(args: Any) -> str | None:
    if not isinstance(args, dict) or not args:
        return "it is a map of names to patterns"
    for name, pattern in args.items():
        if "$" in name or name == "reset":
            return f'"{name}" is no name for a form: "reset" and names with $ are taken'
        wrong = takes.regex(pattern)
        if wrong:
            return f"{name}: {wrong}"
        if "(?<hash>" not in pattern and "(?P<hash>" not in pattern:
            return f"{name}: the pattern needs a group (?<hash>…)"
    return None


_HASH_ARGS = takes.either(takes.options({"sha256": takes.text}), takes.choice("sha256"))

WORDS = (
    word(hash_, _HASH_ARGS),
    word(password_hash, _password_args, fallible=True, many=True),
)
