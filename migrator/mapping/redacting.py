"""Personal values -> made-up ones of the same shape, the same every time; a row stays the row it was to its mapping."""

from __future__ import annotations

import hashlib
import ipaddress
import random
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from migrator.mapping import jsons, php, secrecy, uses, walk
from migrator.mapping.model import Choose
from migrator.mapping.model import Mapping as Document

#: Steps that go by the value itself: without it they would do something else.
_BY_VALUE = frozenset(
    {
        "map",
        "one_of",
        "boolean",
        "date",
        "datetime",
        "epoch",
        "lookup",
        "integer",
        "decimal",
        "multiply",
        "divide",
        "round",
        "between",
        "range",
    }
)
_DOCUMENTS = frozenset({"json", "php", "json_get"})
_DATE = re.compile(r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}([ T][0-9:.+Z-]+)?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])")
_EMAIL = re.compile(r"(?P<name>[^@\s]+)@(?P<host>[^@\s]+\.[^@\s]+)")
_TRIES = 60
_KINDS = {
    "first": ("first_name", ("firstname", "first_name", "given_name", "fname", "forename")),
    "last": ("last_name", ("lastname", "last_name", "family_name", "surname", "lname")),
    "name": ("name", ("name", "real_name", "fullname", "full_name", "display_name", "consignee", "recipient")),
    "city": ("city", ("city", "town")),
    "street": ("street_address", ("street", "address", "addr")),
}


def columns_kept(mapping: Document) -> frozenset[str]:
    """COLUMNs whose values the mapping goes by: keys of maps, dates, conditions. Sensitive ones are never among them."""
    found: set[str] = {*mapping.source.key, *mapping.source.user, *uses.predicate(mapping.source.where)}
    for spot in walk.spots(mapping):
        if any(step.name in _BY_VALUE for step in spot.rule.steps):
            found |= set(_qualified(spot))
        if isinstance(spot.rule.source, Choose):
            tests = [branch.when for branch in spot.rule.source.branches if branch.when is not None]
            found |= {name for when in tests for name in uses.predicate(when)}
    return frozenset(map(str, found)) - secrecy.columns(mapping)[1]


def columns_of_documents(mapping: Document) -> frozenset[str]:
    """COLUMNs that are read as JSON or PHP text."""
    spots = (spot for spot in walk.spots(mapping) if any(step.name in _DOCUMENTS for step in spot.rule.steps))
    return frozenset(name for spot in spots for name in _qualified(spot))


def _qualified(spot: walk.Spot) -> list[str]:
    names = [str(name) for name in getattr(spot.rule.source, "columns", ())]
    of = spot.collect.of if spot.collect is not None else None
    return names + [f"{of}.{name}" for name in names if of and "." not in name]


@dataclass
class Redactor:
    """
    Makes up values: one for each, the same for the same *seed*, whatever the order in which they come.

    Args:
        seed: a text that says nothing to who does not know it already.
        kept: COLUMNs that stay. sensitive: COLUMNs that never stay. documents: COLUMNs whose structure stays.
        only: COLUMNs beside which everything stays; None for all.
    """

    seed: str
    kept: frozenset[str] = frozenset()
    sensitive: frozenset[str] = frozenset()
    documents: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    _known: dict[str, str] = field(default_factory=dict)

    def given(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The `given` of an example without anybody in it."""
        return {name: self._value(name, value) for name, value in given.items()}

    def _value(self, name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._value(f"{name}.{key}", one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._value(name, one) for one in value]
        if name in self.kept or value is None or isinstance(value, bool) or not self._is_meant(name):
            return value
        if isinstance(value, str):
            return self._document(name, value) if name in self.documents else self.text(name, value)
        if isinstance(value, int) and name in self.sensitive:
            return int(str(value)[:1] + self._classes(str(value)[1:])) if value > 9 else value
        return value

    def _is_meant(self, name: str) -> bool:
        return self.only is None or name in self.only

    def text(self, name: str, value: str) -> str:
        """Make up one text, blanks around it as they are."""
        inner = value.strip()
        if not inner or (_DATE.fullmatch(inner) and name not in self.sensitive):
            return value
        if _DAY.match(inner):
            return value.replace(inner[:10], self._day(inner[:10]))
        known = inner.casefold()
        if known not in self._known:
            self._known[known] = self._made(name, inner)
        return value.replace(inner, _in_case_of(inner, self._known[known]))

    def _made(self, name: str, value: str) -> str:
        broken = _repaired(value)
        if broken is not None:  # what was decoded wrongly must stay so, or nothing would be repaired any more
            text, encoding = broken
            return self._classes(text).encode().decode(encoding)
        mail = _EMAIL.fullmatch(value)
        if mail:
            return f"{self._classes(mail['name'])}@example.{'com' if len(mail['host']) % 2 else 'org'}"
        if _is_address(value):
            return f"192.0.2.{self._random(value).randint(1, 254)}" if "." in value else "2001:db8::1"
        digits = sum(letter.isdigit() for letter in value)
        if 7 <= digits <= 15 and re.fullmatch(r"[+()0-9 ./-]+", value):
            return self._number(value, digits)
        return self._named(name, value) or self._classes(value)

    def _day(self, value: str) -> str:
        """Another day that is one, or another that is none."""
        chance = self._random(value)
        try:
            return (date.fromisoformat(value) + timedelta(days=chance.randint(-400, 400))).isoformat()
        except (ValueError, OverflowError):
            return f"{chance.choice('12')}{value[1:]}" if value.startswith(("1", "2")) else value

    def _number(self, value: str, digits: int) -> str:
        """The beginning of a telephone number says the country and the net; the rest says who."""
        seen, made = 0, []
        for letter, other in zip(value, self._classes(value), strict=True):
            seen += letter.isdigit()
            made.append(other if seen > digits - 4 else letter)
        return "".join(made)

    def _named(self, name: str, value: str) -> str | None:
        """A name or a place, as long as the real one, where the column says that it is one."""
        column = name.rpartition(".")[2].lower()
        kind = next((kind for kind, columns in _KINDS.values() if column in columns), None)
        if kind is None or not value.isascii() or "\n" in value:
            return None
        from faker import Faker

        fake = Faker("en_US")
        fake.seed_instance(self._random(value).randint(0, 2**63))
        make: Callable[[], str] = getattr(fake, kind)
        return next((made for _ in range(_TRIES) if len(made := make()) == len(value)), None)

    def _classes(self, value: str) -> str:
        """Letters for letters, digits for digits, everything else as it is."""
        chance = self._random(value)
        return "".join(_like(letter, chance) for letter in value)

    def _random(self, value: str) -> random.Random:
        return random.Random(hashlib.sha256(f"{self.seed}\x1f{value}".encode("utf-8", "surrogatepass")).digest())

    def _document(self, name: str, value: str) -> str:
        """The texts in a document; its keys, and lengths that count, stay."""
        try:
            if value.lstrip()[:1] in ("{", "["):
                return jsons.write(self._leaves(name, jsons.read(value)))
            return self._serialized(name, value)
        except (ValueError, RecursionError):  # it is broken, and must stay so
            return re.sub(r'"[^"]*', lambda found: self._classes(found[0]), value)

    def _leaves(self, name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._leaves(name, one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._leaves(name, one) for one in value]
        return self.text(name, value) if isinstance(value, str) else value

    def _serialized(self, name: str, value: str) -> str:
        for text in sorted(set(_texts(php.read(value))), key=len, reverse=True):
            made = self._classes(text)
            if len(made.encode()) == len(text.encode()):
                value = value.replace(f';s:{len(text.encode())}:"{text}";', f';s:{len(made.encode())}:"{made}";')
        return value


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [text for one in inner for text in _texts(one)]
    return [value] if isinstance(value, str) and value else []


def _like(letter: str, chance: random.Random) -> str:
    if letter in string.ascii_lowercase:
        return chance.choice("abcdef" if letter in "abcdef" else string.ascii_lowercase)  # hexadecimal stays so
    if letter in string.ascii_uppercase:
        return chance.choice("ABCDEF" if letter in "ABCDEF" else string.ascii_uppercase)
    if letter.isascii() and letter.isdigit():
        return chance.choice(string.digits)
    if letter.isalpha() and not letter.isascii():
        return chance.choice("äöüéñ" if letter.islower() else "ÄÖÜÉÑ" if letter.isupper() else "甲乙丙丁")
    return letter


def _in_case_of(value: str, made: str) -> str:
    """Upper and lower case as the real value had them, where one can tell."""
    if value.isupper():
        return made.upper()
    return made.lower() if value.islower() else made


def _repaired(value: str) -> tuple[str, str] | None:
    """What was meant, and how it was decoded wrongly, if it was."""
    for encoding in ("cp1252", "latin-1"):
        try:
            text = value.encode(encoding).decode()
        except UnicodeError:
            continue
        if text != value:
            return text, encoding
    return None


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True
