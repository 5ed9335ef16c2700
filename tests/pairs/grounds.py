"""A database of each kind as a test sees it: a bare driver, and every value as it is kept there. Nothing of ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.edges.databases.places import Place

#: By table its rows, in order.
Dump: TypeAlias = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Ground:
    """One empty database to be filled and looked at; `dialect` is sqlite, postgresql or mysql."""

    dialect: str
    place: Place

    def run(self, sql: str, *rows: tuple[object, ...]) -> None:
        """Say it just so: the place would put some words into those of its database."""
        self.place.run(re.sub(r"\A\s*create", "CREATE", sql), *rows)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """What the driver makes of the answer."""
        return self.place.ask(sql)

    def table(self, name: str, columns: dict[str, str], *more: str) -> None:
        """Create a table: *columns* with their types, *more* with constraints."""
        parts = [*(f"{quoted(column)} {type_}" for column, type_ in columns.items()), *more]
        self.run(f"create table {quoted(name)} ({', '.join(parts)})")

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
        """Insert *rows*; neither name may hold a mark that the driver takes for a parameter."""
        named = ", ".join(map(quoted, columns))
        self.run(f"insert into {quoted(table)} ({named}) values ({', '.join('?' * len(columns))})", *rows)

    def dump(self) -> Dump:
        """Every value of every table but those of the program, as it is kept to the last bit."""
        names = sorted(str(row[0]) for row in self.ask(_TABLES[self.dialect]))
        return {name: self._rows(name) for name in names if not name.startswith("migrator_")}

    def _rows(self, table: str) -> list[tuple[Any, ...]]:
        names = [str(row[0]) for row in self.ask(_COLUMNS[self.dialect].format(table.replace("'", "''")))]
        kept = ", ".join(_KEPT[self.dialect](quoted(name)) for name in names)
        return sorted(self.ask(f"select {kept} from {quoted(table)}"), key=repr)


def quoted(name: str) -> str:
    """Name a table or column, whatever it is called."""
    return '"' + name.replace('"', '""') + '"'


_KEPT: dict[str, Callable[[str], str]] = {
    "sqlite": lambda name: f"typeof({name}), {name}",
    "postgresql": lambda name: f"{name}::text",
    "mysql": lambda name: f"hex(cast({name} as binary))",
}
_TABLES = {
    "sqlite": "select name from sqlite_master where type = 'table' and name not like 'sqlite%'",
    "postgresql": "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace",
    "mysql": "select table_name from information_schema.tables where table_schema = database()",
}
_COLUMNS = {
    "sqlite": "select name from pragma_table_xinfo('{}')",
    "postgresql": "select column_name from information_schema.columns"
    " where table_schema = 'public' and table_name = '{}' order by ordinal_position",
    "mysql": "select column_name from information_schema.columns"
    " where table_schema = database() and table_name = '{}' order by ordinal_position",
}
