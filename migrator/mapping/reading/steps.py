"""`transform:` -> Steps, each with a known name and arguments that its transform accepts."""

from __future__ import annotations

from collections.abc import Sequence

from migrator.mapping.model import From, RuleSource, Step
from migrator.mapping.problems import Notes
from migrator.mapping.reading.clocks import HELP, is_clock
from migrator.mapping.reading.forms import Form
from migrator.mapping.reading.nodes import Items, Node, Pairs, Scalar, literal
from migrator.mapping.registry import TRANSFORMS
from migrator.mapping.suggest import suggest

#: What other tools call our transforms, and what to write here.
_SYNONYMS = {
    "static_map": "map",
    "translate": "map",
    "enum": "map",
    "migration_lookup": "lookup",
    "lookup_table": "lookup",
    "default_value": "the key default: beside transform:",
    "skip_on_empty": "on_error: skip beside transform:, or where: in the source",
    "skip_on_value": "where: in the source",
    "strip": "trim",
    "ltrim": "trim",
    "rtrim": "trim",
    "squeeze": "collapse_spaces",
    "cast": "integer, decimal, boolean, date or datetime: the target column says which",
    "convert": "integer, decimal, boolean, date or datetime: the target column says which",
    "nullif": "null_if",
    "to_int": "integer",
    "int": "integer",
    "number": "decimal, or integer",
    "float": "decimal",
    "to_decimal": "decimal",
    "bool": "boolean",
    "to_date": "date",
    "format_date": "datetime or date",
    "strptime": "datetime",
    "timestamp": "datetime, or epoch for a number",
    "from_unixtime": "epoch",
    "to_timestamp": "epoch for a number, datetime for a text",
    "uppercase": "upper",
    "toupper": "upper",
    "lowercase": "lower",
    "tolower": "lower",
    "explode": "split",
    "split_part": "split",
    "implode": "concat",
    "join": "concat",
    "concat_ws": "concat",
    "ifnull": "coalesce",
    "nvl": "coalesce",
    "null_coalesce": "coalesce",
    "substring": "truncate, or extract",
    "substr": "truncate, or extract",
    "left": "truncate",
    "regexp_replace": "replace with regex: true",
    "regex": "matches, extract, or replace with regex: true",
    "json_decode": "json",
    "parse_json": "json",
    "unserialize": "php",
    "html_entity_decode": "unescape_html",
    "fix_encoding": "repair_encoding",
    "md5": "hash; for passwords password_hash",
    "sha256": "hash",
    "callback": "call",
    "python": "call",
    "if": "choose, in the place of from",
    "case": "choose, in the place of from",
}


def steps(node: Node | None, notes: Notes) -> tuple[Step, ...]:
    """Read a list of steps; what is wrong with one does not hide the next."""
    if node is None:
        return ()
    if not isinstance(node, Items):
        notes.add("E105", node.place, "transform is a list of steps", "write transform: [trim, lower]")
        return ()
    return tuple(step for item in node.items if (step := _step(item, notes)))


def check_combining(origin: RuleSource, transform: Sequence[Step], form: Form) -> None:
    """Note it when several columns have no first step that makes one value of them."""
    if not isinstance(origin, From) or len(origin.columns) < 2:
        return
    place = form.key_place("from")
    if origin.aggregate:
        form.notes.add("E112", place, "aggregate takes one column")
    first = TRANSFORMS.get(transform[0].name) if transform else None
    if first is None or not first.many:
        several = ", ".join(name for name, known in sorted(TRANSFORMS.items()) if known.many)
        form.notes.add(
            "E112", place, "several columns and no first step that combines them", f"begin with one of: {several}"
        )


def _step(node: Node, notes: Notes) -> Step | None:
    if isinstance(node, Scalar):
        name, place, arguments = node.text, node.place, None
    elif isinstance(node, Pairs) and len(node.entries) == 1:
        key, arguments = next(iter(node.entries.items()))
        name, place = str(key), key.place
    else:
        notes.add(
            "E105",
            node.place,
            "a step is a name, or a map with one key",
            "write trim, or {replace: {find: a, with: b}}",
        )
        return None
    step = Step(name, None if arguments is None else literal(arguments, notes), place)
    known = TRANSFORMS.get(name)
    if known is None and is_clock(name):
        notes.add("E601", place, f"{name} would give another value in every run", HELP)
    elif known is None:
        notes.add("E110", place, f'there is no transform "{name}"', _known_as(name))
    elif wrong := known.check_args(step.args):
        notes.add("E111", arguments.place if arguments else place, f"{name}: {wrong}", f"{name}: {known.about}")
    return step


def _known_as(name: str) -> str:
    ours = _SYNONYMS.get(name.lower())
    return f"here it is called: {ours}" if ours else suggest(name, TRANSFORMS)
