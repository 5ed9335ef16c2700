"""What may be shown of a value: all of it, only to who asks for it by name (sensitive), or nothing at all (a secret)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from migrator.mapping import walk
from migrator.mapping.model import From, Rule
from migrator.mapping.model import Mapping as Document

_PASSWORD = re.compile(r"passw|passphrase|pwd|(^|[_.$])pass(hash)?($|[_.])", re.IGNORECASE)
_ABOUT_IT = re.compile(r"_(at|on|date|time|until|expires|changed|count|hint)$", re.IGNORECASE)


def is_secret(path: str, rule: Rule, rules: Mapping[str, Rule]) -> bool:
    """
    Whether the value of *rule* is a password in some form, or holds one: it leaves the engine only for the target.

    Args:
        path: The field: `credentials.password`.
        rules: The vars and fields of the mapping, for `$name`.
    """
    return _any_spot(path, rule, rules, _says_password)


def is_sensitive(path: str, rule: Rule, rules: Mapping[str, Rule]) -> bool:
    """Whether a finding about *rule* keeps its value covered."""
    return _any_spot(path, rule, rules, lambda spot: spot.rule.sensitive or _says_password(spot))


def columns(mapping: Document) -> tuple[frozenset[str], frozenset[str]]:
    """List the source COLUMNs that hold secrets, and those that are sensitive, because a rule that reads them is."""
    rules = mapping.vars | mapping.fields
    spots = [spot for spot in walk.spots(mapping) if isinstance(spot.rule.source, From)]

    def read(kept: Iterable[walk.Spot]) -> frozenset[str]:
        return frozenset(str(name) for spot in kept for name in getattr(spot.rule.source, "columns", ()))

    secret = read(spot for spot in spots if is_secret(spot.path, spot.rule, rules))
    return secret, secret | read(spot for spot in spots if is_sensitive(spot.path, spot.rule, rules))


def fields(mapping: Document) -> tuple[frozenset[str], frozenset[str]]:
    """List the target columns that hold secrets, and those that are sensitive."""
    rules = mapping.vars | mapping.fields
    secret = frozenset(str(name) for name, rule in mapping.fields.items() if is_secret(name, rule, rules))
    return secret, frozenset(str(name) for name, rule in mapping.fields.items() if is_sensitive(name, rule, rules))


def _says_password(spot: walk.Spot) -> bool:
    if any(step.name == "password_hash" for step in spot.rule.steps):
        return True
    source = spot.rule.source
    if not isinstance(source, From) or source.aggregate == "count":
        return False
    return any(_PASSWORD.search(name) and not _ABOUT_IT.search(name) for name in (spot.path, *source.columns))


def _any_spot(path: str, rule: Rule, rules: Mapping[str, Rule], is_it: Callable[[walk.Spot], bool]) -> bool:
    seen: set[str] = set()
    todo = [(path, rule)]
    while todo:
        for spot in walk.within(*todo.pop()):
            if is_it(spot):
                return True
            for name in getattr(spot.rule.source, "columns", ()):
                used = str(name)[1:] if str(name).startswith("$") else ""
                if used in rules and used not in seen:
                    seen.add(used)
                    todo.append((f"${used}", rules[used]))
    return False
