"""The few PostgreSQL statements that SQLAlchemy has no words for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement, Select
from sqlalchemy.sql.base import Executable


class CopyOut(Executable, ClauseElement):
    """COPY the rows of a SELECT to us as CSV."""

    inherit_cache = False

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement


class CopyIn(Executable, ClauseElement):
    """COPY into *columns* of *relation* what we send: CSV, or lines of values with *between* between them."""

    inherit_cache = False

    def __init__(self, relation: sa.FromClause, columns: Sequence[str], between: str = "") -> None:
        self.relation, self.columns, self.between = relation, columns, between


class LockTable(Executable, ClauseElement):
    """Keep the definition of *relation* as it is, as a write does."""

    inherit_cache = False

    def __init__(self, relation: sa.TableClause) -> None:
        self.relation = relation


class Stage(Executable, ClauseElement):
    """Create a temporary table whose columns are like those of a SELECT; it goes with the transaction."""

    inherit_cache = False

    def __init__(self, relation: sa.TableClause, like: Select[Any]) -> None:
        self.relation, self.like = relation, like


class OverridingSelect(Select[Any]):
    """A SELECT behind INSERT whose values also count for GENERATED ALWAYS AS IDENTITY."""

    inherit_cache = False


class Named(sa.types.UserDefinedType[object]):
    """A type by the name the server gives it."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: object) -> str:
        """Name the type."""
        return self.name


def at_once(driver: psycopg.Connection[Any]) -> AbstractContextManager[Any]:
    """Several statements in one message, where the server's library can."""
    return driver.pipeline() if psycopg.Pipeline.is_supported() else nullcontext()


def setting(values: Mapping[str, str]) -> Select[Any]:
    """SET LOCAL, of several at once."""
    calls = (sa.func.set_config(name, value, True) for name, value in values.items())
    return sa.select(*(call.label(f"set_{number}") for number, call in enumerate(calls)))


@compiles(CopyOut)
def _copy_out(element: CopyOut, compiler: Any, **options: Any) -> str:
    rows: str = compiler.process(element.statement, **options)
    return "COPY (" + rows + ") TO STDOUT (FORMAT csv, ENCODING 'UTF8')"


@compiles(CopyIn)
def _copy_in(element: CopyIn, compiler: Any, **options: Any) -> str:
    columns = ", ".join(map(compiler.preparer.quote, element.columns))
    into: str = compiler.preparer.format_table(element.relation)
    form = "text, DELIMITER " + compiler.render_literal_value(element.between, sa.Text()) if element.between else "csv"
    return "COPY " + into + " (" + columns + ") FROM STDIN (FORMAT " + form + ", ENCODING 'UTF8')"


@compiles(LockTable)
def _lock_table(element: LockTable, compiler: Any, **options: Any) -> str:
    name: str = compiler.preparer.format_table(element.relation)
    return "LOCK TABLE " + name + " IN ROW EXCLUSIVE MODE"


@compiles(Stage)
def _stage(element: Stage, compiler: Any, **options: Any) -> str:
    name: str = compiler.preparer.format_table(element.relation)
    like: str = compiler.process(element.like, **options)
    return "CREATE TEMPORARY TABLE " + name + " ON COMMIT DROP AS " + like + " WITH NO DATA"


@compiles(OverridingSelect)
def _overriding(element: OverridingSelect, compiler: Any, **options: Any) -> str:
    return "OVERRIDING SYSTEM VALUE " + str(compiler.visit_select(element, **options))
