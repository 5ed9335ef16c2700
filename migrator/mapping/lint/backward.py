"""What could not go back to legacy if users were rolled back after their cutover; only who asks for it is told."""

from __future__ import annotations

from migrator.mapping.backward import telling
from migrator.mapping.backward.telling import ROWS, Told
from migrator.mapping.backward.ways import ways
from migrator.mapping.lint.ground import Ground
from migrator.mapping.model import Mapping

CARRY_BACK, MERGE = "carry_back", "merge"
_HELP = {
    CARRY_BACK: "a change of it keeps its user in the new system, unless the policy is merge and legacy owns it, or force",
    MERGE: "a change of it keeps its user in the new system; without `owner: target` it would be given up",
}


def check(ground: Ground, policy: str) -> None:
    """
    Check every mapping whose tables are known.

    Args:
        policy: of the rollback: `carry_back`, or `merge`, under which only columns with `owner: target` go back.
    """
    if ground.legacy is None or ground.target is None:
        return
    known = {
        name: mapping
        for name, mapping in ground.set.mappings.items()
        if mapping.source.table in ground.legacy.tables and ground.written(mapping) is not None
    }
    found = ways(ground.set, ground.legacy, ground.target)
    for line in telling.table({name: way for name, way in found.items() if name in known}):
        if line.how != "back" and (policy != MERGE or line.owner == "target"):
            _note(ground, known[line.mapping], line, policy)


def _note(ground: Ground, mapping: Mapping, line: Told, policy: str) -> None:
    if line.column.startswith(ROWS):
        what = line.column.removeprefix(ROWS).strip()
        text = f"a row of {mapping.target.table} that is {what} in the new system is not {what} in legacy: {line.why}"
        ground.notes.add("W902", line.place, text, _HELP[policy].replace("a change of it", "such a row"))
    elif line.column in mapping.fields:  # what tells the rows apart is never changed
        goes = "goes back to legacy" if line.how == "partly" else "cannot go back to legacy:"
        place = mapping.fields[line.column].place if line.how == "partly" else line.place
        ground.notes.add("W901", place, f"{mapping.name}.{line.column} {goes} {line.why}", _HELP[policy])
