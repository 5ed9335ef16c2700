"""What every check stands on: the set, both schemas as far as they are known, and where to note problems."""

from __future__ import annotations

from dataclasses import dataclass

from migrator.mapping.facts import NOTHING, Facts
from migrator.mapping.model import Mapping, MappingSet, Place, Word
from migrator.mapping.problems import Notes
from migrator.mapping.schema import Column, Schema, Table


@dataclass(frozen=True, slots=True)
class Ground:
    """Handed to each check; a check adds to `notes` and changes nothing else."""

    set: MappingSet
    legacy: Schema | None
    target: Schema | None
    notes: Notes
    facts: Facts = NOTHING  # of legacy
    target_facts: Facts = NOTHING
    whole: bool = True  # every file of the set could be read

    def written(self, mapping: Mapping) -> Table | None:
        """The target table of *mapping*, None where it is not known."""
        return self.target.tables.get(mapping.target.table) if self.target else None

    def legacy_column(self, table: str, column: str) -> Column | None:
        """A column of the legacy database, None where it is not known."""
        found = self.legacy.tables.get(table) if self.legacy else None
        return found.columns.get(column) if found else None


def place_of(name: str, otherwise: Place) -> Place:
    """Where *name* stands if it was written in a document."""
    return name.place if isinstance(name, Word) else otherwise
