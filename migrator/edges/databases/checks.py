"""CHECK constraints that list the values of one column: `status in ('active', 'closed')` as each database prints it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from migrator.mapping.schema import Column

_NAME = r"[\"`\[]?(?P<column>\w+)[\"`\]]?"
_CAST = r"(?:::[\w ]+(?:\(\d+\))?(?:\[\])?)?"
_LISTED = re.compile(
    rf"\(*{_NAME}\)*{_CAST}\s*(?:\bin\s*\(|=\s*any\s*\(\(?array\[)(?P<values>.*?)\]?\)*{_CAST}\)*",
    re.IGNORECASE | re.DOTALL,
)
_ONE = re.compile(rf"\s*\(*(?:_\w+)?(?P<value>'(?:[^'\\]|''|\\.)*'|-?\d+(?:\.\d+)?)\)*{_CAST}\s*(?:,|$)")


def with_allowed(columns: dict[str, Column], checks: Iterable[str]) -> dict[str, Column]:
    """Return *columns*, each knowing the values that one of *checks* (the texts of constraints) lists for it."""
    for sql in checks:
        found = allowed(sql)
        if found is not None and found[0] in columns:
            name, values = found
            columns = {**columns, name: replace(columns[name], allowed=values)}
    return columns


def allowed(sql: str) -> tuple[str, tuple[str, ...]] | None:
    """Read a constraint as (column, its values); None where it says anything else."""
    listed = _LISTED.fullmatch(sql.strip())
    if listed is None:
        return None
    values, rest = [], listed["values"]
    while rest:
        one = _ONE.match(rest)
        if one is None:
            return None
        values.append(_plain(one["value"]))
        rest = rest[one.end() :]
    return listed["column"], tuple(values)


def _plain(value: str) -> str:
    if not value.startswith("'"):
        return value
    return re.sub(r"''|\\(.)", lambda found: found[1] or "'", value[1:-1])
