"""Hold a mapping folder against what is known of both databases: live, recorded in a snapshot, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from migrator.edges.databases.base import Legacy
from migrator.errors import WrongInput
from migrator.flows.drafting import facts as live_facts
from migrator.mapping import lint, problems, secrecy, snapshot, walk
from migrator.mapping.document import Draft
from migrator.mapping.facts import NOTHING, Facts
from migrator.mapping.lint import personal, uses
from migrator.mapping.model import MappingSet
from migrator.mapping.problems import Problem
from migrator.mapping.schema import Schema

FILE = "schema.snapshot.json"


@dataclass(frozen=True, slots=True)
class Known:
    """What lint may know; None and NOTHING leave out the checks that need it."""

    legacy: Schema | None = None
    target: Schema | None = None
    facts: Facts = NOTHING
    target_facts: Facts = NOTHING


UNKNOWN = Known()


@contextmanager
def live(
    legacy: Legacy, target: Legacy, *, data: bool, schemas: tuple[Schema, Schema] | None = None
) -> Iterator[Known]:
    """
    Know the live schemas and, with *data*, what lint asks of the rows.

    Args:
        schemas: Both, where they were looked at already.
    """
    with ExitStack() as open_:
        facts: Facts = open_.enter_context(live_facts.of(legacy)) if data else NOTHING
        target_facts: Facts = open_.enter_context(live_facts.of(target)) if data else NOTHING
        yield Known(*(schemas or (legacy.schema(), target.schema())), facts, target_facts)


def recorded(file: Path, *, data: bool) -> Known:
    """
    Know what a snapshot file says.

    Raises:
        WrongInput: there is no such file, or it is no snapshot.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as broken:
        raise WrongInput(
            f"{file} cannot be read ({type(broken).__name__}); `migrator mapping snapshot` makes it"
        ) from None
    found = snapshot.read(text, str(file))
    if not data:
        return Known(found.legacy, found.target)
    return Known(found.legacy, found.target, found.facts, found.target_facts)


def check(draft: Draft, known: Known, *, policy: str = "") -> list[Problem]:
    """
    All problems of a folder, by file and line: those of its documents, and those against what is known.

    Args:
        policy: of a rollback after the cutover, where it is to be said what could not go back: carry_back or merge.
    """
    if draft.set is None:
        return problems.in_order(draft.problems)
    found = lint.lint(
        draft.set,
        known.legacy,
        known.target,
        whole=draft.whole,
        covering=draft.whole and not problems.errors(draft.problems),
        facts=known.facts,
        target_facts=known.target_facts,
        policy=policy if draft.whole and not problems.errors(draft.problems) else "",
    )
    return problems.in_order([*draft.problems, *found])


def record(set_: MappingSet, legacy: Legacy, target: Legacy) -> str:
    """Write both schemas and what lint asks of the data as the text of a snapshot; never a value of a person."""
    private = frozenset(_private(set_))
    with live(legacy, target, data=True) as known:
        assert known.legacy is not None and known.target is not None  # they are live
        facts = snapshot.Recording(known.facts, private)
        target_facts = snapshot.Recording(known.target_facts)
        lint.lint(set_, known.legacy, known.target, facts=facts, target_facts=target_facts)
        for use in _used(set_):  # so that a change of a mapping is checked as well
            for table in use.tables:
                if table in known.legacy.tables and use.column in known.legacy.tables[table].columns:
                    facts.seen(table, use.column)
        return snapshot.write(snapshot.Snapshot(known.legacy, known.target, facts, target_facts))


def _used(set_: MappingSet) -> Iterator[uses.Use]:
    yield from uses.of_set(set_.set)
    for mapping in set_.mappings.values():
        yield from uses.of_mapping(mapping)


def _private(set_: MappingSet) -> Iterator[tuple[str, str]]:
    """The legacy columns that a sensitive rule reads, and those that name a user."""
    who = uses.of_set(set_.set)
    users = set_.set.users
    personal_columns = {name for name in (users.email, users.name) if name}
    yield from ((table, use.column) for use in who if use.written in personal_columns for table in use.tables)
    for mapping in set_.mappings.values():
        names = uses.scope(mapping.source)
        rules = mapping.vars | mapping.fields
        hidden = {spot.path for spot in walk.spots(mapping) if secrecy.is_sensitive(spot.path, spot.rule, rules)}
        for spot in walk.spots(mapping):
            if personal.is_covered(spot.path, hidden):
                for use in uses.of_rule(spot.rule, names, spot.collect):
                    yield from ((table, use.column) for table in use.tables)
