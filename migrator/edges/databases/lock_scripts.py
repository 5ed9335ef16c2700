"""
The script that lets a legacy database refuse writes to rows of users who are frozen: a small table, and triggers.

Each trigger asks whether the user of a row, as it was or as it is to be, stands in that table with an end that is still to
come by the database's own clock. Whoever dies while users are frozen leaves nothing behind that does not end by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from migrator.edges.databases.change_scripts import MYSQL_NOW, trigger_name
from migrator.edges.databases.own import KeyText
from migrator.edges.databases.quoting import as_value
from migrator.mapping.trodden import Trail

FROZEN = "migrator_frozen"
REFUSAL = "migrator: this user is read-only for a moment, try again soon"
_EVENTS = {"insert": ("NEW",), "update": ("OLD", "NEW"), "delete": ("OLD",)}
_NOW = {"sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now')", "postgresql": "clock_timestamp()", "mysql": MYSQL_NOW}
_TEXT = {
    "sqlite": "CAST({} AS TEXT)",
    "postgresql": "CAST({} AS text)",
    "mysql": "CAST(CONVERT({} USING utf8mb4) AS BINARY)",
}
_TIME = {"sqlite": "TEXT", "postgresql": "timestamptz", "mysql": "DATETIME(6)"}


class LockScript:
    """The statements for one database; `trails`: of each table whose rows are to be locked."""

    def __init__(self, dialect: sa.Dialect, schema: str | None, trails: Mapping[str, Sequence[Trail]]) -> None:
        self._dialect, self._schema, self._kind = dialect, schema, dialect.name
        self._trails = {table: ways for table, ways in trails.items() if ways}

    def install(self) -> list[str]:
        """In the order in which they are run; again and again where the mappings have changed."""
        made = [self._table_statement()]
        for table in self._trails:
            made += self._dropping(table)
            made += self._postgresql(table) if self._kind == "postgresql" else self._triggers(table)
        return made

    def drop(self) -> list[str]:
        """Take everything out again."""
        found = [statement for table in self._trails for statement in self._dropping(table)]
        return [*found, _said("DROP TABLE IF EXISTS", self._table(FROZEN))]

    def _table_statement(self) -> str:
        key = as_value(str(KeyText().compile(dialect=self._dialect)))
        people = "VARBINARY(64)" if self._kind == "mysql" else key
        engine = ["ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"] if self._kind == "mysql" else []
        columns = [f"{self._name('people')} {people} NOT NULL", f"{self._name('user_key')} {key} NOT NULL"]
        columns.append(f"{self._name('holder')} {'VARCHAR(64)' if self._kind == 'mysql' else 'TEXT'} NOT NULL")
        columns.append(f"{self._name('until')} {_TIME[self._kind]} NOT NULL")
        columns.append(f"PRIMARY KEY ({self._name('people')}, {self._name('user_key')})")
        return _said("CREATE TABLE IF NOT EXISTS", self._table(FROZEN), f"({', '.join(columns)})", *engine)

    def _dropping(self, table: str) -> list[str]:
        if self._kind != "postgresql":
            return [_said("DROP TRIGGER IF EXISTS", self._name(_named(table, event))) for event in _EVENTS]
        found = [
            _said("DROP TRIGGER IF EXISTS", self._name(_named(table, event)), "ON", self._table(table))
            for event in ("change", "truncate")
        ]
        return [*found, _said("DROP FUNCTION IF EXISTS", f"{self._table(_named(table, 'row'))}()")]

    # ---- per dialect ----------------------------------------------------------------------------------------------

    def _triggers(self, table: str) -> list[str]:
        return [self._trigger(table, event) for event in _EVENTS]

    def _trigger(self, table: str, event: str) -> str:
        start = _said(
            "CREATE TRIGGER", self._name(_named(table, event)), "BEFORE", event.upper(), "ON", self._table(table),
            "FOR EACH ROW",
        )  # fmt: skip
        frozen = " OR ".join(self._is_frozen(table, row) for row in _EVENTS[event])
        if self._kind == "sqlite":
            return _said(start, "WHEN", frozen, f"BEGIN SELECT RAISE(ABORT, {self._text(REFUSAL)}); END")
        return _said(
            start, "IF", frozen, f"THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = {self._text(REFUSAL)}; END IF"
        )

    def _postgresql(self, table: str) -> list[str]:
        function = f"{self._table(_named(table, 'row'))}()"
        refuse = f"RAISE EXCEPTION USING ERRCODE = 'lock_not_available', MESSAGE = {self._text(REFUSAL)};"
        anybody = _said("EXISTS (SELECT 1 FROM", self._table(FROZEN), "f WHERE", f"{self._still()})")
        body = "\n".join(
            [
                "BEGIN",
                "  IF TG_OP = 'TRUNCATE' THEN",
                f"    IF {anybody} THEN {refuse} END IF;",
                "    RETURN NULL;",
                "  END IF;",
                f"  IF TG_OP <> 'INSERT' THEN IF {self._is_frozen(table, 'OLD')} THEN {refuse} END IF; END IF;",
                f"  IF TG_OP <> 'DELETE' THEN IF {self._is_frozen(table, 'NEW')} THEN {refuse} END IF; END IF;",
                "  IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;",
                "  RETURN NEW;",
                "END",
            ]
        )
        made = [
            _said(
                "CREATE FUNCTION", function, "RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path =",
                f"{self._name(self._schema or 'public')}, pg_temp", f"AS $migrator$\n{body}\n$migrator$",
            )
        ]  # fmt: skip
        for event, what, each in (
            ("change", "INSERT OR UPDATE OR DELETE", "ROW"),
            ("truncate", "TRUNCATE", "STATEMENT"),
        ):
            name = self._name(_named(table, event))
            on = _said("BEFORE", what, "ON", self._table(table), "FOR EACH", each)
            made.append(_said("CREATE TRIGGER", name, on, "EXECUTE FUNCTION", function))
        return made

    # ---- whose a row is -------------------------------------------------------------------------------------------

    def _is_frozen(self, table: str, row: str) -> str:
        return "(" + " OR ".join(self._by(trail, row) for trail in self._trails[table]) + ")"

    def _by(self, trail: Trail, row: str) -> str:
        """Whether the trail leads from the row to somebody who is frozen."""
        of, column = (f"h{len(trail.hops) - 1}", trail.hops[-1][2]) if trail.hops else (row, trail.column)
        whose = [f"f.people = {self._key(trail.whose)}", f"f.user_key = {self._as_text(f'{of}.{self._name(column)}')}"]
        asked = _said("SELECT 1 FROM", self._table(FROZEN), "f", "WHERE", " AND ".join([*whose, self._still()]))
        return f"EXISTS ({self._along(trail, row, asked) if trail.hops else asked})"

    def _along(self, trail: Trail, row: str, asked: str) -> str:
        """Rows between, one looked up by the other, and at the end whoever is asked for."""
        table, to, _ = trail.hops[0]
        tables, before = [f"{self._table(table)} h0"], "h0"
        for place, (further, its, _) in enumerate(trail.hops[1:], start=1):
            column = self._name(trail.hops[place - 1][2])
            tables.append(f"JOIN {self._table(further)} h{place} ON h{place}.{self._name(its)} = {before}.{column}")
            before = f"h{place}"
        start = f"h0.{self._name(to)} = {row}.{self._name(trail.column)}"
        return _said("SELECT 1 FROM", *tables, "WHERE", start, "AND EXISTS", f"({asked})")

    def _still(self) -> str:
        return f"f.{self._name('until')} > {_NOW[self._kind]}"

    # ---- names and texts ------------------------------------------------------------------------------------------

    def _name(self, name: str) -> str:
        return as_value(self._dialect.identifier_preparer.quote_identifier(name))

    def _table(self, name: str) -> str:
        return f"{self._name(self._schema)}.{self._name(name)}" if self._schema else self._name(name)

    def _as_text(self, column: str) -> str:
        return _TEXT[self._kind].format(column)

    def _key(self, text: str) -> str:
        return self._as_text(self._text(text)) if self._kind == "mysql" else self._text(text)

    def _text(self, text: str) -> str:
        printed = sa.String().literal_processor(self._dialect)  # type: ignore[no-untyped-call]
        assert printed is not None  # every dialect we know prints texts
        return as_value(printed(text))


def _named(table: str, event: str) -> str:
    return trigger_name(table, f"lock_{event}")


def _said(*parts: str) -> str:
    return " ".join(parts)
