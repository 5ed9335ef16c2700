"""What every part of a proposal stands on: both schemas, what was seen of legacy, who the users are, ways and pivots."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

from migrator.errors import Refused
from migrator.mapping.proposing import people, words
from migrator.mapping.proposing import pivots as meta
from migrator.mapping.proposing.columns import Candidate
from migrator.mapping.proposing.facts import Peek, Seen
from migrator.mapping.schema import Schema, Table

ATTRIBUTES = "attr"


@dataclass(frozen=True)
class Ground:
    """Looked at once, then only asked."""

    legacy: Schema
    target: Schema
    peek: Peek
    _candidates: dict[str, list[Candidate]] = field(default_factory=dict)

    @cached_property
    def seen(self) -> dict[str, dict[str, Seen]]:
        """Every legacy column with some of its values."""
        found = {}
        for name, table in self.legacy.tables.items():
            frame = self.peek.rows(name)
            found[name] = {column.name: Seen.of(column, frame[column.name]) for column in table.columns.values()}
        return found

    @cached_property
    def users(self) -> str:
        """The legacy table of users."""
        if not any(self.rows(table) for table in self.legacy.tables):
            raise Refused("legacy holds no rows; a proposal goes by what stands in them")
        found = people.users_table(self.legacy, self.seen)
        if found is None:
            raise Refused("no legacy table looks like users; write set.yaml by hand: users: {table: …, key: …}")
        return found

    @cached_property
    def root(self) -> str:
        """The target table of users."""
        found = people.target_root(self.target)
        if found is None:
            raise Refused("the target has no tables; create its schema first")
        return found

    @cached_property
    def ways(self) -> dict[str, people.Way]:
        """How legacy tables lead to the users."""
        return people.ways(self.legacy, self.users, self.seen, self.peek)

    @cached_property
    def pivots(self) -> list[meta.Names]:
        """Names that stand in rows, beside tables that lead to the users."""
        return meta.find(self.legacy, self.seen, self.ways, self.users, self.peek)

    @property
    def users_key(self) -> str:
        """The key of the users' table."""
        return self.legacy.tables[self.users].key[0]

    def rows(self, table: str) -> int:
        """How many rows of a legacy table were seen."""
        return max((one.rows for one in self.seen[table].values()), default=0)

    def around(self, table: str) -> tuple[str, ...]:
        """The words that say nothing within a legacy table: its own, and those of users."""
        return (*words.words(table), *words.words(self.users))

    def candidates(self, table: str) -> list[Candidate]:
        """The columns of a legacy table, names in rows beside it, and when a user was last seen."""
        if table not in self._candidates:
            self._candidates[table] = self._found(table)
        return self._candidates[table]

    def _found(self, table: str) -> list[Candidate]:
        around = self.around(table)
        found = [Candidate(name, seen, around) for name, seen in self.seen[table].items()]
        for names in self.pivots:
            if names.owner == table and names.codes is not None:
                found += [
                    Candidate(f"{ATTRIBUTES}.{name}", _called(seen, name), (), ATTRIBUTES)
                    for name, seen in names.names.items()
                ]
        if table == self.users:
            found += list(self._moments())
        return found

    def _moments(self) -> list[Candidate]:
        """When a user was seen: moments in tables of many rows per user."""
        found = []
        for table, way in self.ways.items():
            if way.column is None or table == self.users:
                continue
            for name, seen in self.seen[table].items():
                if words.means(name, "login") and (seen.looks & {"moment", "epoch_s", "epoch_ms"}):
                    join = table.replace(".", "_")
                    found.append(Candidate(f"{join}.{name}", seen, (), join, 0.9, "max", table))
        return found

    def pivot_alone(self, table: str) -> meta.Names | None:
        """The pivot that a table of settings is, where the names stand in the table itself."""
        return next((one for one in self.pivots if one.tables == (table,) and one.codes is None), None)

    def parent_of(self, target: Table) -> list[str]:
        """The target tables that *target* points at, in order."""
        return [key.table for key in target.foreign_keys if key.table != target.name]

    def belongs_to_users(self, name: str, _seen: tuple[str, ...] = ()) -> bool:
        """Whether a target table leads to the users' table by foreign keys."""
        if name == self.root:
            return True
        if name in _seen or name not in self.target.tables:
            return False
        return any(self.belongs_to_users(one, (*_seen, name)) for one in self.parent_of(self.target.tables[name]))

    def is_single(self, target: Table) -> bool:
        """Whether a target table has one row per user: its key is the user's."""
        return len(target.key) == 1 and any(
            key.table == self.root and key.columns == target.key for key in target.foreign_keys
        )


def _called(seen: Seen, name: str) -> Seen:
    return Seen(replace(seen.column, name=name, nullable=True), seen.texts, seen.rows)
