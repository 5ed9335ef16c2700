"""Names go to a database in quotes, always: which words are its own depends on its kind and its version."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa


def quote_every_name(engine: sa.Engine) -> sa.Engine:
    """Let *engine* quote tables and columns whatever they are called; SQLAlchemy only does where it knows the word."""
    dialect: Any = engine.dialect

    class Quoting(dialect.preparer):  # type: ignore[misc]  # each dialect brings its own
        def quote(self, ident: str, force: Any = None) -> str:
            return str(self.quote_identifier(ident))

    dialect.preparer = Quoting
    dialect.identifier_preparer = Quoting(dialect)
    return engine


def as_value(quoted: str) -> str:
    """Give a quoted name as it is where it goes to the server as a value: in statements a % of it is written twice."""
    return quoted.replace("%%", "%")
