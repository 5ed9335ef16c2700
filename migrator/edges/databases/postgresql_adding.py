"""
How new rows can be put into one PostgreSQL table: its catalog says, in the transaction that puts them there.

The server looks up each reference of each row by a statement of its own, which is more than half of what a row of a
child table costs. Where nothing but these lookups hangs on the table, and our account may set
`session_replication_role` (as tools of replication do), the references are looked up and locked together instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
import psycopg
import sqlalchemy as sa

from migrator.edges.databases.postgresql_statements import at_once
from migrator.mapping.schema import Column, ForeignKey, Kind, Table

#: Kinds whose equal frame values are equal in the database, and the other way round.
_PLAIN = frozenset({Kind.INTEGER, Kind.TEXT, Kind.UUID})
_PADDED = ("char(", "character(", "bpchar")
_SETS_PRIVILEGES = 150000  # from this version on who is no superuser may be allowed to set one parameter

_MANNER = """
    SELECT row_security_active(c.oid) AS secured,
           c.relkind = 'r' AND NOT c.relhassubclass AND m.amname IS NOT DISTINCT FROM 'heap' AS ordinary,
           pg_relation_size(c.oid) / CAST(current_setting('block_size') AS bigint) AS blocks,
           NOT c.relispartition AND NOT EXISTS (
               SELECT 1 FROM pg_catalog.pg_trigger t LEFT JOIN pg_catalog.pg_constraint k ON k.oid = t.tgconstraint
               WHERE t.tgrelid = c.oid
                 AND (NOT t.tgisinternal OR t.tgenabled <> 'O' OR k.contype IS DISTINCT FROM 'f')
           ) AS bare
    FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_am m ON m.oid = c.relam
    WHERE c.oid = CAST(%(name)s AS regclass)
    """
_REFERENCES = """
    SELECT CAST(ARRAY(SELECT a.attname FROM unnest(f.conkey) WITH ORDINALITY k(n, p)
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.n ORDER BY k.p) AS text[]),
           CAST(p.relname AS text),
           CAST(ARRAY(SELECT a.attname FROM unnest(f.confkey) WITH ORDINALITY k(n, p)
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.n ORDER BY k.p) AS text[]),
           f.confmatchtype = 's' AND NOT f.condeferrable AND p.relnamespace = f.connamespace AND p.relkind IN ('r', 'p')
           AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_operator o
                           WHERE o.oid = ANY (f.conpfeqop) AND o.oprname <> '=')
           AND NOT row_security_active(p.oid)
           AND has_table_privilege(p.oid, 'SELECT') AND has_any_column_privilege(p.oid, 'UPDATE')
    FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class p ON p.oid = f.confrelid
    WHERE f.conrelid = CAST(%(name)s AS regclass) AND f.contype = 'f'
    """
_IS_SUPERUSER = sa.text("SELECT current_setting('is_superuser') = 'on'")
_MAY_SET = sa.text("SELECT has_parameter_privilege('session_replication_role', 'SET')")


@dataclass(frozen=True, slots=True)
class Manner:
    """
    How new rows may be put into a table.

    `copied`: by COPY; where row security holds it cannot be. `blocks`: from which one on new rows lie, if that can be
    told. `references`: those to be looked up together; None leaves each row to the server.
    """

    copied: bool
    blocks: int | None
    references: tuple[ForeignKey, ...] | None


def manner(driver: psycopg.Connection[Any], locking: str, name: str, *, may_spare: bool) -> Manner:
    """
    Look at the table *name* (as a literal of regclass), once *locking* keeps its definition as it is.

    Args: may_spare: whether `may_spare_lookups`.
    """
    with at_once(driver):
        driver.execute(locking, {"none": None})  # with parameters %% is %, as elsewhere
        looked = driver.execute(_MANNER, {"name": name})
        pointing = driver.execute(_REFERENCES, {"name": name})
    secured, ordinary, blocks, bare = looked.fetchone() or (True, False, 0, False)
    every, references = pointing.fetchall(), None
    if may_spare and ordinary and bare and all(together for *_, together in every):
        references = tuple(ForeignKey(tuple(ours), table, tuple(theirs)) for ours, table, theirs, _ in every)
    return Manner(not secured, int(blocks) if ordinary else None, references)


def may_spare_lookups(connection: sa.Connection, server_version: int) -> bool:
    """Whether our account may switch the server's own lookups off for a moment."""
    asked = _MAY_SET if server_version >= _SETS_PRIVILEGES else _IS_SUPERUSER
    return bool(connection.execute(asked).scalar_one())


def without_known(keys: pl.DataFrame, known: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Leave out what is among the *known* rows of *table*, where that can be seen without the database."""
    if any(not _is_told(keys[name], known, table.columns[name]) for name in keys.columns):
        return keys
    return keys.join(known.select(keys.columns), on=keys.columns, how="anti")


def _is_told(keys: pl.Series, known: pl.DataFrame, column: Column) -> bool:
    return (
        keys.name in known.columns
        and keys.dtype == known.schema[keys.name]
        and column.kind in _PLAIN
        and not column.declared.startswith(_PADDED)
    )
