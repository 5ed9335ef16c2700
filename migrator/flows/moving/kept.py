"""What a snapshot holds of a batch, and what can be computed from it again: the rows that were meant, and the books."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import polars as pl

from migrator.edges.snapshots import Ref
from migrator.errors import NotFound
from migrator.flows.parts import Parts
from migrator.mapping import compile, walk
from migrator.mapping.books import Book
from migrator.mapping.cleaning import CLEANED
from migrator.mapping.groups import closed
from migrator.mapping.model import MappingSet, Number
from migrator.mapping.outcome import Context, Mapped, Override, SourceRows
from migrator.mapping.schema import Kind, Table
from migrator.store import effects

COUNTED = ("read", "filtered", "expanded", "folded")


@dataclass(frozen=True)
class KeptBatch:
    """
    One batch as it was when its snapshot was made.

    `rows`: per mapping `__user`, `__key` and all columns of every row to be written, as they were written.
    `before`: per table all columns of the rows that were there before under one of these keys.
    `numbers`, `standing`: per mapping the ids that come from the target (see `Context`). `left`: per mapping the values
    of rows that were there which are not ours (see `Mapped`).
    """

    plan_id: str
    as_of: str
    fence: int  # under which the rows were written
    set_hash: str  # of the mappings they were made with
    users: tuple[str, ...]
    held: tuple[str, ...]
    sources: dict[str, SourceRows]
    references: dict[str, pl.DataFrame]
    overrides: tuple[Override, ...]
    rows: dict[str, pl.DataFrame]
    before: dict[str, pl.DataFrame]
    findings: pl.DataFrame
    books: dict[str, Book]
    generations: dict[str, int]
    numbers: dict[str, pl.DataFrame] = field(default_factory=dict)
    standing: dict[str, pl.DataFrame] = field(default_factory=dict)
    left: dict[str, pl.DataFrame] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)  # who merged with others -> who survived
    cleaned: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=CLEANED))

    def manifest(self) -> dict[str, Any]:
        """What is no frame, as JSON."""
        return {
            "plan": self.plan_id,
            "as_of": self.as_of,
            "fence": self.fence,
            "set_hash": self.set_hash,
            "users": list(self.users),
            "held": list(self.held),
            "counts": {name: {part: getattr(rows, part) for part in COUNTED} for name, rows in self.sources.items()},
            "kinds": {name: dict(rows.kinds) for name, rows in self.sources.items() if rows.kinds},
            "overrides": [asdict(one) for one in self.overrides],
            "books": {name: asdict(book) for name, book in self.books.items()},
            "generations": self.generations,
            "groups": self.groups,
        }

    def frames(self) -> dict[str, pl.DataFrame]:
        """The parts of the sealed file."""
        parts = {f"source/{name}": rows.frame for name, rows in self.sources.items()}
        parts |= {f"shaped/{name}": rows.findings for name, rows in self.sources.items()}
        parts |= {f"reference/{name}": frame for name, frame in self.references.items()}
        parts |= {f"rows/{name}": frame for name, frame in self.rows.items()}
        parts |= {f"before/{name}": frame for name, frame in self.before.items()}
        parts |= {f"numbers/{name}": frame for name, frame in self.numbers.items()}
        parts |= {f"standing/{name}": frame for name, frame in self.standing.items()}
        parts |= {f"left/{name}": frame for name, frame in self.left.items()}
        return parts | {"findings": self.findings, "cleaned": self.cleaned}

    @classmethod
    def of(cls, manifest: Mapping[str, Any], frames: Mapping[str, pl.DataFrame]) -> KeptBatch:
        """Read it back."""
        return cls(
            plan_id=manifest["plan"],
            as_of=manifest["as_of"],
            fence=manifest["fence"],
            set_hash=manifest["set_hash"],
            users=tuple(manifest["users"]),
            held=tuple(manifest["held"]),
            sources={
                name: SourceRows(
                    frame=frames[f"source/{name}"],
                    findings=frames[f"shaped/{name}"],
                    kinds={column: Kind(kind) for column, kind in manifest.get("kinds", {}).get(name, {}).items()},
                    **counts,
                )
                for name, counts in manifest["counts"].items()
            },
            references=_under(frames, "reference"),
            overrides=tuple(Override(**one) for one in manifest["overrides"]),
            rows=_under(frames, "rows"),
            before=_under(frames, "before"),
            findings=frames["findings"],
            cleaned=frames.get("cleaned", pl.DataFrame(schema=CLEANED)),
            books={name: Book(**book) for name, book in manifest["books"].items()},
            generations=manifest["generations"],
            groups=manifest.get("groups", {}),
            numbers=_under(frames, "numbers"),
            standing=_under(frames, "standing"),
            left=_under(frames, "left"),
        )

    def only(self, users: Sequence[str]) -> KeptBatch:
        """
        The same batch with the rows of some of its users, and of those who merged with them; its books stay those of all.
        """
        wanted = closed(users, self.groups)
        users = [user for user in self.users if user in wanted]
        mine = pl.col("__user").is_in(users)
        return replace(
            self,
            users=tuple(users),
            sources={name: replace(rows, frame=rows.frame.filter(mine)) for name, rows in self.sources.items()},
            rows={name: frame.filter(mine) for name, frame in self.rows.items()},
            numbers={name: frame.filter(mine) for name, frame in self.numbers.items()},
            standing={name: frame.filter(mine) for name, frame in self.standing.items()},
            left={name: frame.filter(mine) for name, frame in self.left.items()},
        )

    def is_whole(self, mapping: str) -> bool:
        """Whether every row that was read was written or folded: only then sums can be compared."""
        book = self.books.get(mapping)
        return book is not None and not (book.skipped or book.review or book.expanded)

    def meant(self, parts: Parts, set_: MappingSet) -> dict[str, pl.DataFrame]:
        """
        Map the kept source rows again: per mapping exactly the rows that were written, under the mapping of that time.
        """
        context = Context(
            self.plan_id,
            self.as_of,
            self.overrides,
            self.references,
            keyed=parts.key.digest,
            numbers=self.numbers,
            standing=self.standing,
            groups=self.groups,
        )
        mapped = compile.apply(set_, parts.target_schema, self.sources, context)
        return {name: rows_of(mapped, name, rows) for name, rows in self.rows.items()}


def ref_of(parts: Parts, plan_id: int, batch_id: int, fence: int) -> Ref:
    """
    Name a snapshot that was recorded; with which mappings it was made is known, as the plan may have been revised since.

    Raises:
        NotFound: nobody recorded it.
    """
    with parts.control.read() as db:
        known = effects.snapshot(db, batch_id, fence)
    if known is None:
        raise NotFound(
            f"the snapshot of batch {batch_id}, fence {fence} is not known here: its users can be neither verified nor rolled back"
        )
    if known["expired_at"] is not None:
        raise NotFound(
            f"the snapshot of batch {batch_id} expired on {known['expired_at']:%Y-%m-%d}: its users can be neither "
            "compared with what was meant nor rolled back"
        )
    return Ref(str(plan_id), batch_id, fence, known["set_hash"])


def opened(parts: Parts, plan_id: int, batch_id: int, fence: int) -> KeptBatch:
    """Open a snapshot that was recorded; NotFound and SnapshotDamaged where it cannot be."""
    loaded = parts.snapshots.load(ref_of(parts, plan_id, batch_id, fence))
    return KeptBatch.of(loaded.manifest, loaded.frames)


def alike(one: KeptBatch, other: KeptBatch, set_: MappingSet) -> bool:
    """
    Whether two batches can be mapped as one and give the same rows: same frames, same references, no numbering.

    Nor may rows have been skipped because others were there: those may be of the other batch.
    """
    if any(
        isinstance(spot.rule.source, Number) for document in set_.mappings.values() for spot in walk.spots(document)
    ):
        return False
    if _skipped_what_was_there(one, set_) or _skipped_what_was_there(other, set_):
        return False
    same = (one.plan_id, one.as_of) == (other.plan_id, other.as_of)
    # what is not whole in one must not keep the sums of others from being compared
    same = same and all(one.is_whole(name) == other.is_whole(name) for name in one.books.keys() | other.books.keys())
    same = same and all(one.sources[name].kinds == other.sources[name].kinds for name in one.sources)
    frames, others = one.frames(), other.frames()
    return (
        same
        and frames.keys() == others.keys()
        and all(frames[name].schema == others[name].schema for name in frames)
        and all(one.references[name].equals(other.references[name]) for name in one.references)
    )


def _skipped_what_was_there(kept: KeptBatch, set_: MappingSet) -> bool:
    rules = {name: document.target.on_conflict for name, document in set_.mappings.items()}
    return any(
        book.skipped and (rule := rules.get(name)) is not None and rule.action != "review"
        for name, book in kept.books.items()
    )


def together(batches: Sequence[KeptBatch]) -> KeptBatch:
    """Several alike batches as one: mapping has a fixed price per batch, and many are small."""
    first = batches[0]
    if len(batches) == 1:
        return first
    framed = [one.frames() for one in batches]
    stacked = {
        name: pl.concat([frames[name] for frames in framed]) for name in framed[0] if not name.startswith("reference/")
    }
    return replace(
        first,
        users=tuple(user for one in batches for user in one.users),
        held=tuple(user for one in batches for user in one.held),
        sources={
            name: SourceRows(
                frame=stacked[f"source/{name}"],
                findings=stacked[f"shaped/{name}"],
                kinds=first.sources[name].kinds,
                **{part: sum(getattr(one.sources[name], part) for one in batches) for part in COUNTED},
            )
            for name in first.sources
        },
        overrides=tuple(override for one in batches for override in one.overrides),
        rows=_under(stacked, "rows"),
        before=_under(stacked, "before"),
        findings=stacked["findings"],
        cleaned=stacked["cleaned"],
        books={name: sum((one.books[name] for one in batches), Book()) for name in first.books},
        generations={user: number for one in batches for user, number in one.generations.items()},
        groups={user: leader for one in batches for user, leader in one.groups.items()},
        numbers=_under(stacked, "numbers"),
        standing=_under(stacked, "standing"),
        left=_under(stacked, "left"),
    )


def rows_of(mapped: Mapped, name: str, keys: pl.DataFrame) -> pl.DataFrame:
    """The mapped rows whose source key is among *keys*."""
    rows = mapped.rows[name]
    return rows.join(keys.select("__user", "__key"), on=["__user", "__key"], how="semi", maintain_order="left")


@dataclass(frozen=True)
class TableRows:
    """Rows of several mappings as rows of the tables they write; a table may have several mappings."""

    set_: MappingSet
    tables: Mapping[str, Table]
    rows: Mapping[str, pl.DataFrame]  # per mapping

    @cached_property
    def order(self) -> list[str]:
        """The tables, parents before children by foreign keys."""
        written = list(dict.fromkeys(self.set_.mappings[name].target.table for name in self.rows))
        return in_foreign_key_order(written, self.tables)

    def mappings_of(self, table: str) -> list[str]:
        """Names of the mappings that write *table*, in the order of the set."""
        return [
            name for name in self.set_.mappings if name in self.rows and self.set_.mappings[name].target.table == table
        ]


def in_foreign_key_order(names: Sequence[str], tables: Mapping[str, Table]) -> list[str]:
    """Sort tables so that what a foreign key points at comes first; a table pointing at itself is no cycle."""
    left, done = list(names), list[str]()
    while left:
        free = [name for name in left if not {key.table for key in tables[name].foreign_keys} & (set(left) - {name})]
        if not free:  # a cycle: lint demands a deferrable constraint, so any order will do
            free = left[:1]
        done += free
        left = [name for name in left if name not in free]
    return done


def _under(frames: Mapping[str, pl.DataFrame], folder: str) -> dict[str, pl.DataFrame]:
    return {name.removeprefix(f"{folder}/"): frame for name, frame in frames.items() if name.startswith(f"{folder}/")}
