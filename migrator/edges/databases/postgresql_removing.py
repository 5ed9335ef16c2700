"""
How rows can be taken out of one PostgreSQL table: its catalog says, in the transaction that takes them out.

The server looks for rows that point at a removed one by a statement of its own, for each row and each table that may
point at it, which is nearly all that their removal costs. Where nothing but these lookups hangs on the table, and our
account may set `session_replication_role`, they are looked for together instead, once the rows are gone: whoever has
added such a row held a lock on the one that it points at, so that we have waited for his end, and a statement after that
sees what he did; whoever comes later finds nothing to point at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from migrator.edges.databases.postgresql_statements import at_once

_IS_FREE = """
    SELECT c.relkind = 'r' AND NOT c.relhassubclass AND NOT c.relispartition AND NOT c.relhasrules AND NOT EXISTS (
               SELECT 1 FROM pg_catalog.pg_trigger t LEFT JOIN pg_catalog.pg_constraint k ON k.oid = t.tgconstraint
               WHERE t.tgrelid = c.oid
                 AND (NOT t.tgisinternal OR t.tgenabled <> 'O' OR k.contype IS DISTINCT FROM 'f'))
    FROM pg_catalog.pg_class c WHERE c.oid = CAST(%(name)s AS regclass)
    """
_POINTERS = """
    SELECT CAST(f.conname AS text), CAST(p.relname AS text),
           CAST(ARRAY(SELECT a.attname FROM unnest(f.conkey) WITH ORDINALITY k(n, p)
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.n ORDER BY k.p) AS text[]),
           CAST(ARRAY(SELECT a.attname FROM unnest(f.confkey) WITH ORDINALITY k(n, p)
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.n ORDER BY k.p) AS text[]),
           NOT f.condeferrable AND p.relnamespace = c.relnamespace AND p.relkind IN ('r', 'p')
           AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_operator o
                           WHERE o.oid = ANY (f.conpfeqop) AND o.oprname <> '=')
           AND NOT row_security_active(p.oid) AND has_table_privilege(p.oid, 'SELECT')
    FROM pg_catalog.pg_constraint f
    JOIN pg_catalog.pg_class p ON p.oid = f.conrelid JOIN pg_catalog.pg_class c ON c.oid = f.confrelid
    WHERE f.confrelid = CAST(%(name)s AS regclass) AND f.contype = 'f' AND f.conparentid = 0
    """


@dataclass(frozen=True, slots=True)
class Pointer:
    """A foreign key of *table* that points here: its *columns* at our *references*."""

    constraint: str
    table: str
    columns: tuple[str, ...]
    references: tuple[str, ...]


def pointers(driver: psycopg.Connection[Any], locking: str, name: str) -> tuple[Pointer, ...]:
    """
    Who may point at rows of the table *name* (as a literal of regclass), once *locking* keeps its definition as it is.

    Nobody, too, where that is for the server to look after, row by row.
    """
    with at_once(driver):
        driver.execute(locking, {"none": None})  # with parameters %% is %, as elsewhere
        looked = driver.execute(_IS_FREE, {"name": name})
        pointing = driver.execute(_POINTERS, {"name": name})
    (free,) = looked.fetchone() or (False,)
    every = pointing.fetchall()
    if not free or not all(together for *_, together in every):
        return ()
    return tuple(Pointer(constraint, table, tuple(ours), tuple(theirs)) for constraint, table, ours, theirs, _ in every)
