"""Both schemas and what lint asked of the data, as one readable JSON file: so that lint needs no database."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from migrator.errors import WrongInput
from migrator.mapping.facts import Facts, Listed, Seen
from migrator.mapping.schema import Column, ForeignKey, Kind, Schema, Table

FORMAT = "migrator schema snapshot 1"
_LONGEST = 40  # characters of a value that may be kept
_PERSONAL = re.compile(
    r"name|nick|mail|phone|mobile|fax|addr|street|city|zip|post|birth|dob|passw|pwd|salt|hash|token|secret|card|iban|"
    r"ssn|tax|vat|note|comment|remark|text|title|(^|_)ip(_|$)",
    re.IGNORECASE,
)


class Recorded:
    """Facts as a snapshot keeps them; what was not asked then is not known."""

    def __init__(self) -> None:
        self.columns: dict[tuple[str, str], Seen] = {}
        self.lists: dict[tuple[str, str], Listed] = {}
        self.keys: dict[tuple[str, tuple[str, ...]], bool] = {}

    def seen(self, table: str, column: str) -> Seen | None:
        """Look at one column."""
        return self.columns.get((table, column))

    def values(self, table: str, column: str) -> Listed | None:
        """List the distinct values of one column."""
        return self.lists.get((table, column))

    def repeated(self, table: str, columns: tuple[str, ...]) -> bool | None:
        """Whether two rows have the same values in *columns*."""
        return self.keys.get((table, columns))


class Recording(Recorded):
    """Passes questions on and keeps the answers, those that may name a person left out."""

    def __init__(self, facts: Facts, private: frozenset[tuple[str, str]] = frozenset()) -> None:
        super().__init__()
        self._facts, self._private = facts, private

    def seen(self, table: str, column: str) -> Seen | None:
        """Ask, and keep counts and sizes; values only where they may be shown."""
        found = self._facts.seen(table, column)
        if found is not None:
            self.columns[table, column] = found if self._may_show(table, column, [found.same]) else _bare(found)
        return found

    def values(self, table: str, column: str) -> Listed | None:
        """Ask, and keep the list where none of it may name a person."""
        found, seen = self._facts.values(table, column), self.seen(table, column)
        rows = seen.filled if seen else 0
        if found is not None and self._may_show(table, column, found.counts) and 2 * len(found.counts) <= max(2, rows):
            self.lists[table, column] = found
        return found

    def repeated(self, table: str, columns: tuple[str, ...]) -> bool | None:
        """Ask, and keep the answer."""
        found = self._facts.repeated(table, columns)
        if found is not None:
            self.keys[table, columns] = found
        return found

    def _may_show(self, table: str, column: str, values: Sequence[str | None] | Mapping[str, int]) -> bool:
        if (table, column) in self._private or _PERSONAL.search(column):
            return False
        return all(value is None or len(value) <= _LONGEST for value in values)


def _bare(seen: Seen) -> Seen:
    return Seen(seen.rows, seen.whole, seen.filled, constant=seen.constant, longest=seen.longest, digits=seen.digits)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What lint needs to know of two databases."""

    legacy: Schema
    target: Schema
    facts: Recorded
    target_facts: Recorded


# ---- to text ----------------------------------------------------------------------------------------------------


def write(snapshot: Snapshot) -> str:
    """Write a snapshot as JSON, one line per column, in an order that shows each change in a diff."""
    parts = {"legacy": (snapshot.legacy, snapshot.facts), "target": (snapshot.target, snapshot.target_facts)}
    lines = ["{", f'  "format": {json.dumps(FORMAT)},']
    for number, (name, (schema, facts)) in enumerate(parts.items()):
        lines += [f'  "{name}": {{', f'    "dialect": {json.dumps(schema.dialect)},', '    "tables": {']
        tables = [_table(schema.tables[table], facts) for table in sorted(schema.tables)]
        lines += [*",\n".join(tables).split("\n"), "    }", "  }" if number else "  },"]
    return "\n".join([*lines, "}"]) + "\n"


def _table(table: Table, facts: Recorded) -> str:
    about = {
        "key": table.key,
        "uniques": table.uniques,
        "indexes": table.indexes,
        "view": table.view,
        "without_transactions": not table.transactional,
        "foreign_keys": [asdict(key) for key in table.foreign_keys],
        "repeated": [[*columns, found] for (name, columns), found in sorted(facts.keys.items()) if name == table.name],
    }
    lines = [f"        {json.dumps(name)}: {_flat(value)}" for name, value in about.items() if value]
    columns = [
        f"          {json.dumps(column.name)}: {_flat(_column(table.name, column, facts))}"
        for column in table.columns.values()
    ]
    lines.append('        "columns": {\n' + ",\n".join(columns) + "\n        }")
    return f"      {json.dumps(table.name)}: {{\n" + ",\n".join(lines) + "\n      }"


def _column(table: str, column: Column, facts: Recorded) -> dict[str, Any]:
    found = {f.name: getattr(column, f.name) for f in fields(Column) if getattr(column, f.name) != f.default}
    del found["name"]
    if (seen := facts.columns.get((table, column.name))) is not None:
        found["data"] = {f.name: getattr(seen, f.name) for f in fields(Seen) if getattr(seen, f.name) != f.default}
    if (listed := facts.lists.get((table, column.name))) is not None:
        found["holds"] = "many" if listed.more else dict(sorted(listed.counts.items()))
    return found


def _flat(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


# ---- from text --------------------------------------------------------------------------------------------------


def read(text: str, file: str) -> Snapshot:
    """
    Read a snapshot.

    Args:
        file: How to name it in messages.

    Raises:
        WrongInput: it is no snapshot, or one of another version.
    """
    try:
        found = json.loads(text)
        if found["format"] != FORMAT:
            raise WrongInput(f"{file} is a snapshot of another version; make it anew with `migrator mapping snapshot`")
        facts, target_facts = Recorded(), Recorded()
        return Snapshot(_schema(found["legacy"], facts), _schema(found["target"], target_facts), facts, target_facts)
    except (ValueError, TypeError, KeyError, AttributeError) as broken:
        raise WrongInput(
            f"{file} is no schema snapshot ({type(broken).__name__}); make one with `migrator mapping snapshot`"
        ) from None


def _schema(found: Mapping[str, Any], facts: Recorded) -> Schema:
    tables = {}
    for name, table in found["tables"].items():
        tables[name] = Table(
            name,
            {column: _read_column(name, column, about, facts) for column, about in table["columns"].items()},
            tuple(table.get("key", ())),
            uniques=_lists(table, "uniques"),
            foreign_keys=tuple(_foreign_key(key) for key in table.get("foreign_keys", ())),
            indexes=_lists(table, "indexes"),
            view=table.get("view", False),
            transactional=not table.get("without_transactions", False),
        )
        for *columns, repeated in table.get("repeated", ()):
            facts.keys[name, tuple(columns)] = repeated
    return Schema(found["dialect"], tables)


def _read_column(table: str, name: str, about: Mapping[str, Any], facts: Recorded) -> Column:
    listed = {key: tuple(value) if isinstance(value, list) else value for key, value in about.items()}
    plain: dict[str, Any] = {key: value for key, value in listed.items() if key not in ("data", "holds", "kind")}
    if "data" in about:
        facts.columns[table, name] = Seen(**about["data"])
    if "holds" in about:
        found = about["holds"]
        facts.lists[table, name] = Listed({}, more=True) if found == "many" else Listed(dict(found))
    return Column(name, Kind(about["kind"]), **plain)


def _lists(table: Mapping[str, Any], key: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(columns) for columns in table.get(key, ()))


def _foreign_key(found: Mapping[str, Any]) -> ForeignKey:
    return ForeignKey(tuple(found["columns"]), found["table"], tuple(found["references"]), found["deferrable"])
