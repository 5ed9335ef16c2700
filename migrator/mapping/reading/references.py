"""A reference file (CSV with a header, UTF-8) beside the mappings -> header and rows of text."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TypeAlias

from migrator.mapping.model import Place, Step
from migrator.mapping.problems import Notes
from migrator.mapping.suggest import suggest

Reference: TypeAlias = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]


def inside(name: str) -> bool:
    """Whether *name* stays inside the folder of the set."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\\" not in name


def reference(text: str, file: str, notes: Notes) -> Reference:
    """Read the text of a CSV; a row that is shorter or longer than the header is a mistake."""
    try:
        rows = [tuple(row) for row in csv.reader(text.splitlines(keepends=True), strict=True)]
    except csv.Error as broken:
        notes.add("E113", Place(file, 1, 1), f"this is not CSV: {broken}")
        return (), ()
    if not rows or not any(rows[0]):
        notes.add("E113", Place(file, 1, 1), "the file has no header", "the first line names the columns")
        return (), ()
    header, *body = rows
    for number, row in enumerate(body, start=2):
        if row and len(row) != len(header):
            notes.add(
                "E113", Place(file, number, 1), f"row {number} has {len(row)} values, the header {len(header)} names"
            )
    return header, tuple(row for row in body if len(row) == len(header))


def check_use(step: Step, found: Reference, notes: Notes) -> None:
    """Note it when the step names a column that the file lacks, or its `match` is not unique."""
    header, rows = found
    if not header:
        return
    for key in ("match", "take"):
        for column in _names(step.args.get(key)):
            if column not in header:
                notes.add("E113", step.place, f'{step.args["file"]} has no column "{column}"', suggest(column, header))
    match = _names(step.args.get("match"))
    if set(match) <= set(header):
        at = [header.index(column) for column in match]
        twice = [key for key, count in Counter(tuple(row[i] for i in at) for row in rows).items() if count > 1]
        if twice:
            shown = ", ".join("/".join(key) for key in twice[:3])
            notes.add(
                "E113", step.place, f"{step.args['file']} has {len(twice)} value(s) of {'/'.join(match)} twice: {shown}"
            )


def _names(value: object) -> Sequence[str]:
    if isinstance(value, str):
        return (value,)
    return [str(name) for name in value] if isinstance(value, list) else ()
