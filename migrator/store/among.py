"""Many values in one question: as one parameter, where a parameter each would cost more than the question."""

from __future__ import annotations

import json
from collections.abc import Iterable

import sqlalchemy as sa


def among(db: sa.Connection, column: sa.Column[str], values: Iterable[str]) -> sa.ColumnElement[bool]:
    """Hold where the text *column* is one of *values*."""
    wanted = sorted(values)
    if db.dialect.name == "sqlite":
        return column.in_(sa.select(sa.func.json_each(json.dumps(wanted)).table_valued("value").c.value))
    from sqlalchemy.dialects import postgresql  # late: its import is a tenth of the start of `user show`

    return column == sa.func.any(sa.cast(sa.literal(wanted, postgresql.ARRAY(sa.Text)), postgresql.ARRAY(sa.Text)))
