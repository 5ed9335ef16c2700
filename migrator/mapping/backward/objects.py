"""A JSON object taken apart into the values of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from migrator.mapping import jsons
from migrator.mapping import values as columns
from migrator.mapping.schema import Kind
from migrator.mapping.values import Values

_KINDS = (Kind.INTEGER, Kind.DECIMAL, Kind.BOOLEAN, Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP)


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """`texts`: per name the JSON text of the part, null where there is none; `unknown`: where there are other names."""

    texts: dict[str, pl.Series]
    unknown: pl.Series


def parts(documents: pl.Series, names: Sequence[str]) -> Parts:
    """
    Take *documents* apart.

    Cost:
        One parse per distinct document.
    """
    distinct = documents.drop_nulls().unique()
    known = [_known(text) for text in distinct.to_list()]
    texts = {name: _gathered(documents, distinct, [_text(one, name) for one in known]) for name in names}
    others = [not isinstance(one, dict) or bool(one.keys() - set(names)) for one in known]
    unknown = documents.replace_strict(
        distinct, pl.Series(others, dtype=pl.Boolean), default=True, return_dtype=pl.Boolean
    )
    return Parts(texts, columns.is_true(unknown) | documents.is_null())


def _known(text: str) -> Any:
    try:
        return jsons.read(text)
    except (ValueError, RecursionError):
        return None


def _text(document: Any, name: str) -> str | None:
    value = document.get(name) if isinstance(document, dict) else None
    return None if value is None else jsons.write(value)


def _gathered(documents: pl.Series, distinct: pl.Series, made: list[str | None]) -> pl.Series:
    values = pl.Series(made, dtype=pl.String)
    return documents.replace_strict(distinct, values, default=None, return_dtype=pl.String)


def like(texts: pl.Series, made: Values) -> Values:
    """Parts as values: documents where the rule makes documents, else what JSON says plainly."""
    if made.kind is Kind.JSON:
        return Values(texts, Kind.JSON)
    return Values(columns.per_distinct(texts, _plain), Kind.TEXT)


def _plain(text: str) -> str | None:
    value = jsons.read(text)
    return text if isinstance(value, dict | list) else columns.literal_text(value)
