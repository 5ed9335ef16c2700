"""Steps that put one value in the place of another: by a list in the mapping, or by looking it up."""

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


def map_(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Put the new value for each old one; `else` says what becomes of the others, or `keep`.

    Example: {map: {1: active, 2: closed, else: unknown}} | 2 -> closed
    """
    given = inputs[0].only()
    entries = {str(old): new for old, new in args.items() if old != "else"}
    places = _places(given, list(entries))
    made = _list(list(entries.values()))
    made = Values(made.values.gather(places), made.kind)
    if places.null_count() == given.values.null_count():
        return columns.put(made, None, args["else"]) if args.get("else", "keep") != "keep" else _kept(given, made, args)
    other = places.is_null() & given.values.is_not_null()
    if "else" not in args:
        return made.fails(other, "it has no entry in map, and the map has no else")
    if args["else"] == "keep":
        return columns.choose(other, given, made)
    return columns.put(made, other, args["else"])


def _kept(given: Values, made: Values, args: dict[str, Any]) -> Values:
    """All of them have an entry; `else: keep` says the kind nevertheless."""
    return columns.alike(given, made)[1] if "else" in args else made


def _places(given: Values, old: list[str]) -> pl.Series:
    """The place of each value in the list; numbers are looked for as numbers, which saves writing them out."""
    if given.values.dtype.is_integer():
        numbers = {int(text): place for place, text in enumerate(old) if _is_plain(text)}
        if not numbers:
            return pl.Series([None], dtype=pl.Int64).new_from_index(0, len(given))
        found = pl.Series(list(numbers), dtype=pl.Int64)
        return given.values.replace_strict(found, list(numbers.values()), default=None, return_dtype=pl.Int64)
    return given.text.replace_strict(old, list(range(len(old))), default=None, return_dtype=pl.Int64)


def _is_plain(text: str) -> bool:
    return text.removeprefix("-").isdecimal() and text.isascii() and str(int(text)) == text and abs(int(text)) < 2**63


def _list(literals: list[Any]) -> Values:
    """Literals as one column, in the kind that can say them all."""
    if all(isinstance(item, str) for item in literals):
        return Values(pl.Series(literals, dtype=pl.String), Kind.TEXT)
    whole = columns.literal(literals[0])
    for item in literals[1:]:
        left, right = columns.alike(whole, columns.literal(item))
        whole = Values(left.values.append(right.values), left.kind)
    return whole


def lookup(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Look up a row of another mapping, of a reference table, or of a CSV file beside the mapping.

    Example: {lookup: {file: countries.csv, match: name, take: code}} | EIRE -> IE
    """
    if isinstance(args, dict) and "file" in args:
        return _in_file(inputs[0].text, args, env)
    if env.lookups is None:
        raise TypeError("a lookup needs the rows of a batch around it")
    if isinstance(args, dict) and "table" in args:
        return env.lookups.reference(args["table"], [args["match"]], args["take"], inputs)
    return env.lookups.parent(str(args), inputs)


def _in_file(text: pl.Series, args: dict[str, Any], env: Env) -> Values:
    header, rows = env.files[args["file"]]
    key, value = header.index(args["match"]), header.index(args["take"])
    old, new = [row[key] for row in rows], [row[value] for row in rows]
    found = text.replace_strict(old, new, default=None, return_dtype=pl.String)
    return Values(found, Kind.TEXT).fails(~text.is_in(old), f"it is not in {args['file']}")


@takes.shaped({"type": "object", "minProperties": 1, "not": {"required": ["else"], "maxProperties": 1}})
def _map_args(args: Any) -> str | None:
    good = isinstance(args, dict) and any(old != "else" for old in args)
    return None if good else "it takes a map of old values to new ones, such as {0: disabled, 1: active}"


_FILE = takes.options({"file": takes.text, "match": takes.text, "take": takes.text})
_TABLE = takes.options({"table": takes.text, "match": takes.text, "take": takes.text})


@takes.shaped({"anyOf": [{"type": "string"}, _FILE.schema, _TABLE.schema]})
def _lookup_args(args: Any) -> str | None:
    if isinstance(args, dict):
        return (_FILE if "file" in args else _TABLE)(args)
    return takes.text(args)


WORDS = (
    word(map_, _map_args, fallible=True),
    word(lookup, _lookup_args, fallible=True),
)
