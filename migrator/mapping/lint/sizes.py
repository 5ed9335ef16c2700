"""A value may be larger than its column, and would go to review: W401. Silent where all live values fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from migrator.mapping import values as literals
from migrator.mapping.facts import Seen
from migrator.mapping.lint import uses
from migrator.mapping.lint.ground import Ground, place_of
from migrator.mapping.lint.types import leaves
from migrator.mapping.lint.uses import Scope, Sort
from migrator.mapping.model import From, Rule, Step
from migrator.mapping.registry import TRANSFORMS
from migrator.mapping.schema import Column, Kind

_NUMBERS = frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT})
_KEEPS = frozenset(
    {
        "trim", "collapse_spaces", "lower", "upper", "null_if", "matches", "one_of", "normalize", "strip_control",
        "repair_encoding", "unescape_html", "email",
    }
)  # fmt: skip
_HELP = "say what is to happen: truncate, round, between, or a larger column"


@dataclass(frozen=True, slots=True)
class _Size:
    """How large a value can be; None is no limit. `raw` while it is still the value of the legacy column."""

    number: bool
    length: int | None = None
    most: Decimal | None = None
    digits: int | None = None
    raw: bool = True


def check(ground: Ground) -> None:
    """Check every field of all mappings against its column."""
    for _, _, names, rule, column in uses.of_columns(ground):
        for leaf in leaves(rule):
            _check(ground, names, leaf, column)


def _check(ground: Ground, names: Scope, rule: Rule, column: Column) -> None:
    source = rule.source
    if not isinstance(source, From) or len(source.columns) != 1 or source.aggregate in ("count", "sum"):
        return
    use = names.use(source.columns[0])
    legacy = ground.legacy_column(use.tables[0], use.column) if _is_plain(use) else None
    size = _of(legacy) if legacy else None
    for step in rule.steps:
        size = _after(step, size)
    problem = _problem(size, column) if size else None
    if size is None or problem is None:
        return
    seen = ground.facts.seen(use.tables[0], use.column) if size.raw else None
    if seen is not None:
        measured = _problem(_measured(size, seen), column)
        if measured is None and seen.whole:
            return
        problem = measured or f"{problem} (none of the {seen.rows} rows looked at is too large)"
    ground.notes.add("W401", place_of(source.columns[0], rule.place), f"{column.name} {problem}", _HELP)


def _is_plain(use: uses.Use) -> bool:
    return use.sort in (Sort.COLUMN, Sort.MANY) and len(use.tables) == 1


def _of(column: Column) -> _Size | None:
    if column.kind is Kind.TEXT:
        return _Size(number=False, length=column.length)
    if column.kind is Kind.ENUM and column.values:
        return _Size(number=False, length=max(map(len, column.values)))
    if column.kind is Kind.INTEGER:
        return _Size(number=True, most=Decimal(2 ** (column.bits - 1)), digits=0)
    if column.kind is Kind.DECIMAL:
        before = None if column.precision is None else column.precision - (column.scale or 0)
        return _Size(number=True, most=None if before is None else Decimal(10) ** before, digits=column.scale)
    return _Size(number=True) if column.kind is Kind.FLOAT else None


def _after(step: Step, size: _Size | None) -> _Size | None:
    """What a step leaves of the size; None where that is not known."""
    known = TRANSFORMS.get(step.name)
    if known is None or known.check_args(step.args) is not None:
        return None  # said already
    if size is not None and step.name in _KEEPS:
        return size
    way = _WAYS.get(step.name)
    return way(step.args, size) if way else None


def _truncated(args: Any, size: _Size | None) -> _Size | None:
    shorter = args if size is None or size.length is None else min(size.length, args)
    return _Size(number=False, length=shorter, raw=False)


def _bounded(args: Any, size: _Size | None) -> _Size | None:
    bounds = [_number(bound) for bound in args]
    if size is None or not size.number or any(bound is None for bound in bounds):
        return size
    most = max(abs(bound) for bound in bounds if bound is not None)
    return replace(size, most=most + 1 if size.most is None else min(size.most, most + 1), raw=False)


def _rounded(args: Any, size: _Size | None) -> _Size | None:
    return None if size is None or not size.number else replace(size, digits=int(args["digits"]), raw=False)


def _mapped(args: Any, size: _Size | None) -> _Size | None:
    made = [literals.literal_text(value) for key, value in args.items() if not (key == "else" and value == "keep")]
    longest = max((len(text) for text in made if text is not None), default=0)
    if args.get("else") == "keep":
        return None
    return _Size(number=False, length=longest, raw=False)


_WAYS: dict[str, Callable[[Any, _Size | None], _Size | None]] = {
    "truncate": _truncated,
    "between": _bounded,
    "round": _rounded,
    "map": _mapped,
}


def _number(bound: Any) -> Decimal | None:
    return Decimal(bound) if isinstance(bound, int | Decimal) and not isinstance(bound, bool) else None


def _measured(size: _Size, seen: Seen) -> _Size:
    """The same with what the live values really need."""
    ends = [abs(number) for end in (seen.least, seen.greatest) if (number := _read(end)) is not None]
    most = max(ends, default=Decimal(0)) if size.number else None
    digits = size.digits if seen.digits is None else seen.digits
    return replace(size, length=seen.longest or 0, most=None if most is None else most + 1, digits=digits)


def _read(text: str | None) -> Decimal | None:
    try:
        return None if text is None else Decimal(text)
    except InvalidOperation:
        return None


def _problem(size: _Size, column: Column) -> str | None:
    """What may not fit; `most` is the least number above all values."""
    if column.kind is Kind.TEXT and column.length is not None and not size.number:
        if size.length is None or size.length > column.length:
            return f"takes {column.length} characters, and this may have {size.length or 'any number'}"
    elif column.kind is Kind.INTEGER and size.number:
        if size.most is None or size.most > 2 ** (column.bits - 1):
            return f"takes whole numbers of {column.bits} bits, and this may be larger"
        if size.digits is None or size.digits > 0:
            return "takes whole numbers, and this may have digits behind the point"
    elif column.kind is Kind.DECIMAL and size.number and column.precision is not None:
        return _too_precise(size, column.precision, column.scale or 0)
    return None


def _too_precise(size: _Size, precision: int, scale: int) -> str | None:
    if size.digits is None or size.digits > scale:
        return f"takes {scale} digits behind the point, and this may have {_or_any(size.digits)}"
    if size.most is None or size.most > Decimal(10) ** (precision - scale):
        return f"takes {precision - scale} digits before the point, and this may be larger"
    return None


def _or_any(digits: int | None) -> str:
    return "any number" if digits is None else str(digits)
