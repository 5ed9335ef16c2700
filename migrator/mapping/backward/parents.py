"""Which legacy rows stand behind rows of the target: of rows that are there, the key under which they were read."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from migrator.mapping import values as columns
from migrator.mapping.identities import id_column, known_by
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import SourceRows
from migrator.mapping.schema import Schema
from migrator.mapping.values import Values


class Rows:
    """Looks among the rows of the same users; `targets` are rows of the target with `__user` and `__key`."""

    def __init__(
        self,
        set_: MappingSet,
        target: Schema,
        targets: Mapping[str, pl.DataFrame],
        sources: Mapping[str, SourceRows],
    ) -> None:
        self._set, self._target = set_, target
        self._targets, self._sources = dict(targets), sources

    def add(self, mapping: str, rows: pl.DataFrame) -> None:
        """Know rows of the target that are new, too; theirs in legacy are among the source rows."""
        known = self._targets.get(mapping)
        self._targets[mapping] = rows if known is None else pl.concat([known, rows], how="diagonal_relaxed")

    def keys(self, mapping: str, ids: pl.Series, users: pl.Series) -> list[Values]:
        """The legacy key, part by part, of the rows of *mapping* with these ids; null where these users have no such row."""
        known = self._known(mapping)
        names = [name for name in known.columns if name not in ("__user", "__id")]
        asked = pl.DataFrame({"__user": users, "__id": ids})
        found = asked.join(known, on=["__user", "__id"], how="left", maintain_order="left")
        return [columns.of(found[name]) for name in names]

    def _known(self, mapping: str) -> pl.DataFrame:
        document = self._set.mappings[mapping]
        names = [str(name) for name in known_by(document)]
        own = id_column(document, self._target.tables.get(str(document.target.table)))
        targets, source = self._targets.get(mapping), self._sources.get(mapping)
        if targets is None or source is None or own is None or own not in targets.columns:
            return pl.DataFrame(schema=dict.fromkeys(["__user", "__id", *names], pl.String))
        rows = targets.select("__user", "__key", columns.text(targets[str(own)]).alias("__id"))
        legacy = source.frame.select("__user", "__key", *(name for name in names if name in source.frame.columns))
        return rows.join(legacy, on=["__user", "__key"], how="inner").drop("__key").unique(["__user", "__id"])
