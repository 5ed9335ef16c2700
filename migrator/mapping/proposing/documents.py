"""One mapping, put together: source, target, fields, and what nothing could be found for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from migrator.mapping.proposing import columns, compounds, links, rules, sources, tables, words, writing
from migrator.mapping.proposing.bench import Bench
from migrator.mapping.proposing.columns import Candidate
from migrator.mapping.proposing.rules import Proposed
from migrator.mapping.proposing.wanted import meant
from migrator.mapping.schema import Column


@dataclass
class Document:
    """A mapping on its way to a file: values in the order in which they are written."""

    name: str
    about: str
    source: dict[str, Any]
    target: dict[str, Any]
    fields: dict[str, Proposed] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    ignore: dict[str, Any] = field(default_factory=dict)
    questions: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The file."""
        lines = [f"mapping: {self.name}", *writing.block("about", self.about), *writing.comments(self.questions)]
        lines += ["source:", *writing.nested(self.source, indent=2)]
        lines += ["target:", *writing.nested(self.target, indent=2)]
        lines += ["fields:" if self.fields else "fields: {}", *self._fields()]
        lines += writing.comments((f"{name}: nothing in legacy looks like it" for name in self.unknown), indent=2)
        if self.ignore:
            lines += ["ignore:", *writing.nested(self.ignore, indent=2)]
        return "\n".join(lines) + "\n"

    def _fields(self) -> list[str]:
        lines = []
        width = max((len(writing.key(name)) for name in self.fields), default=0)
        for name, proposed in self.fields.items():
            block = writing.block(name, proposed.rule, indent=2, comment=proposed.question)
            lines += [_padded(block[0], name, width)] if len(block) == 1 else block
        return lines


def _padded(line: str, name: str, width: int) -> str:
    said = f"  {writing.key(name)}: "
    return said + " " * (width - len(writing.key(name))) + line.removeprefix(said)


def document(bench: Bench) -> Document:
    """Propose the mapping of one target table."""
    sources.begin(bench)
    name, about = bench.names[bench.ours.name], f"{bench.ours.name} from {bench.theirs}."
    made = Document(name, about, bench.source, {})
    taken = {} if bench.pivot else _assigned(bench)
    for column in map(meant, bench.ours.columns.values()):
        if column.generated or (column.name,) == tuple(bench.ours.key):
            continue
        proposed = _field(bench, column, taken)
        if proposed is not None:
            made.fields[column.name] = proposed
        else:
            made.unknown.append(column.name)
    sources.finish(bench, made.fields.values())
    made.target = {"table": bench.ours.name, "id": sources.identity(bench)}
    if bench.ours.name == bench.ground.root:
        flags = [one for one in bench.ground.seen[bench.theirs] if words.means(one, "deleted")]
        made.questions += [f"who stays behind: users.where in set.yaml, by {one}" for one in flags]
    return made


def _assigned(bench: Bench) -> Mapping[str, Candidate]:
    wanted = [column for column in tables.own_columns(bench.ground, bench.ours) if (column.name,) != bench.ours.key]
    free = [one for one in bench.candidates if one.ref not in bench.leading()]
    return columns.assign(wanted, free, words.words(bench.ours.name))


def _field(bench: Bench, column: Column, taken: Mapping[str, Candidate]) -> Proposed | None:
    for key in bench.ours.foreign_keys:
        if key.columns == (column.name,):
            return links.lookup(bench, column, key)
    if bench.pivot is not None:
        return compounds.settings(bench, column)
    if column.name not in taken:
        return compounds.compound(bench, column, taken)
    proposed = rules.rule(column, taken[column.name], bench.candidates)
    return compounds.of_group(proposed, taken[column.name]) if bench.grouped else proposed
