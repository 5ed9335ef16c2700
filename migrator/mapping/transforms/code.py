"""The step that calls the project's own code. Whatever a function does to one value, the others go on."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl

from migrator.errors import WrongInput
from migrator.mapping import jsons, moments
from migrator.mapping import values as columns
from migrator.mapping.custom import Function
from migrator.mapping.environment import Env
from migrator.mapping.schema import Kind
from migrator.mapping.transforms import arguments as takes
from migrator.mapping.transforms.numbers import boolean, whole_numbers
from migrator.mapping.transforms.structures import json
from migrator.mapping.transforms.transform import word
from migrator.mapping.values import Values

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_KINDS: dict[type, Kind] = {
    str: Kind.TEXT,
    int: Kind.INTEGER,
    Decimal: Kind.DECIMAL,
    bool: Kind.BOOLEAN,
    date: Kind.DATE,
    datetime: Kind.TIMESTAMP,
    dict: Kind.JSON,
    list: Kind.JSON,
}


def call(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Run a function of the project's own code, once per distinct value; a value for which it raises fails.

    Example: {call: 'names:title'} | ann lee -> Ann Lee
    """
    function = env.functions.get(str(args))
    if function is None:
        raise WrongInput(f"there is no function {args} beside the mappings; run migrator mapping lint")
    if len(function.takes) != len(inputs):
        raise WrongInput(f"{args} takes {len(function.takes)} column(s), and gets {len(inputs)}")
    given = [_typed(values, kind, env) for values, kind in zip(inputs, function.takes, strict=True)]
    frame = pl.DataFrame([series.alias(str(place)) for place, series in enumerate(given)])
    unread = _any([had.values.is_not_null() & got.is_null() for had, got in zip(inputs, given, strict=True)])
    asked = frame.with_row_index("row").filter(_any([series.is_not_null() for series in given]) & ~unread)
    values, wrong = _answers(function, asked, len(unread))
    notes = columns.pick(unread, pl.Series(["it is of another type than the function takes"]), wrong)
    return Values(values, _KINDS[function.gives]).fails(notes.is_not_null(), notes)


def _any(masks: Sequence[pl.Series]) -> pl.Series:
    frame = pl.DataFrame([mask.alias(str(place)) for place, mask in enumerate(masks)])
    return frame.select(pl.any_horizontal(pl.all())).to_series()


def _typed(values: Values, kind: type, env: Env) -> pl.Series:
    """What the function gets of a column; null where it is not of the type that it takes."""
    if kind is str:
        return values.text
    if kind is int:
        return whole_numbers(values)
    if kind is Decimal:
        return columns.numbers(values)
    if kind is bool:
        if values.kind is Kind.BOOLEAN:
            return boolean((values,), None, env).values
        return pl.Series([None], dtype=pl.Boolean).new_from_index(0, len(values))
    if kind in (dict, list):
        return columns.per_distinct(json((values,), None, env).values, lambda text: _only(text, kind))
    return moments.parse(values.text, _KINDS[kind])


def _only(text: str, kind: type) -> str | None:
    return text if isinstance(jsons.read(text), kind) else None


def _answers(function: Function, asked: pl.DataFrame, height: int) -> tuple[pl.Series, pl.Series]:
    """What the function says to each row that asks it, and what was wrong with it."""
    columns_ = asked.columns[1:]
    distinct = asked.select(columns_)
    places = pl.int_range(asked.height, eager=True)
    if function.pure:
        distinct = distinct.unique(maintain_order=True)
        numbered = distinct.with_row_index("place")
        places = asked.join(numbered, on=columns_, how="left", nulls_equal=True, maintain_order="left")["place"]
    told = [
        _checked(value, wrong, function.gives) for value, wrong in _run(function, lambda: _values(function, distinct))
    ]
    values = pl.Series([value for value, _ in told], dtype=columns.dtype_of(_KINDS[function.gives]))
    wrong = pl.Series([wrong for _, wrong in told], dtype=pl.String)
    return _spread(values, places, asked["row"], height), _spread(wrong, places, asked["row"], height)


def _spread(said: pl.Series, places: pl.Series, rows: pl.Series, height: int) -> pl.Series:
    nothing = pl.Series([None], dtype=said.dtype).new_from_index(0, height)
    return nothing.scatter(rows, said.gather(places)) if len(rows) else nothing


def _values(function: Function, frame: pl.DataFrame) -> list[Any]:
    """The values as Python's, new ones each time: a function may change what it gets."""
    read = [jsons.read if kind in (dict, list) else None for kind in function.takes]
    rows = [
        tuple(how(value) if how and value is not None else value for how, value in zip(read, row, strict=True))
        for row in frame.rows()
    ]
    return [row[0] for row in rows] if len(read) == 1 else list(rows)


def _run(function: Function, values: Callable[[], list[Any]]) -> list[tuple[Any, str | None]]:
    """Ask for all values at once; where that fails, for each alone, so that one bad value does not spoil the others."""
    count = len(values())
    if not count:
        return []
    try:
        made = function.run(values())
    except Exception:  # noqa: BLE001 - it is asked again for each value alone, and then the exception is told
        made = None
    if isinstance(made, list) and len(made) == count:
        return [(value, None) for value in made]
    return [_alone(function, value) for value in values()]


def _alone(function: Function, value: Any) -> tuple[Any, str | None]:
    try:
        made = function.run([value])
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is this value's affair
        return None, f"the function raised {type(exc).__name__}"
    if not isinstance(made, list) or len(made) != 1:
        return None, "the function gave no list as long as the one it got"
    return made[0], None


def _checked(value: Any, wrong: str | None, kind: type) -> tuple[Any, str | None]:
    if wrong is not None or value is None:
        return None, wrong
    if type(value) is not kind:
        return None, f"the function gave {type(value).__name__} where it promised {kind.__name__}"
    try:
        return _HELD[kind](value), None
    except (ValueError, ArithmeticError, RecursionError):
        return None, f"the function gave a {kind.__name__} that cannot be held exactly"


def _text(value: str) -> str:
    value.encode()  # half of a surrogate pair is no text
    return value


def _whole(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise ArithmeticError("too large")
    return value


def _number(value: Decimal) -> Decimal:
    if columns.literal(value).kind is not Kind.DECIMAL:
        raise ArithmeticError("too many digits")
    return value


def _instant(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time without a zone is no instant")
    return value.astimezone(UTC)


def _tree(value: Any) -> str:
    if not _is_json(value):
        raise ValueError("it holds what JSON cannot say")
    return _text(jsons.write(value))


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(item) for key, item in value.items())
    if isinstance(value, list):
        return all(_is_json(item) for item in value)
    return value is None or isinstance(value, str | int) or (isinstance(value, Decimal) and value.is_finite())


_HELD: dict[type, Callable[[Any], Any]] = {
    str: _text,
    int: _whole,
    Decimal: _number,
    bool: bool,
    date: lambda value: value,
    datetime: _instant,
    dict: _tree,
    list: _tree,
}


@takes.shaped({"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$"})
def _name(args: Any) -> str | None:
    good = isinstance(args, str) and _NAME.fullmatch(args)
    return (
        None if good else "it takes the name of a function, such as names:title (title in names.py beside the mappings)"
    )


WORDS = (word(call, _name, fallible=True, many=True),)
