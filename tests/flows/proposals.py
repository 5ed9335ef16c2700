"""A proposal for two SQLite files, and how much of the mappings that people wrote for the same schemas it has found."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from migrator.edges.databases import connect
from migrator.flows.drafting import proposing
from migrator.mapping import document, lint
from migrator.mapping.model import MappingSet
from migrator.mapping.proposing.proposal import Proposal
from tests.mapping.likeness import score

MAPPINGS = Path(__file__).parents[2] / "mappings"
#: Of all target columns, ids, foreign keys and constants among them, so many must read what the real mapping reads.
ENOUGH = 0.70


@dataclass(frozen=True)
class Drafted:
    """A proposal, the set that is made of its files with a reason for each `???`, and the errors of lint in it."""

    proposal: Proposal
    set: MappingSet
    errors: set[str]

    def share(self, truth: str) -> float:
        """How much of a bundled set it has found."""
        judged = score(document.load(MAPPINGS / truth), self.set)
        return sum(judged.values()) / len(judged)


def drafted(old: Path, new: Path) -> Drafted:
    """Look into *old* and propose how to fill *new*."""
    with (
        closing(connect(f"sqlite:///{old}", None, "legacy")) as from_,
        closing(connect(f"sqlite:///{new}", None, "target")) as to,
    ):
        proposal = proposing.draft("first", from_, to)
        set_ = document.parse({name: text.replace("???", "a reason") for name, text in proposal.texts.items()})
        told = lint.lint(set_, from_.schema(), to.schema())
        as_written = document.look(proposal.texts)
    return Drafted(proposal, set_, {one.code for one in [*told, *as_written.problems] if one.level == "error"})
