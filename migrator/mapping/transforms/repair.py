"""Steps that repair text. One that changes what a person reads says so with a warning."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import polars as pl

from migrator.mapping import values as columns
from migrator.mapping.environment import Env
from migrator.mapping.schema import Kind
from migrator.mapping.transforms import arguments as takes
from migrator.mapping.transforms.transform import word
from migrator.mapping.values import Values

_CONTROLS = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x{9f}]"


def normalize(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Write each character in its composed form (Unicode NFC).

    Example: normalize | 'café' -> café
    """
    given = inputs[0].text
    return Values(given.str.normalize("NFC"), Kind.TEXT)


def strip_control(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Take out NUL and control characters, not tabs and line ends; a change is a warning.

    Example: strip_control | "a\\u0000b" -> ab
    """
    given = inputs[0].text
    return _repaired(given, given.str.replace_all(_CONTROLS, ""))


def repair_encoding(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Undo text that was decoded by the wrong table (`schÃ¶n`); a change is a warning.

    Example: repair_encoding | schÃ¶n -> schön
    """
    given = inputs[0].text
    suspects = columns.is_true(given.str.contains(r"[^\x00-\x7f]"))
    if not suspects.any():
        return Values(given, Kind.TEXT)
    # fix_encoding and not fix_text, which also straightens quotes, widths and entities that are meant
    from ftfy import fix_encoding

    fixed = columns.per_distinct(columns.blank(given, ~suspects), fix_encoding)
    return _repaired(given, columns.pick(suspects & fixed.is_not_null(), fixed, given))


def unescape_html(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Turn `&amp;` and its like into characters.

    Example: unescape_html | A&amp;B -> A&B
    """
    given = inputs[0].text
    suspects = columns.is_true(given.str.contains("&", literal=True))
    if not suspects.any():
        return Values(given, Kind.TEXT)
    plain = columns.per_distinct(columns.blank(given, ~suspects), html.unescape)
    return Values(columns.pick(suspects & plain.is_not_null(), plain, given), Kind.TEXT)


def _repaired(before: pl.Series, after: pl.Series) -> Values:
    changed = columns.is_true(before != after)
    return Values(after, Kind.TEXT, changed=changed if changed.any() else None, note="repaired")


WORDS = (
    word(normalize, takes.nothing),
    word(strip_control, takes.nothing),
    word(repair_encoding, takes.nothing),
    word(unescape_html, takes.nothing),
)
