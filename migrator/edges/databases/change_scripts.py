"""
The script that makes a legacy database keep its own changes: a table, and triggers on every table that is read.

Each trigger notes the values by which a row leads to its user, as they were and as they are: a row that changes hands
concerns both. Nothing else of a row is kept. Names are quoted by the dialect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import sqlalchemy as sa

from migrator.edges.databases.quoting import as_value

LOG = "migrator_changes"
FUNCTION = "migrator_note_change"
_NAMED = 30  # letters of a table's name that stand in the name of its triggers
_EVENTS = ("insert", "update", "delete")
_WRITTEN = ("table_name", "column_name", "value", "op")

#: When a row is noted: by the server's clock in UTC, at the moment itself and not at the start of the statement.
MYSQL_NOW = "TIMESTAMPADD(MICROSECOND, TIMESTAMPDIFF(MICROSECOND, NOW(6), SYSDATE(6)), UTC_TIMESTAMP(6))"
_FUNCTION_BODY = """\
DECLARE
  was jsonb; now_ jsonb; leads text;
BEGIN
  IF TG_NARGS = 0 OR TG_OP = 'TRUNCATE' THEN
    INSERT INTO {log} (table_name, op) VALUES (TG_TABLE_NAME, lower(TG_OP));
    RETURN NULL;
  END IF;
  IF TG_OP <> 'INSERT' THEN was := to_jsonb(OLD); END IF;
  IF TG_OP <> 'DELETE' THEN now_ := to_jsonb(NEW); END IF;
  FOREACH leads IN ARRAY TG_ARGV LOOP
    IF was IS NOT NULL THEN
      INSERT INTO {log} (table_name, column_name, value, op) VALUES (TG_TABLE_NAME, leads, was ->> leads, lower(TG_OP));
    END IF;
    IF now_ IS NOT NULL AND (was IS NULL OR was ->> leads IS DISTINCT FROM now_ ->> leads) THEN
      INSERT INTO {log} (table_name, column_name, value, op) VALUES (TG_TABLE_NAME, leads, now_ ->> leads, lower(TG_OP));
    END IF;
  END LOOP;
  RETURN NULL;
END"""


class Script:
    """
    The statements for one database; `watched`: table -> the columns to note, none where nobody owns a row.

    `reader`: the account that reads what was noted, where the database must be told.
    """

    def __init__(
        self, dialect: sa.Dialect, schema: str | None, watched: Mapping[str, Sequence[str]], reader: str | None = None
    ) -> None:
        self._dialect, self._schema, self._watched, self._reader = dialect, schema, watched, reader
        self._kind = dialect.name

    def install(self) -> list[str]:
        """In the order in which they are run."""
        if self._kind == "postgresql":
            return self._postgresql()
        table = self._sqlite_table() if self._kind == "sqlite" else self._mysql_table()
        statement = self._sqlite_trigger if self._kind == "sqlite" else self._mysql_trigger
        return [table, *self._triggers(statement)]

    def drop(self) -> list[str]:
        """Take everything out again."""
        found = []
        for table in self._watched:
            where = [f"ON {self._table(table)}"] if self._kind == "postgresql" else []
            found += [_said("DROP TRIGGER IF EXISTS", self._name(name), *where) for name in self._names(table)]
        if self._kind == "postgresql":
            found.append(_said("DROP FUNCTION IF EXISTS", f"{self._table(FUNCTION)}()"))
        return [*found, _said("DROP TABLE IF EXISTS", self._table(LOG))]

    def _names(self, table: str) -> list[str]:
        events = ("change", "truncate") if self._kind == "postgresql" else _EVENTS
        return [trigger_name(table, event) for event in events]

    def _triggers(self, statement: Callable[[str, Sequence[str], str], str]) -> list[str]:
        return [statement(table, columns, event) for table, columns in self._watched.items() for event in _EVENTS]

    # ---- per dialect ----------------------------------------------------------------------------------------------

    def _sqlite_table(self) -> str:
        return _said(
            "CREATE TABLE IF NOT EXISTS", self._table(LOG),
            "(seq INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT NOT NULL, column_name TEXT, value TEXT,",
            "op TEXT NOT NULL, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)",
        )  # fmt: skip

    def _sqlite_trigger(self, table: str, columns: Sequence[str], event: str) -> str:
        rows = self._notes(table, columns, event, "CAST({} AS TEXT)", "{} IS NOT {}", "")
        return _said(
            "CREATE TRIGGER IF NOT EXISTS", self._name(trigger_name(table, event)), "AFTER", event.upper(), "ON",
            self._table(table), "FOR EACH ROW BEGIN INSERT INTO", self._table(LOG), f"({', '.join(_WRITTEN)})", rows,
            "; END",
        )  # fmt: skip

    def _mysql_table(self) -> str:
        return _said(
            "CREATE TABLE IF NOT EXISTS", self._table(LOG),
            "(seq BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, table_name VARCHAR(64) NOT NULL, column_name VARCHAR(64),",
            "value TEXT, op VARCHAR(8) NOT NULL, at DATETIME(6) NOT NULL, KEY (at))",
            "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
        )  # fmt: skip

    def _mysql_trigger(self, table: str, columns: Sequence[str], event: str) -> str:
        rows = self._notes(table, columns, event, "CAST({} AS CHAR)", "NOT ({} <=> {})", f", {MYSQL_NOW}")
        return _said(
            "CREATE TRIGGER", self._name(trigger_name(table, event)), "AFTER", event.upper(), "ON", self._table(table),
            "FOR EACH ROW INSERT INTO", self._table(LOG), f"({', '.join(_WRITTEN)}, at)", rows,
        )  # fmt: skip

    def _notes(self, table: str, columns: Sequence[str], event: str, text: str, unlike: str, more: str) -> str:
        """One SELECT per value to note: of the row as it was, and as it is where that is another."""
        said = [self._text(table)]
        if not columns:
            return _said("SELECT", ", ".join([*said, "NULL", "NULL", self._text(event)]) + more)
        rows = []
        for column in columns:
            was, now = (f"{which}.{self._name(column)}" for which in ("OLD", "NEW"))
            first = now if event == "insert" else was
            start = [*said, self._text(column)]
            rows.append(_said("SELECT", ", ".join([*start, text.format(first), self._text(event)]) + more))
            if event == "update":
                changed = _said("SELECT", ", ".join([*start, text.format(now), self._text(event)]) + more)
                from_ = "FROM DUAL WHERE" if self._kind == "mysql" else "WHERE"
                rows.append(_said(changed, from_, unlike.format(now, was)))
        return " UNION ALL ".join(rows)

    def _postgresql(self) -> list[str]:
        log, function = self._table(LOG), self._table(FUNCTION)
        path = self._name(self._schema or "public")
        body = _FUNCTION_BODY.replace("{log}", log)
        made = [
            _said(
                "CREATE TABLE IF NOT EXISTS", log,
                "(seq bigserial PRIMARY KEY, table_name text NOT NULL, column_name text, value text, op text NOT NULL,",
                "at timestamptz NOT NULL DEFAULT clock_timestamp(), txid bigint NOT NULL DEFAULT txid_current())",
            ),
            _said("CREATE INDEX IF NOT EXISTS", self._name(f"{LOG}_txid"), "ON", log, "(txid)"),
            _said(
                "CREATE OR REPLACE FUNCTION", f"{function}()", "RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER",
                "SET search_path =", f"{path}, pg_temp", f"AS $migrator$\n{body}\n$migrator$",
            ),
        ]  # fmt: skip
        if self._reader:
            made.append(_said("GRANT SELECT ON", log, "TO", self._name(self._reader)))
        for table, columns in self._watched.items():
            leading = ", ".join(self._text(column) for column in columns)
            for event, what, each, given in (
                ("change", "INSERT OR UPDATE OR DELETE", "ROW", leading),
                ("truncate", "TRUNCATE", "STATEMENT", ""),
            ):
                name = self._name(trigger_name(table, event))
                made.append(_said("DROP TRIGGER IF EXISTS", name, "ON", self._table(table)))
                made.append(
                    _said(
                        "CREATE TRIGGER", name, "AFTER", what, "ON", self._table(table), "FOR EACH", each,
                        "EXECUTE FUNCTION", f"{function}({given})",
                    )
                )  # fmt: skip
        return made

    # ---- names and texts ------------------------------------------------------------------------------------------

    def _name(self, name: str) -> str:
        return as_value(self._dialect.identifier_preparer.quote_identifier(name))

    def _table(self, name: str) -> str:
        return f"{self._name(self._schema)}.{self._name(name)}" if self._schema else self._name(name)

    def _text(self, text: str) -> str:
        printed = sa.String().literal_processor(self._dialect)  # type: ignore[no-untyped-call]
        assert printed is not None  # every dialect we know prints texts
        return as_value(printed(text))


def trigger_name(table: str, event: str) -> str:
    """One that no two tables share, and that every database takes."""
    mark = hashlib.sha256(table.encode()).hexdigest()[:8]
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in table)[:_NAMED]
    return f"migrator_{event}_{plain}_{mark}"


def _said(*parts: str) -> str:
    return " ".join(parts)
