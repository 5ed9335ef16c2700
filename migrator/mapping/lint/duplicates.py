"""Users who merge: what becomes of their other rows (E506), and of each field (E111, E301); who they are (E508)."""

from __future__ import annotations

from migrator.mapping import identities, merging, walk
from migrator.mapping.lint.ground import Ground, place_of
from migrator.mapping.model import From, Lookup, Mapping, Merge, Place
from migrator.mapping.schema import Kind
from migrator.mapping.suggest import suggest

_NUMBERS = frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT, Kind.OTHER})
_TRUTHS = frozenset({Kind.BOOLEAN, Kind.INTEGER, Kind.OTHER})
_LISTS = frozenset({Kind.JSON, Kind.TEXT, Kind.OTHER})  # some databases keep JSON as text
_EXAMPLE = "say what becomes of their rows, for example:\nwhen_merged: {keep: survivor, COLUMN: sum}"


def check(ground: Ground) -> None:
    """Check `merge_duplicates` and `when_merged` of all mappings."""
    merged = {mapping.target.table: mapping for mapping in merging.merging(ground.set)}
    for mapping in ground.set.mappings.values():
        _check_copies(ground, mapping, merged)
        if mapping.merge is not None:
            _check_operations(ground, mapping, mapping.merge.fields, mapping.merge.place)
            if merging.merges_users(mapping):
                _check_known_before(ground, mapping, mapping.merge)
        if mapping.when_merged:
            operations = {name: how for name, how in mapping.when_merged.items() if name != "keep"}
            _check_operations(ground, mapping, operations, mapping.place)
            _check_meaning(ground, mapping)
        else:
            _check_missing(ground, mapping)


def _check_operations(ground: Ground, mapping: Mapping, operations: dict[str, str], otherwise: Place) -> None:
    table = ground.written(mapping)
    for name, how in operations.items():
        column = table.columns.get(name) if table else None
        if name not in mapping.fields and (table is None or column is not None):  # else E301 says it already
            text = f'no field of this mapping sets "{name}", so there is nothing to merge'
            ground.notes.add("E301", place_of(name, otherwise), text, suggest(name, mapping.fields))
        elif column is not None and column.kind not in _kinds(how):
            text = f'"{how}" makes no sense for {name}: it is {column.declared or column.kind}'
            ground.notes.add("E111", place_of(name, otherwise), text, "first_not_null takes one of the values as it is")


def _kinds(how: str) -> frozenset[Kind]:
    if how in merging.NUMBERS:
        return _NUMBERS
    if how in merging.TRUTHS:
        return _TRUTHS
    if how in merging.LISTS:
        return _LISTS
    return frozenset(Kind) - {Kind.JSON, Kind.BINARY} if how in ("min", "max") else frozenset(Kind)


def _check_known_before(ground: Ground, mapping: Mapping, merge: Merge) -> None:
    """Who merges is found before anybody moves: rows of other mappings are not there yet."""
    rules = {f"${name}": rule for name, rule in (mapping.vars | mapping.fields).items()}
    for name in (*merge.match, merge.keep[1], *merge.review_if_different):
        rule = rules.get(name)
        if rule is not None and any(isinstance(spot.rule.source, Lookup) for spot in walk.within(name, rule)):
            text = f"{name} is the id of another mapping's row, and who merges is found before any row is made"
            ground.notes.add("E508", place_of(name, merge.place), text, "match columns of the user's own row")


def _check_missing(ground: Ground, mapping: Mapping) -> None:
    for key in merging.meetings(ground.set, mapping, ground.written(mapping)):
        if mapping.merge is not None and {name.removeprefix("$") for name in mapping.merge.match} <= set(key):
            continue  # its own duplicates are folded, and users who merged are one user there
        parents = ", ".join(one.name for one in merging.merging(ground.set))
        said = f"by {', '.join(key)}" if any(key) else "by its id"
        text = f"users merge ({parents}), and {mapping.target.table} has one row {said}: two of them would meet there"
        ground.notes.add("E506", place_of(mapping.target.table, mapping.target.place), text, _EXAMPLE)
        return


def _check_copies(ground: Ground, mapping: Mapping, merged: dict[str, Mapping]) -> None:
    """A column that points at the row of a user who merges must look it up: the row may be the survivor's."""
    table = ground.written(mapping)
    for key in table.foreign_keys if table is not None and not merging.merges_users(mapping) else ():
        parent = merged.get(key.table)
        if parent is None or len(key.columns) != 1:
            continue
        column = key.columns[0]
        rule = mapping.fields.get(column)
        copied = rule is not None and isinstance(rule.source, From) and not rule.steps
        is_id = column == identities.id_column(mapping, table) and mapping.target.id.how == "keep"
        if copied or is_id:
            text = f"{column} points at {key.table}, whose users merge ({parent.name}): the row of one may be another's"
            place = rule.place if rule is not None else mapping.target.place
            ground.notes.add("E506", place, text, f"look it up: {{lookup: {parent.name}, by: COLUMN}}")


def _check_meaning(ground: Ground, mapping: Mapping) -> None:
    place = place_of(next(iter(mapping.when_merged)), mapping.place)
    if merging.merges_users(mapping):
        text = "this mapping merges the users itself; when_merged is for the rows that hang on theirs"
        ground.notes.add("E506", place, text, "put the operations under merge_duplicates: fields:")
    elif not merging.merging(ground.set):
        text = "no mapping merges users, so when_merged has no meaning"
        ground.notes.add("E506", place, text, "take it out, or add merge_duplicates to the mapping of the users")
    elif ground.target is not None and not merging.is_own(mapping):
        if any(merging.meetings(ground.set, mapping, ground.written(mapping))):
            return
        text = (
            f"rows of users who merge never meet in {mapping.target.table}: no key of it holds the id of a merged row"
        )
        ground.notes.add("E506", place, text, "take when_merged out; all rows are kept")
