"""
Rows of nobody need a word: E211, where the data has some. `plan create` counts those of unknown users, too.

Where they move, each has a key to be known by (E212), and finds what it hangs on by columns as they are (E213).
"""

from __future__ import annotations

from migrator.mapping import nobody as rows_of_nobody
from migrator.mapping import values as literals
from migrator.mapping.lint import uses
from migrator.mapping.lint.ground import Ground, place_of
from migrator.mapping.lint.uses import Sort
from migrator.mapping.model import Mapping


def check(ground: Ground) -> None:
    """Check who owns the rows of all mappings."""
    for mapping in rows_of_nobody.movers(ground.set):
        _check_key(ground, mapping)
        _check_way(ground, mapping)
    for mapping in ground.set.mappings.values():
        source = mapping.source
        if source.without_user is not None or len(source.user) != 1 or "." in source.user[0]:
            continue
        column = source.user[0]
        seen = ground.facts.seen(source.table, column)
        nobody = 0 if seen is None else seen.rows - seen.filled
        listed = ground.facts.values(source.table, column) if seen and source.null_if else None
        blanks = {literals.literal_text(value) for value in source.null_if}
        nobody += sum(rows for value, rows in listed.counts.items() if value in blanks) if listed else 0
        if nobody:
            text = f"{nobody} rows of {source.table} belong to nobody: {column} is null"
            help = "say why they stay: without_user: {leave: ???}, or move them: without_user: move"
            ground.notes.add("E211", place_of(column, source.place), text, help)


def _check_key(ground: Ground, mapping: Mapping) -> None:
    names = uses.scope(mapping.source)
    kept = [name for name in mapping.source.key if names.use(str(name)).sort is Sort.COLUMN and "." not in name]
    if mapping.source.key and not kept:
        text = f"rows of nobody are known by their key, and ({', '.join(mapping.source.key)}) is no column of {mapping.source.table}"
        place = place_of(mapping.source.table, mapping.source.place)
        ground.notes.add("E212", place, text, "take the key of the table into key")


def _check_way(ground: Ground, mapping: Mapping) -> None:
    waits = rows_of_nobody.ways_up(ground.set, mapping)
    if not waits:
        return
    up = rows_of_nobody.way(ground.set, mapping)
    if up is None:
        text = f"rows of nobody find their {waits[0].parent} by {', '.join(waits[0].by)}, which is computed"
        ground.notes.add("E213", waits[0].place, text, "look it up by columns of the source, as they stand")
        return
    parent = ground.set.mappings[up.parent]
    names = uses.scope(parent.source)
    made = [
        name for name in rows_of_nobody.id_columns(parent) if names.use(name).sort in (Sort.MADE, Sort.NAME, Sort.VALUE)
    ]
    if made:
        text = f"rows of nobody of {mapping.name} hang on {parent.name}, which is known by {made[0]}: no row of legacy has it"
        ground.notes.add("E213", waits[0].place, text, f"give {parent.name} an id of columns of {parent.source.table}")
