"""The rule that brings a legacy column into a target column, and what a person must still decide about it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from migrator.mapping.proposing import words, writing
from migrator.mapping.proposing.columns import Candidate
from migrator.mapping.proposing.facts import Seen
from migrator.mapping.schema import Column, Kind

MOST_WORDS = 20  # values that are still written out
_MONEY = ("total", "price", "amount", "fee", "paid", "cost", "balance")
_PERSONAL = ("email", "phone", "password", "birth", "recipient", "street", "tax", "passport")
_OF_A_NAME = ("first", "family", "real")
_NEGATIVE = ("inactive", "disabled", "suspended", "closed", "blocked", "off", "no", "hidden", "banned", "pending")
_FORMS = {
    "bcrypt": r"\$2[aby]\$.{56}",
    "md5-salted": r"(?<hash>[0-9a-f]{32}):(?<salt>[^$]+)",
    "sha256-salted": r"(?<hash>[0-9a-f]{64}):(?<salt>[^$]+)",
    "sha256": r"(?<hash>[0-9a-f]{64})",
    "sha1": r"(?<hash>[0-9a-f]{40})",
    "md5": r"(?<hash>[0-9a-f]{32})",
}


@dataclass(frozen=True, slots=True)
class Proposed:
    """One rule as values, and a question for a person (empty where there is none)."""

    rule: dict[str, Any]
    question: str = ""


def rule(wanted: Column, candidate: Candidate, beside: Sequence[Candidate] = ()) -> Proposed:
    """
    Propose the rule of one field.

    Args:
        beside: the other columns of the source; the salt of a password is one of them.
    """
    made: dict[str, Any] = {"from": candidate.ref}
    if candidate.aggregate:
        made["aggregate"] = candidate.aggregate
    steps, question, more = _steps(wanted, candidate, beside)
    made |= more
    if steps:
        made["transform"] = steps
    if not wanted.nullable:
        made["required"] = True
    if is_personal(wanted.name) or is_personal(candidate.ref):
        made["sensitive"] = True
    return Proposed(made, question)


def is_personal(name: str) -> bool:
    """Whether a name speaks of a person, so that the value is nobody's business."""
    last = name.rpartition(".")[2]
    if re.search(r"e?mail|phone|mobile|passw|pwd|id_card|passport|\bssn\b|iban", last, re.IGNORECASE):
        return True
    if words.means(last, "name") and any(words.means(last, word) for word in _OF_A_NAME):
        return True
    parts = words.words(last)
    return "ip" in parts or any(
        words.alike(part, word) >= 0.9 for part in parts for word in _PERSONAL if part != "line"
    )


def _steps(wanted: Column, candidate: Candidate, beside: Sequence[Candidate]) -> tuple[list[Any], str, dict[str, Any]]:
    seen = candidate.seen
    if wanted.kind in (Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP):
        return _moment(wanted, seen)
    if wanted.kind is Kind.ENUM:
        return _mapped(wanted, seen)
    if wanted.kind is Kind.BOOLEAN:
        return _flag(seen)
    if wanted.kind is Kind.JSON:
        return ["php" if "php" in seen.looks else "json"], "", {}
    if wanted.kind in (Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT):
        return _number(wanted, seen)
    return _text(wanted, candidate, beside)


def _moment(wanted: Column, seen: Seen) -> tuple[list[Any], str, dict[str, Any]]:
    if seen.unit:
        zero: list[Any] = [{"null_if": 0}] if wanted.nullable else []
        return [*zero, {"epoch": seen.unit}], "", {}
    if wanted.kind is Kind.DATE:
        return ["date"], "", {}
    if seen.column.kind is Kind.TIMESTAMP and not seen.looks & {"moment"}:
        return [], "", {}
    return [{"datetime": {"timezone": "UTC"}}], "? the zone these times were written in", {}


def _mapped(wanted: Column, seen: Seen) -> tuple[list[Any], str, dict[str, Any]]:
    """Values seen -> the words of the target, as far as that is certain; the rest is left open for a person."""
    found: dict[str, str] = {}
    if "flag" in seen.looks or set(seen.different) <= {"0", "1"}:
        found = _flag_words(wanted, seen)
    for value in seen.different:
        word = _nearest(value, [one for one in wanted.values if one not in found.values()])
        if word is not None and value not in found:
            found[value] = word
    left = [value for value in seen.different if value not in found]
    if len(seen.different) > MOST_WORDS:
        return [], f"? a map of {len(seen.different)} values to {', '.join(wanted.values)}", {}
    gaps = dict.fromkeys(left, writing.GAP)
    free = ", ".join(word for word in wanted.values if word not in found.values()) or "nothing is left"
    question = f"? {', '.join(left)}: {free}" if left else ""
    return ([{"map": {**found, **gaps}}] if seen.different else []), question, {}


def _flag_words(wanted: Column, seen: Seen) -> dict[str, str]:
    """`is_active` 1 is `active`; of two words the other one is 0."""
    if len(wanted.values) != 2:
        return {}
    name = words.words(seen.column.name)
    yes = [word for word in wanted.values if any(words.alike(part, word) == 1 for part in name)]
    yes = yes or [word for word in wanted.values if word not in _NEGATIVE]
    if len(yes) != 1 or not any(part in ("is", "active", "enabled", "flag") for part in name):
        return {}
    other = next(word for word in wanted.values if word != yes[0])
    return {"0": other, "1": yes[0]}


def _nearest(value: str, there: Sequence[str]) -> str | None:
    said = words.words(value)
    likely = max(there, key=lambda word: words.likeness(said, words.words(word)), default=None)
    return likely if likely is not None and said and words.likeness(said, words.words(likely)) >= 0.7 else None


def _flag(seen: Seen) -> tuple[list[Any], str, dict[str, Any]]:
    if seen.column.kind is Kind.BOOLEAN:
        return [], "", {}
    values = set(seen.different)
    yes = [value for value in seen.different if value.lower() in ("1", "y", "yes", "true", "t", "on")]
    if values <= {"0", "1", "true", "false"}:
        return ["boolean"], "", {}
    return [{"boolean": {"true": yes, "false": sorted(values - set(yes))}}], "", {}


def _number(wanted: Column, seen: Seen) -> tuple[list[Any], str, dict[str, Any]]:
    money = any(words.means(name, word) for name in (wanted.name, seen.column.name) for word in _MONEY)
    cents = wanted.kind is Kind.DECIMAL and seen.column.kind is Kind.INTEGER and money and bool(wanted.scale)
    if cents:
        return [{"divide": 100}], "? whether these are cents", {}
    if wanted.kind is Kind.INTEGER and seen.column.kind is not Kind.INTEGER:
        return (["trim"] if seen.column.kind is Kind.TEXT else []) + ["integer"], "", {}
    if wanted.kind is not Kind.INTEGER and seen.column.kind is not Kind.INTEGER:
        return (["trim"] if seen.column.kind is Kind.TEXT else []) + ["decimal"], "", {}
    return [], "", {}


def _text(wanted: Column, candidate: Candidate, beside: Sequence[Candidate]) -> tuple[list[Any], str, dict[str, Any]]:
    seen = candidate.seen
    if words.means(wanted.name, "password"):
        return _password(candidate, beside)
    if words.means(wanted.name, "email"):
        return ["trim", "lower", "email"], "", {}
    if seen.column.kind in (Kind.INTEGER, Kind.DECIMAL, Kind.BOOLEAN):
        few = "few" in seen.looks
        return [], f"? whether {', '.join(seen.different[:8])} need a map" if few else "", {}
    if seen.column.kind is not Kind.TEXT:
        return [], "", {}
    steps: list[Any] = ["trim"]
    if wanted.length and wanted.length <= 3:
        steps.append("upper")
    return steps, "", {}


def _password(candidate: Candidate, beside: Sequence[Candidate]) -> tuple[list[Any], str, dict[str, Any]]:
    seen = candidate.seen
    salt = next((one for one in beside if "salt" in one.words and not one.seen.empty), None)
    if salt is not None:
        return (
            [{"password_hash": {"scheme": "md5-salted"}}],
            "? how the old shop hashed",
            {"from": [candidate.ref, salt.ref]},
        )
    forms = {
        name: shape for name, shape in _FORMS.items() if any(_matches(shape, text) for text in seen.different[:50])
    }
    if not forms or "bcrypt" in forms:
        return [], "? how passwords were hashed, and password_hash", {}
    return [{"password_hash": {"forms": forms}}], "? whether these are all forms", {}


def _matches(shape: str, text: str) -> bool:
    return re.fullmatch(shape.replace("(?<", "(?P<"), text) is not None
