"""Which column of the target holds a mapping's id, and by which columns of legacy its rows are known."""

from __future__ import annotations

from migrator.mapping.model import Mapping
from migrator.mapping.schema import Table


def id_column(mapping: Mapping, table: Table | None) -> str | None:
    """The column that `target.id` fills, None where the key is made of fields (or there is none)."""
    identity = mapping.target.id
    if identity.how == "fields":
        return None
    alone = table.key[0] if table is not None and len(table.key) == 1 else None
    return identity.as_ or alone


def known_by(mapping: Mapping) -> tuple[str, ...]:
    """The COLUMNs whose values lead to a row's id: those it is made of, or for a number the key of the source row."""
    identity = mapping.target.id
    return mapping.source.key if identity.how == "sequence" else identity.columns
