"""The sequence behind a PostgreSQL column: owned by it (serial, identity) or named in its default."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from typing import Any, Self

import sqlalchemy as sa

from migrator.errors import Refused


@dataclass(frozen=True, slots=True)
class Sequence:
    """One sequence, drawn from in bulk. What was drawn never comes again, whatever becomes of the transaction."""

    connection: sa.Connection
    oid: int

    @classmethod
    def of(cls, connection: sa.Connection, namespace: str | None, table: str, column: str) -> Self:
        """
        Find what counts a column.

        Raises:
            Refused: nothing does.
        """
        oid = connection.execute(_of_column(namespace, str(table), str(column))).scalars().first()
        if oid is None:
            raise Refused(f"no sequence counts {table}.{column}; make it an identity column, or use another id")
        return cls(connection, int(oid))

    def draw(self, count: int) -> list[int]:
        """The next numbers, as they come."""
        drawn = self._drawing(count)
        return [int(number) for number in self.connection.execute(sa.select(drawn.c.number)).scalars()]

    def pass_by(self, count: int) -> None:
        """Draw numbers that are for nobody."""
        if count > 0:
            drawn = self._drawing(count)
            self.connection.execute(sa.select(sa.func.count(drawn.c.number)))

    def _drawing(self, count: int) -> sa.Subquery:
        number = sa.func.nextval(sa.cast(sa.literal(self.oid), _Regclass()))
        series = sa.func.generate_series(1, count).table_valued("n")
        return sa.select(number.label("number")).select_from(series).subquery("drawn")


def names(connection: sa.Connection, namespace: str | None, tables: SequenceOf[str]) -> list[str]:
    """Every sequence that counts a column of *tables*, as SQL names it: quoted, and with its schema where needed."""
    columns = sa.inspect(connection)
    found = set()
    for table in tables:
        for column in columns.get_columns(table, schema=namespace or "public"):
            if column.get("default") or column.get("identity"):
                found |= set(connection.execute(_of_column(namespace, str(table), column["name"])).scalars())
    named = (sa.select(sa.cast(sa.cast(sa.literal(oid), _Regclass()), sa.Text)) for oid in found)
    return sorted(str(connection.execute(name).scalar_one()) for name in named)


class _Regclass(sa.types.UserDefinedType[object]):
    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "regclass"


def _of_column(namespace: str | None, table: str, column: str) -> sa.CompoundSelect[Any]:
    """A sequence that depends on the column (serial, identity), or one that the column's default names."""
    depends = _catalog("pg_depend", "classid", "objid", "refclassid", "refobjid", "refobjsubid")
    relations, defaults = _oid_of("pg_class"), _oid_of("pg_attrdef")
    attribute = _attribute(namespace, table, column)
    counter = _catalog("pg_class", "oid", "relkind").alias("counter")
    counts = counter.c.relkind == "S"
    owned = (
        sa.select(counter.c.oid)
        .select_from(attribute.join(depends, depends.c.refobjid == attribute.c.attrelid))
        .join(counter, sa.and_(counter.c.oid == depends.c.objid, counts))
        .where(depends.c.classid == relations, depends.c.refclassid == relations)
        .where(depends.c.refobjsubid == attribute.c.attnum)
    )
    default = _catalog("pg_attrdef", "oid", "adrelid", "adnum")
    its = sa.and_(default.c.adrelid == attribute.c.attrelid, default.c.adnum == attribute.c.attnum)
    named = (
        sa.select(counter.c.oid)
        .select_from(attribute.join(default, its).join(depends, depends.c.objid == default.c.oid))
        .join(counter, sa.and_(counter.c.oid == depends.c.refobjid, counts))
        .where(depends.c.classid == defaults, depends.c.refclassid == relations)
    )
    return sa.union_all(owned, named)


def _attribute(namespace: str | None, table: str, column: str) -> sa.Subquery:
    relation = _catalog("pg_class", "oid", "relname", "relnamespace")
    schema = _catalog("pg_namespace", "oid", "nspname")
    attribute = _catalog("pg_attribute", "attrelid", "attname", "attnum")
    return (
        sa.select(attribute.c.attrelid, attribute.c.attnum)
        .select_from(attribute.join(relation, relation.c.oid == attribute.c.attrelid))
        .join(schema, schema.c.oid == relation.c.relnamespace)
        .where(schema.c.nspname == (namespace or "public"), relation.c.relname == table, attribute.c.attname == column)
        .subquery("attribute")
    )


def _catalog(name: str, *columns: str) -> sa.TableClause:
    return sa.table(name, *(sa.column(column) for column in columns), schema="pg_catalog")


def _oid_of(name: str) -> sa.ColumnElement[int]:
    return sa.cast(sa.cast(sa.literal(f"pg_catalog.{name}"), _Regclass()), sa.types.BigInteger)
