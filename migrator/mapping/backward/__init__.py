"""The reverse of mappings: what the new system changed, as changes of legacy, for a rollback after the cutover."""

from __future__ import annotations

from migrator.mapping.backward.carrying import Carried, carried
from migrator.mapping.backward.rows import Update
from migrator.mapping.backward.ways import NoWay, Way, Ways, ways

__all__ = ["Carried", "NoWay", "Update", "Way", "Ways", "carried", "ways"]
