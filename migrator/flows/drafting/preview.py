"""What a move would do, for a sample of users: the real code up to the moment before anything is written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from migrator.errors import NotFound
from migrator.flows.drafting import changes, sampling, waiting
from migrator.flows.drafting.sampling import Sample, Wanted
from migrator.flows.moving import outlook
from migrator.flows.parts import Parts
from migrator.flows.plans import planning
from migrator.mapping import cleaning
from migrator.mapping.books import Book
from migrator.mapping.model import MappingSet
from migrator.mapping.outcome import FINDINGS, Mapped
from migrator.mapping.suggest import suggest

CAUSE = ("mapping", "field", "rule", "value", "note", "sensitive", "file", "line")
CELLS = {name: pl.String for name in ("user", "mapping", "key", "field", "before", "after")}


@dataclass(frozen=True, slots=True)
class Preview:
    """What would happen; `mappings` has the numbers, the lists have some samples of each kind."""

    set: str
    sample: dict[str, Any]
    users: dict[str, int]
    mappings: dict[str, dict[str, int]]
    changed: list[dict[str, Any]]
    causes: list[dict[str, Any]]
    warnings: list[dict[str, Any]]
    cleaned: list[dict[str, Any]]
    estimate: dict[str, Any]
    remarks: list[str]


@dataclass
class _Sum:
    """What the parts of the sample came to, so far."""

    books: dict[str, Book] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    cells: list[pl.DataFrame] = field(default_factory=list)
    findings: list[pl.DataFrame] = field(default_factory=list)
    cleaned: list[pl.DataFrame] = field(default_factory=list)
    bytes: int = 0
    held: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    moves: set[str] = field(default_factory=set)
    aborts: list[str] = field(default_factory=list)

    def add(self, seen: outlook.Outlook, rows: Mapped, made: dict[str, changes.Changes], limit: int) -> None:
        """Take in one part."""
        for name, book in rows.books.items():
            self.books[name] = self.books.get(name, Book()) + book
            mine = self.counts.setdefault(name, {"new": 0, "update": 0, "unchanged": 0})
            mine["new"] += made[name].created.height
            mine["update"] += made[name].updated.height
            mine["unchanged"] += made[name].unchanged
            self.cells.append(made[name].cells)
        self.findings.append(rows.findings)
        self.cleaned.append(rows.cleaned)
        self.bytes += sum(int(frame.estimated_size()) for frame in rows.rows.values())
        self.held |= rows.held
        self.gone |= seen.read.gone
        self.moves |= set(seen.there) - rows.held
        if seen.mapped.abort:
            self.aborts.append(seen.mapped.abort)


def preview(
    parts: Parts,
    wanted: Wanted = Wanted(),  # noqa: B008 (frozen)
    *,
    mappings: Sequence[str] = (),
    limit: int = 5,
    reveal: bool = False,
    progress: sampling.Told = sampling.nobody,
) -> Preview:
    """
    Read, map and hold against the target as a run would; neither legacy nor target nor control is written to.

    Args:
        mappings: what is told; all are carried out, because one user's rows hang together.
        limit: how many samples of each kind are listed.
        reveal: show values of sensitive fields, too.
        progress: told how many users are done, of how many.

    Raises:
        MappingInvalid: the mappings do not fit the databases.
        NotFound: a mapping, user, tier or wave that was asked for is not there.
    """
    set_ = planning.checked_set(parts)
    told = _chosen(set_, mappings)
    sample = sampling.choose(parts, set_, wanted)
    waits = waiting.of(parts, set_, sample)
    total = _Sum()
    done = len(waits.stays)
    for keys in _parts_of(sample, waits.stays, parts.limits.users):
        context = sampling.context(parts, set_, sample, keys)
        seen = outlook.of(parts, set_, keys, context)
        rows = seen.mapped if sample.status.get(keys[0]) in sampling.IN_TARGET else seen.decided
        total.add(seen, rows, changes.of(parts, set_, rows, seen.look), limit)
        done += len(keys)
        progress(done, len(sample.keys))
    return _told(set_, told, sample, total, waits, limit=limit, reveal=reveal)


def _chosen(set_: MappingSet, names: Sequence[str]) -> list[str]:
    unknown = [name for name in names if name not in set_.mappings]
    if unknown:
        raise NotFound(f'there is no mapping "{unknown[0]}"; {suggest(unknown[0], set_.mappings)}')
    return [name for name in set_.mappings if not names or name in names]


def _parts_of(sample: Sample, stays: Collection[str], size: int) -> list[list[str]]:
    """Who is in the target already is looked at apart: there the own rows are no conflict."""
    there = {key for key in sample.keys if sample.status.get(key) in sampling.IN_TARGET}
    fresh = [key for key in sample.keys if key not in there and key not in stays]
    return sampling.chunks(fresh, size, sample.groups) + sampling.chunks(sorted(there), size, sample.groups)


def _told(
    set_: MappingSet,
    names: Sequence[str],
    sample: Sample,
    total: _Sum,
    waits: waiting.Waits,
    *,
    limit: int,
    reveal: bool,
) -> Preview:
    findings = pl.concat(total.findings) if total.findings else pl.DataFrame(schema=FINDINGS)
    findings = findings.filter(pl.col("mapping").is_in(names))
    cells = pl.concat(total.cells) if total.cells else pl.DataFrame(schema=CELLS)
    users = {
        "looked_at": len(sample.keys),
        "move": len(total.moves),
        "held": len(total.held) + len(waits.held),
        "held_by_plan": len(waits.by_plan),
        "excluded": len(sample.excluded) + len(waits.out),
        "gone": len(total.gone),
    }
    numbers = {name: _numbers(total, name) for name in names}
    return Preview(
        set=set_.set.name,
        sample={"users": len(sample.keys), "of": sample.population, "plan": sample.plan and sample.plan.id},
        users=users,
        mappings=numbers,
        changed=_changed(set_, cells.filter(pl.col("mapping").is_in(names)), limit, reveal=reveal),
        causes=waits.causes(reveal=reveal)
        + _causes(set_, findings.filter(pl.col("outcome") == "review"), reveal=reveal),
        warnings=_warnings(set_, findings.filter(pl.col("outcome") == "warning"), limit, reveal=reveal),
        cleaned=_cleaned(set_, pl.concat(total.cleaned) if total.cleaned else None, names),
        estimate=_estimate(sample, users, numbers, total.bytes),
        remarks=_remarks(set_, sample, total, names),
    )


def _numbers(total: _Sum, name: str) -> dict[str, int]:
    book = total.books.get(name, Book())
    written = total.counts.get(name, {"new": 0, "update": 0, "unchanged": 0})
    return {
        "read": book.read,
        **written,
        "skipped": book.skipped,
        "filtered": book.filtered,
        "expanded": book.expanded,
        "folded": book.folded,
        "review": book.review,
        "blocked": book.blocked,
    }


def _changed(set_: MappingSet, cells: pl.DataFrame, limit: int, *, reveal: bool) -> list[dict[str, Any]]:
    """Fields that change in the target, each with how often and a few values side by side."""
    found = []
    for (mapping, name), part in cells.group_by("mapping", "field", maintain_order=True):
        cover = changes.Cover.of(set_.mappings[str(mapping)], reveal=reveal)
        samples = [
            {
                "user": row["user"],
                "key": row["key"],
                "before": cover.shown(str(name), row["before"]),
                "after": cover.shown(str(name), row["after"]),
            }
            for row in part.head(limit).iter_rows(named=True)
        ]
        found.append({"mapping": mapping, "field": name, "rows": part.height, "samples": samples})
    return sorted(found, key=lambda one: (-one["rows"], one["mapping"], one["field"]))


def _cover(set_: MappingSet, row: dict[str, Any], *, reveal: bool) -> changes.Cover:
    return changes.Cover.of(set_.mappings[row["mapping"]], reveal=reveal)


def _causes(set_: MappingSet, found: pl.DataFrame, *, reveal: bool) -> list[dict[str, Any]]:
    """What holds rows, grouped as review cases are: by mapping, field, rule and value."""
    grouped = found.group_by(CAUSE, maintain_order=True).agg(
        pl.col("user").n_unique().alias("users"),
        pl.len().alias("rows"),
        pl.col("user").unique().sort().head(3).alias("examples"),
    )
    causes = [{**row, "value": _cover(set_, row, reveal=reveal).finding(row)} for row in grouped.iter_rows(named=True)]
    return sorted(
        causes, key=lambda one: (-one["users"], one["mapping"], one["field"] or "", one["rule"], str(one["value"]))
    )


def _warnings(set_: MappingSet, found: pl.DataFrame, limit: int, *, reveal: bool) -> list[dict[str, Any]]:
    warnings = []
    for (mapping, name, rule), part in found.group_by("mapping", "field", "rule", maintain_order=True):
        samples = [
            {
                "user": row["user"],
                "key": row["key"],
                "before": _cover(set_, row, reveal=reveal).finding(row),
                "after": _cover(set_, row, reveal=reveal).finding(row, "after"),
            }
            for row in part.unique(["value", "after"], maintain_order=True).head(limit).iter_rows(named=True)
        ]
        first = part.row(0, named=True)
        warnings.append(
            {
                "mapping": mapping, "field": name, "rule": rule, "rows": part.height, "note": first["note"],
                "file": first["file"], "line": first["line"], "samples": samples,
            }
        )  # fmt: skip
    return sorted(warnings, key=lambda one: (-one["rows"], one["mapping"], one["field"] or ""))


def _cleaned(set_: MappingSet, took: pl.DataFrame | None, names: Sequence[str]) -> list[dict[str, Any]]:
    """What each cleaning rule would take; one that takes nothing is told, too."""
    counted = cleaning.counts(took) if took is not None else {}
    of_users = took.group_by("mapping", "rule").agg(pl.col("user").n_unique()) if took is not None else None
    users = {(mapping, rule): count for mapping, rule, count in of_users.iter_rows()} if of_users is not None else {}
    return [
        {
            "mapping": name, "rule": rule.name, "action": rule.action, "reason": rule.reason,
            "rows": counted.get((name, rule.name, rule.action), 0), "users": users.get((name, rule.name), 0),
        }
        for name in names
        for rule in set_.mappings[name].clean
    ]  # fmt: skip


def _estimate(sample: Sample, users: dict[str, int], numbers: dict[str, dict[str, int]], bytes_: int) -> dict[str, Any]:
    """The sample blown up to everybody it was drawn from."""
    if not sample.keys:
        return {"users": sample.population, "held": 0, "rows": {}, "bytes": 0}
    factor = sample.population / len(sample.keys)
    rows = {name: round((n["new"] + n["update"] + n["unchanged"]) * factor) for name, n in numbers.items()}
    held = users["held"] + users["held_by_plan"]
    return {
        "users": sample.population,
        "held": round(held * factor),
        "rows": rows,
        "bytes": round(bytes_ * factor),  # of values; indexes and the like come on top
    }


def _remarks(set_: MappingSet, sample: Sample, total: _Sum, names: Sequence[str]) -> list[str]:
    said = [f"a run would stop: {abort}" for abort in dict.fromkeys(total.aborts)]
    for name in names:
        most, book = set_.mappings[name].abort_above, total.books.get(name, Book())
        if most is not None and book.read and book.review / book.read > most:
            said.append(f"{name}: {book.review} of {book.read} rows wait for a person, more than limits.abort_above")
    there = sum(sample.status.get(key) in sampling.IN_TARGET for key in sample.keys)
    if there:
        said.append(
            f"{there} of these users are in the target already; shown is what the mappings would make of them now"
        )
    if not sample.planned and len(sample.asked) < sample.population:
        said.append("what must be unique was compared within these users; `migrator plan create` compares everybody")
    if sample.plan is not None and sample.plan.set_hash != set_.hash:
        said.append(f"the mappings are not those of plan {sample.plan.id}: `migrator plan revise` would take them up")
    return said
