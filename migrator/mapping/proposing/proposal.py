"""A whole mapping set, proposed; then held against lint until it names only what a person must decide."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from migrator.errors import Refused
from migrator.mapping import document, lint
from migrator.mapping.problems import Problem
from migrator.mapping.proposing import documents, tables, words, writing
from migrator.mapping.proposing.bench import Bench
from migrator.mapping.proposing.documents import Document
from migrator.mapping.proposing.facts import Peek
from migrator.mapping.proposing.ground import Ground
from migrator.mapping.schema import Kind, Schema

ROUNDS = 6
#: What only a person can know: a reason, what a code means, and a value that nothing in legacy gives.
OPEN = frozenset({"E209", "E302", "E305", "E405"})
_REASON = re.compile(r"(leave: '|^  \S+: )\?\?\?", re.MULTILINE)
_LISTED = re.compile(r"^  (\S+): \?\?\?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Proposal:
    """Files by name, and what a person must still decide: problems of lint, and fields nothing was found for."""

    texts: dict[str, str]
    problems: tuple[Problem, ...]
    unknown: dict[str, list[str]]
    pairs: dict[str, str]  # target table -> legacy table
    fields: dict[str, int]
    questions: int  # guesses, marked `# ?`
    gaps: int  # what a person must put in, marked `???`


def propose(name: str, legacy: Schema, target: Schema, peek: Peek) -> Proposal:
    """
    Propose a mapping set.

    Args:
        name: of the set.

    Returns:
        Texts that `document` reads; lint against both schemas finds no error in them but those in OPEN.

    Raises:
        Refused: one of the schemas has nothing that looks like users.
    """
    if not legacy.tables or not target.tables:
        raise Refused("one of the two databases has no tables; a proposal needs both schemas")
    ground = Ground(legacy, target, peek)
    pairs = tables.pairs(ground)
    names = {ours: ours for ours in pairs}
    benches = {ours: Bench(ground, target.tables[ours], theirs, pairs, names) for ours, theirs in pairs.items()}
    made = {ours: documents.document(bench) for ours, bench in benches.items()}
    set_ = _Set(name, ground, made)
    found: list[Problem] = []
    for _ in range(ROUNDS):
        texts = set_.texts()
        found = _linted(texts, legacy, target)
        if not set_.adapt(found):
            break
    unknown = {ours: one.unknown for ours, one in made.items() if one.unknown}
    fields = {ours: len(one.fields) for ours, one in made.items()}
    questions, gaps = (sum(text.count(mark) for text in texts.values()) for mark in ("# ?", writing.GAP))
    return Proposal(texts, tuple(found), unknown, pairs, fields, questions, gaps)


def _linted(texts: Mapping[str, str], legacy: Schema, target: Schema) -> list[Problem]:
    """Errors of the texts; a missing reason is taken for one, so that coverage is looked at, too."""
    reasoned = {name: _REASON.sub(r"\1a reason", text) for name, text in texts.items()}
    draft = document.look(reasoned)
    found = list(draft.problems)
    if draft.set is not None:
        found += lint.lint(draft.set, legacy, target)
    return [problem for problem in found if problem.level == "error"]


class _Set:
    """The files on their way."""

    def __init__(self, name: str, ground: Ground, made: dict[str, Document]) -> None:
        self.name, self.ground, self.made = name, ground, made
        self.tables: dict[str, Any] = {}

    def texts(self) -> dict[str, str]:
        """All files by name."""
        found = {f"{one.name}.yaml": one.text() for one in self.made.values()}
        return {"set.yaml": self._set_text(), **found}

    def adapt(self, found: Iterable[Problem]) -> bool:
        """Do what lint asks for, as far as no person is needed; whether anything was done."""
        done = False
        for problem in found:
            if problem.code == "E207":
                done |= self._name_tables(_LISTED.findall(problem.help))
            elif problem.code == "E202":
                done |= self._ignore(problem.place.file, _LISTED.findall(problem.help))
            elif problem.code not in OPEN:
                done |= self._leave_out(problem)
        return done

    def _name_tables(self, names: Iterable[str]) -> bool:
        there = [name for name in names if name in self.ground.legacy.tables]
        empty = [name for name in there if not self.ground.rows(name)]
        full = [name for name in there if self.ground.rows(name)]
        self.tables |= dict.fromkeys(full, writing.GAP)
        for prefix, some in _by_prefix(empty, self.ground.legacy.tables).items():
            self.tables[prefix if len(some) > 1 else some[0]] = {
                "reason": "no row when this was written",
                "expect": "empty",
            }
        return bool(there)

    def _ignore(self, file: str, names: Iterable[str]) -> bool:
        document_ = self.made[file.removesuffix(".yaml")]
        legacy = self.ground.legacy.tables
        empty: dict[str, list[str]] = {}
        for name in names:
            join, _, column = name.rpartition(".")
            table = (
                str(document_.source.get("join", {}).get(join, {}).get("table", ""))
                if join
                else document_.source["table"]
            )
            seen = self.ground.seen.get(str(table), {}).get(column)
            if seen is not None and (seen.empty or seen.constant) and legacy[str(table)].name:
                empty.setdefault(join, []).append(column)
            else:
                document_.ignore[name] = writing.GAP
        for join, columns in empty.items():
            constant = {"reason": "the same in every row that was looked at", "expect": "constant"}
            if len(columns) <= 2:
                document_.ignore |= {(f"{join}.{column}" if join else column): constant for column in columns}
            else:
                document_.ignore[f"{join}.*" if join else "*"] = constant
        return True

    def _leave_out(self, problem: Problem) -> bool:
        """A field that lint refuses is no proposal; it becomes a question."""
        document_ = self.made.get(problem.place.file.removesuffix(".yaml"))
        if document_ is None:
            return False
        line = document_.text().split("\n")[problem.place.line - 1]
        name = next((one for one in document_.fields if re.match(rf"\s+{re.escape(writing.key(one))}:", line)), None)
        if name is None:
            return False
        del document_.fields[name]
        document_.unknown.append(name)
        return True

    # ---- set.yaml

    def _set_text(self) -> str:
        ground = self.ground
        who: dict[str, Any] = {"table": ground.users, "key": ground.users_key}
        seen = ground.seen[ground.users]
        email = next((name for name, one in seen.items() if "email" in one.looks), None)
        name = _speaking(ground)
        who |= {"email": email} if email else {}
        who |= {"name": name} if name else {}
        flags = [column for column in seen if words.means(column, "deleted") and "flag" in seen[column].looks]
        lines = [f"set: {writing.word(self.name)}", "users:", *writing.nested(who, indent=2)]
        lines += [f"  # ? where: {{{flag}: 0}}" for flag in flags]
        lines += self._signs()
        if self.tables:
            lines += ["tables:    # legacy tables that no mapping reads", *writing.nested(self.tables, indent=2)]
        return "\n".join(lines) + "\n"

    def _signs(self) -> list[str]:
        """Signs of life: moments of tables with rows of users, all written in one way."""
        signs = []
        for table, way in self.ground.ways.items():
            read = table in {one.source["table"] for one in self.made.values()}
            if way.column is None or table == self.ground.users or not read:
                continue
            seen = self.ground.seen[table]
            moment = next((n for n, one in seen.items() if _is_moment(one) and words.means(n, "created")), None)
            if moment is not None:
                signs.append((seen[moment].unit, {"table": table, "user": way.column, "at": moment}))
        if not signs:
            return ["# ? activity: where is a sign of life of a user written down", "activity: []"]
        unit = max((one[0] for one in signs), key=[one[0] for one in signs].count)
        how: Any = [{"null_if": 0}, {"epoch": unit}] if unit else [{"datetime": {"timezone": "UTC"}}]
        lines = writing.block("null_if", ["", "0000-00-00 00:00:00"]) if unit is None else []
        lines += writing.block("at", how, comment="" if unit else "? the zone these times were written in")
        lines.append("activity:")
        lines += [f"  - {writing.flow(sign)}" for one, sign in signs if one == unit]
        return [*lines, "# ? paid: rows that are money, for the tiers"]


def _is_moment(seen: Any) -> bool:
    kinds = (Kind.DATETIME, Kind.TIMESTAMP)
    return seen.column.kind in kinds or bool(seen.looks & {"moment", "epoch_s", "epoch_ms"})


def _speaking(ground: Ground) -> str | None:
    wanted = ("nick", "nickname", "display_name", "full_name", "real_name", "first_name", "name", "username")
    for name in wanted:
        for column, seen in ground.seen[ground.users].items():
            if (
                seen.column.kind is Kind.TEXT
                and not seen.empty
                and words.likeness(words.words(name), words.words(column)) >= 0.85
            ):
                return column
    return None


def _by_prefix(names: Iterable[str], every: Iterable[str]) -> dict[str, list[str]]:
    """Group names under the longest prefix (`log_*`) that all tables of that prefix share."""
    left, grouped = sorted(names), dict[str, list[str]]()
    everything = set(every)
    for name in left:
        grouped.setdefault(_prefix(name, set(left), everything), []).append(name)
    return grouped


def _prefix(name: str, mine: set[str], everything: set[str]) -> str:
    parts = name.split("_")
    for count in range(1, len(parts)):
        start = "_".join(parts[:count]) + "_"
        inside = {one for one in everything if one.startswith(start)}
        if inside <= mine and len(inside) > 1:
            return f"{start}*"
    return name
