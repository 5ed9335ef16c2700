"""Two versions of a mapping set over the same users: which rows and values differ, and which findings come and go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from migrator.errors import MappingInvalid, NotFound
from migrator.flows.drafting import changes, sampling
from migrator.flows.moving import reading
from migrator.flows.parts import Parts
from migrator.mapping import compare, document, groups, lint, problems
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import Context, Mapped, SourceRows
from migrator.mapping.schema import Column, Kind, Table
from migrator.rollout import buckets
from migrator.store import plans

SHORTEST = 6  # characters that name a stored set
OWN = {name: Column(name, Kind.TEXT) for name in ("__user", "__key")}
FINDING = ("user", "mapping", "key", "item_key", "field", "rule", "value", "outcome")


@dataclass
class ColumnDiff:
    """One target column: values that differ, of how many rows that both versions have."""

    column: str
    differ: int = 0
    samples: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class MappingDiff:
    """One mapping in both versions; `only_a` and `only_b` count rows, `gone` and `added` name columns."""

    rows_a: int = 0
    rows_b: int = 0
    only_a: int = 0
    only_b: int = 0
    changed: int = 0
    columns: dict[str, ColumnDiff] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    samples_a: list[dict[str, Any]] = field(default_factory=list)
    samples_b: list[dict[str, Any]] = field(default_factory=list)

    @property
    def both(self) -> int:
        """Rows that both versions have."""
        return self.rows_a - self.only_a

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not (self.only_a or self.only_b or self.changed or self.gone or self.added)

    def as_json(self) -> dict[str, Any]:
        """All of it, with the share of equal values per column."""
        columns = [
            {**asdict(one), "match": 100.0 * (self.both - one.differ) / self.both if self.both else 0.0}
            for one in self.columns.values()
        ]
        return {**asdict(self), "both": self.both, "columns": columns}


@dataclass
class Diff:
    """What two versions of a set make of the same users."""

    a: str
    b: str
    users: int = 0
    of: int = 0
    held_a: int = 0
    held_b: int = 0
    mappings: dict[str, MappingDiff] = field(default_factory=dict)
    findings: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        """Whether no row, no value and no finding differs."""
        return not self.findings and all(one.same for one in self.mappings.values())

    def as_json(self) -> dict[str, Any]:
        """All of it; mappings in which nothing differs are named only."""
        return {
            "a": self.a,
            "b": self.b,
            "same": self.same,
            "users": self.users,
            "of": self.of,
            "held_a": self.held_a,
            "held_b": self.held_b,
            "mappings": {name: one.as_json() for name, one in self.mappings.items() if not one.same},
            "equal": [name for name, one in self.mappings.items() if one.same],
            "findings": list(self.findings.values()),
        }


def version(parts: Parts, name: str) -> MappingSet:
    """
    One version of a mapping set: a folder, `plan`, or the (beginning of the) hash of a stored set.

    Raises:
        NotFound: it is none of these. MappingInvalid: it does not fit the databases.
    """
    set_ = _found(parts, name)
    wrong = problems.errors(lint.lint(set_, parts.legacy_schema, parts.target_schema, covering=False))
    if wrong:
        raise MappingInvalid(problems.render(wrong, set_.texts), len(wrong))
    return set_


def _found(parts: Parts, name: str) -> MappingSet:
    if Path(name).is_dir():
        return document.load(Path(name))
    with parts.control.read() as db:
        if name == "plan":
            hash_ = plans.require(db).set_hash
        elif len(name) >= SHORTEST and set(name) <= set("0123456789abcdef"):
            hash_ = plans.set_hash(db, name)
        else:
            raise NotFound(f'there is no folder "{name}"; name a folder, `plan`, or the hash of a stored set')
    return parts.stored_set(hash_)


def diff(
    parts: Parts,
    names: tuple[str, str],
    *,
    users: int = sampling.DEFAULT,
    limit: int = 5,
    reveal: bool = False,
    progress: sampling.Told = sampling.nobody,
) -> Diff:
    """
    Carry both versions out on the same users, and hold what they make side by side. Writes nothing.

    Args:
        names: Two versions, as `version` takes them.
        limit: how many samples are kept per column, and of rows on one side only.
    """
    a, b = (version(parts, name) for name in names)
    at = sampling.as_of(parts, b)
    sides = [(set_, sampling.grouped(parts, set_, sampling.people(parts, set_), at)) for set_ in (a, b)]
    everybody = sorted({key for _, who in sides for key in who.movers})
    sample = set(buckets.ranked(sampling.SALT, sampling.SALT, everybody)[:users])
    for _, who in sides:  # who travels together is looked at together
        sample |= set(who.with_mates(sample & set(who.movers)))
    total = Diff(names[0], names[1], users=len(sample), of=len(everybody))
    covers = {name: changes.Cover.of(doc, reveal=reveal) for set_ in (a, b) for name, doc in set_.mappings.items()}
    done = 0
    for keys in sampling.chunks(sorted(sample), parts.limits.users, _together(sides)):
        one, other = _mapped(parts, sides, at, keys)
        total.held_a += len(one.held)
        total.held_b += len(other.held)
        for name in dict.fromkeys([*a.mappings, *b.mappings]):
            table = _table(parts, a, b, name)
            mine = total.mappings.setdefault(name, MappingDiff())
            _add_rows(mine, one.rows.get(name), other.rows.get(name), table, covers[name], limit)
        _add_findings(total, one.findings, other.findings, covers, limit)
        done += len(keys)
        progress(done, len(sample))
    return total


def _together(sides: Sequence[tuple[MappingSet, sampling.People]]) -> dict[str, str]:
    """Who must be in one chunk, under either version."""
    units = [unit for _, who in sides for unit in who.grouped.units]
    return {user: unit[0] for unit in groups.components(units) for user in unit}


def _mapped(
    parts: Parts, sides: Sequence[tuple[MappingSet, sampling.People]], at: str, keys: Sequence[str]
) -> list[Mapped]:
    """Read and map the same users under both versions; what both read alike is read once."""
    found: list[Mapped] = []
    sources: dict[str, SourceRows] = {}
    alike = _read_alike(*(set_ for set_, _ in sides))
    for set_, who in sides:
        mine = [key for key in keys if key not in who.excluded]
        context = Context(
            plan_id="0",
            as_of=at,
            references=reading.references(parts, set_),
            keyed=parts.key.digest,
            records=sampling.records_of(who, mine),
            groups=groups.among(who.grouped.leaders, mine),
        )
        known = {name: rows for name, rows in sources.items() if name in alike}
        left = {name: document_ for name, document_ in set_.mappings.items() if name not in known}
        sources = known | reading.read(parts, replace(set_, mappings=left), mine, context).sources
        found.append(reading.map_(parts, set_, sources, context))
    return found


def _read_alike(a: MappingSet, b: MappingSet) -> frozenset[str]:
    """Mappings that read the same rows in both versions: written alike, for the same users, whatever others read."""
    if a.texts["set.yaml"] != b.texts["set.yaml"] or any("unread" in text for text in a.texts.values()):
        return frozenset()
    return frozenset(name for name in a.mappings if name in b.mappings and _text(a, name) == _text(b, name))


def _text(set_: MappingSet, name: str) -> str:
    return set_.texts[Path(set_.mappings[name].place.file).name]


def _table(parts: Parts, a: MappingSet, b: MappingSet, name: str) -> Table:
    document_ = b.mappings.get(name) or a.mappings[name]
    table: Table = parts.target_schema.tables[document_.target.table]
    return replace(table, columns={**table.columns, **OWN})


def _add_rows(
    mine: MappingDiff,
    a: pl.DataFrame | None,
    b: pl.DataFrame | None,
    table: Table,
    cover: changes.Cover,
    limit: int,
) -> None:
    a, b = a if a is not None else _no_rows(b), b if b is not None else _no_rows(a)
    mine.rows_a += a.height
    mine.rows_b += b.height
    mine.gone = [name for name in a.columns if name not in b.columns]
    mine.added = [name for name in b.columns if name not in a.columns]
    shared = [name for name in b.columns if name in a.columns]
    lines = compare.differences(b.select(shared), a.select(shared), table, ("__user", "__key"))
    only_a, only_b = (lines.filter(pl.col("kind") == kind) for kind in (compare.EXTRA, compare.MISSING))
    cells = lines.filter(pl.col("kind") == compare.VALUE)
    mine.only_a += only_a.height
    mine.only_b += only_b.height
    mine.changed += cells.select("__user", "__key").n_unique() if cells.height else 0
    for samples, rows in ((mine.samples_a, only_a), (mine.samples_b, only_b)):
        samples += [{"user": u, "key": k} for u, k in rows.select("__user", "__key").head(limit - len(samples)).rows()]
    for (name,), part in cells.group_by("column", maintain_order=True):
        column = mine.columns.setdefault(str(name), ColumnDiff(str(name)))
        column.differ += part.height
        for row in part.head(limit - len(column.samples)).iter_rows(named=True):
            before, after = (cover.shown(str(name), row[side]) for side in ("found", "meant"))
            column.samples.append({"user": row["__user"], "key": row["__key"], "before": before, "after": after})


def _no_rows(like: pl.DataFrame | None) -> pl.DataFrame:
    return like.clear() if like is not None else pl.DataFrame(schema=dict.fromkeys(OWN, pl.String))


def _add_findings(total: Diff, a: pl.DataFrame, b: pl.DataFrame, covers: dict[str, changes.Cover], limit: int) -> None:
    """Findings of one version only, by mapping, field, rule and outcome."""
    by = list(FINDING)
    for side, here, there in (("a", a, b), ("b", b, a)):
        for row in here.join(there, on=by, how="anti", nulls_equal=True, maintain_order="left").iter_rows(named=True):
            cause = (side, row["mapping"], row["field"], row["rule"], row["outcome"])
            same = {"only_in": side, **{name: row[name] for name in ("mapping", "field", "rule", "outcome", "note")}}
            one = total.findings.setdefault(cause, {**same, "rows": 0, "samples": []})
            one["rows"] += 1
            if len(one["samples"]) < limit:
                value = covers[row["mapping"]].finding(row)
                one["samples"].append({"user": row["user"], "key": row["key"], "value": value})
