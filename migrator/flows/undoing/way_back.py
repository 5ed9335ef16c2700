"""The way back after a cutover, said before it: by which policy, which columns go back to legacy and which do not."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from migrator.flows.parts import Parts
from migrator.flows.undoing.policies import BLOCK
from migrator.mapping import backward
from migrator.mapping.backward import telling
from migrator.store import plans

STAYS, PARTLY = "stays", "partly"


@dataclass(frozen=True, slots=True)
class WayBack:
    """What a rollback would do with what the new system changes; `lines` are empty where nothing ever goes back."""

    policy: str
    lines: tuple[telling.Told, ...] = ()
    concerns: tuple[str, ...] = field(default=())

    @property
    def sentence(self) -> str:
        """In a line."""
        if self.policy == BLOCK:
            return (
                "rollback after this: block; who is changed in the new system stays there "
                "([rollback] policy, or --policy)"
            )
        counted = telling.summary(list(self.lines))
        all_ = sum(counted.values())
        partly = f" ({counted[PARTLY]} of them not every value)" if counted[PARTLY] else ""
        return f"rollback after this: {self.policy}; {all_ - counted[STAYS]} columns of {all_} go back{partly}"

    @property
    def staying(self) -> list[telling.Told]:
        """What does not go back, columns and rows."""
        return [line for line in self.lines if line.how == STAYS]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        lines = [{name: value for name, value in asdict(line).items() if name != "place"} for line in self.lines]
        return {"policy": self.policy, "said": self.sentence, "columns": lines, "concerns": list(self.concerns)}


def look(parts: Parts) -> WayBack:
    """Say it of the mappings of the plan."""
    if parts.policy == BLOCK:
        return WayBack(BLOCK)
    with parts.control.read() as db:
        plan = plans.require(db)
    set_ = parts.stored_set(plan.set_hash)
    lines = telling.table(backward.ways(set_, parts.legacy_schema, parts.target_schema))
    concerns = () if parts.writable else ("nothing can go back yet: [legacy] write_url is not set",)
    return WayBack(parts.policy, tuple(lines), concerns)
