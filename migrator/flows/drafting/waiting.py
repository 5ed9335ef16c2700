"""Who of a sample would not even start: held by the plan, or (there is none yet) as a plan would hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from migrator.flows.drafting import changes
from migrator.flows.drafting.sampling import Sample
from migrator.flows.parts import Parts
from migrator.flows.plans import grouping, identities, sharing
from migrator.mapping.lookalikes import Likeness
from migrator.mapping.model import MappingSet
from migrator.rollout.states import User

OUT = (User.EXCLUDED.value, User.ERASED.value)


@dataclass(frozen=True)
class Waits:
    """
    Users of a sample who stay where they are: `by_plan` held, `out` excluded, `held` with the reason.

    `shared` and `alike` are what a person would have to decide about those who are held.
    """

    by_plan: frozenset[str] = frozenset()
    out: frozenset[str] = frozenset()
    held: dict[str, str] = field(default_factory=dict)
    shared: tuple[sharing.Group, ...] = ()
    alike: tuple[Likeness, ...] = ()
    set_: MappingSet | None = None

    @property
    def stays(self) -> frozenset[str]:
        """All of them."""
        return self.by_plan | self.out | frozenset(self.held)

    def causes(self, *, reveal: bool) -> list[dict[str, Any]]:
        """What holds those whom no plan holds yet, as causes of cases are told."""
        found = [
            _cause(one.mapping.name, one.columns, "unique", one.value, one.sentence, one.users) for one in self.shared
        ]
        for one in self.alike:
            assert self.set_ is not None  # who is alike is so under a set
            merge = self.set_.mappings[one.mapping].merge
            columns = [name.removeprefix("$") for name in merge.match] if merge else []
            note = f"they differ in {', '.join(one.differing)}: one person, or several?"
            found.append(_cause(one.mapping, columns, grouping.RULE, one.value, note, one.users))
        named = {user for cause in found for user in cause["all"]}
        others = sorted(set(self.held) - named)
        if others:
            found.append(_cause("", (), "identity", None, self.held[others[0]], others))
        for cause in found:
            cause |= self._place(cause)
            cause["value"] = changes.covered(cause["value"], secret=False, sensitive=True, reveal=reveal)
            del cause["all"]
        return found

    def _place(self, cause: dict[str, Any]) -> dict[str, Any]:
        document = self.set_.mappings.get(cause["mapping"]) if self.set_ is not None else None
        if document is None:
            return {"file": None, "line": None}
        rule = document.fields.get(cause["field"].rpartition(", ")[2])
        place = rule.place if rule is not None else document.place
        return {"file": place.file, "line": place.line}


def of(parts: Parts, set_: MappingSet, sample: Sample) -> Waits:
    """
    Say who stays where he is, and why.

    Cost: where there is a plan, nothing is read; else one read and one mapping of the mappings on the users' table.
    """
    if sample.planned:
        status = sample.status
        by_plan = frozenset(key for key in sample.keys if status[key] == User.HELD.value)
        return Waits(by_plan, frozenset(key for key in sample.keys if status[key] in OUT))
    who, keys = sample.people, set(sample.keys)
    sure = [key for key in sample.keys if key not in who.found.in_doubt]
    together = who.grouped.together
    shared = sharing.find(parts, set_, sample.as_of, sure, records=who.found.records, together=together)
    alone = identities.held(who.found, who.excluded) | grouping.reasons(who.grouped)
    alone |= {user: group.sentence for group in shared for user in group.users}
    held = alone | grouping.along(alone, who.grouped.leaders)
    mine = {user: why for user, why in held.items() if user in keys}
    alike = tuple(one for one in who.grouped.doubtful if keys & set(one.users))
    return Waits(held=mine, shared=tuple(shared), alike=alike, set_=set_)


def _cause(
    mapping: str, columns: Sequence[str], rule: str, value: str | None, note: str, users: Sequence[str]
) -> dict[str, Any]:
    return {
        "mapping": mapping, "field": ", ".join(columns), "rule": rule, "value": value, "note": note, "sensitive": True,
        "users": len(users), "rows": len(users), "examples": list(users[:3]), "all": set(users),
    }  # fmt: skip
