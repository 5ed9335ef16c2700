"""
The JSON Schema (draft-07) of mappings and set.yaml, for completion, hover and checks in an editor.

Made of the same lists of keys that the readers use and of the registry of transforms: a key without a schema here is an
error when the schema is made. It says the shape of a document; what only data and other files can tell is for lint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from migrator.mapping.reading import cleaning, mappings, predicates, rules, sets, sources, targets
from migrator.mapping.registry import TRANSFORMS
from migrator.mapping.transforms.arguments import schema_of

FILE = "schema.json"
Shape: TypeAlias = dict[str, Any]

_NAME: Shape = {"type": "string", "minLength": 1}
_COLUMN: Shape = {"type": "string", "minLength": 1, "not": {"enum": ["null", "~"]}}
_LITERAL: Shape = {"type": ["string", "number", "boolean", "null"]}
_TEXT: Shape = {"type": ["string", "number"]}
_FLAG: Shape = {"type": "boolean"}
_ANY: Shape = {}


def text() -> str:
    """The schema as the text of `mappings/schema.json`."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def schema() -> Shape:
    """One schema for both kinds of documents; the key `set` or `mapping` tells which it is."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "migrator: a mapping, or set.yaml",
        "type": "object",
        "if": {"required": ["set"]},
        "then": {"$ref": "#/definitions/set"},
        "else": {"$ref": "#/definitions/mapping"},
        "definitions": {
            "mapping": _mapping(),
            "set": _set(),
            "rule": _rule(),
            "rules": _free(_ref("rule")),
            "branch": _branch(),
            "steps": {"type": "array", "items": _ref("step")},
            "step": _step(),
            "predicate": _predicate(),
            "columns": _one_or_more(_COLUMN),
            "literals": {"anyOf": [_LITERAL, {"type": "array", "items": _LITERAL}]},
            "joins": _free(_ref("join")),
            "join": _join(),
            "pivot": _pivot(of_source=False),
            "ignored": _free(_ignored()),
        },
    }


# ---- building blocks --------------------------------------------------------------------------------------------


def _ref(name: str, about: str = "") -> Shape:
    # beside a $ref draft-07 reads nothing, so a description needs one level more
    found: Shape = {"$ref": f"#/definitions/{name}"}
    return {"description": about, "allOf": [found]} if about else found


def _map(keys: Sequence[str], shapes: Mapping[str, Shape], needs: Sequence[str] = (), about: str = "") -> Shape:
    """A map with just *keys*; each must have a shape, so that the readers and this cannot part."""
    made: Shape = {"type": "object", "properties": {key: shapes[key] for key in keys}, "additionalProperties": False}
    if needs:
        made["required"] = list(needs)
    return {"description": about, **made} if about else made


def _free(shape: Shape) -> Shape:
    return {"type": "object", "additionalProperties": shape}


def _one_or_more(shape: Shape) -> Shape:
    return {"anyOf": [shape, {"type": "array", "minItems": 1, "items": shape}]}


def _one_of_keys(keys: Sequence[str], shape: Shape, about: str = "") -> Shape:
    made = _map(keys, dict.fromkeys(keys, shape), about=about)
    return {**made, "minProperties": 1, "maxProperties": 1}


def _said(shape: Shape, about: str) -> Shape:
    return {"description": about, **shape} if "$ref" not in shape else {"description": about, "allOf": [shape]}


def _words(options: Sequence[str], about: str = "") -> Shape:
    return _said({"enum": list(options)}, about) if about else {"enum": list(options)}


# ---- a mapping --------------------------------------------------------------------------------------------------


def _mapping() -> Shape:
    shapes = {
        "mapping": {
            "type": "string",
            "pattern": "^[A-Za-z][A-Za-z0-9_]{0,62}$",
            "description": "The name of the mapping, unique in the folder; lookups of other mappings use it.",
        },
        "about": _said(_TEXT, "One sentence for whoever reads it next."),
        "source": _source(),
        "target": _target(),
        "vars": _ref("rules", "Values that are computed and not written; fields use them as $name."),
        "fields": _ref("rules", "One line per target column: a column to copy, or a rule."),
        "merge_duplicates": _merge(),
        "when_merged": _free(_words([*targets.OPERATIONS, "survivor"])),
        "clean": {"type": "array", "items": _cleaning()},
        "ignore": _ref("ignored", "Source columns that stay behind, each with its reason; * stands for any text."),
        "on_reject": _words(mappings.ON_REJECT, "Whether a rejected row holds its user (the default) or only itself."),
        "limits": _map(mappings.LIMITS, {"abort_above": {"type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]+)?%$"}}),
        "checks": _map(
            mappings.CHECKS, {"sums": _said(_free(_COLUMN), "Target column: legacy column; equal sums per user.")}
        ),
        "examples": {"type": "array", "items": _example()},
    }
    about = "How legacy rows become rows of one target table."
    return _map(mappings.KEYS, shapes, ("mapping", "source", "target", "fields"), about)


def _ignored() -> Shape:
    reason = _said({"type": ["string", "number", "boolean"]}, "Why this may stay behind.")
    shapes = {"reason": reason, "expect": _words(mappings.EXPECT, "What the live data must hold.")}
    return {"anyOf": [reason, _map(mappings.IGNORED, shapes, ("reason",))]}


def _cleaning() -> Shape:
    shapes = {
        "name": _NAME,
        "when": _ref("predicate", "The rows it is about."),
        "duplicates": _ref("columns", "Rows with the same values in these columns; keep says which stays."),
        "keep": _one_of_keys(("most_recent", "oldest"), _COLUMN),
        "invalid": _ref("columns", "Fields: rows in which one of them is rejected."),
        "action": _words(
            cleaning.ACTIONS, "drop: nothing is kept; archive: kept in the snapshot; hold: a person decides."
        ),
        "reason": _TEXT,
    }
    return _map(cleaning.KEYS, shapes, ("name", "action", "reason"), "Rows that are left out, counted and undoable.")


def _example() -> Shape:
    review = {"field": _NAME, "rule": _NAME, "value": _ANY}
    shapes = {
        "name": _TEXT,
        "given": _said(_free(_ANY), "Source columns; what is not given is null. A join stands under its name."),
        "expect": _said(_free(_ANY), "Some of the fields, as they must be."),
        "expect_review": {"type": "array", "items": _map(mappings.REVIEW, review, ("field", "rule"))},
    }
    made = _map(mappings.EXAMPLE, shapes, ("name", "given"), "A golden row: `migrator mapping test` runs it.")
    return {**made, "oneOf": [{"required": ["expect"]}, {"required": ["expect_review"]}]}


# ---- source -----------------------------------------------------------------------------------------------------


def _source() -> Shape:
    shapes = {
        "table": _said(_NAME, "The legacy table; one row of it is one row of the target."),
        "key": _ref("columns", "What identifies a legacy row for ever."),
        "user": {"description": "Whose row it is.", "anyOf": [_COLUMN, *_owners()]},
        "user_of": _said(_NAME, "Whose keys the user column holds, where there are several legacy databases."),
        "where": _ref("predicate", "Rows to read; the others are counted as filtered."),
        "null_if": _ref("literals", "Values that mean null, in every column."),
        "join": _ref("joins", "Rows of other legacy tables beside each row."),
        "pivot": _pivot(of_source=True),
        "group": _map(sources.GROUP, dict.fromkeys(sources.GROUP, _COLUMN), ("by",), "Many rows become one."),
        "unnest": _unnest(),
        "without_user": _without_user(),
    }
    return _map(sources.SOURCE, shapes, ("table", "key", "user"), "Which legacy rows are read, and whose they are.")


def _owners() -> list[Shape]:
    through = _map(sources.THROUGH, dict.fromkeys(sources.THROUGH, _NAME), sources.THROUGH)
    return [_map(("coalesce",), {"coalesce": _ref("columns")}, ("coalesce",)), through]


def _without_user() -> Shape:
    shapes = {
        "leave": _said(_TEXT, "Why rows of nobody stay behind."),
        "move": _said(_FLAG, "They move in the plan's last wave."),
        "values": _ref("literals", "Values of the user column that mean nobody."),
    }
    about = "What becomes of rows that belong to no user."
    return {"description": about, "anyOf": [{"const": "move"}, _map(sources.WITHOUT_USER, shapes)]}


def _join() -> Shape:
    shapes = {
        "table": _one_or_more(_NAME),
        "match": _said(_free(_COLUMN), "Its column: column of the source, or of an earlier join of one row."),
        "user": _said(_COLUMN, "Instead of match: its column of the user whose row it is."),
        "user_of": _NAME,
        "where": _ref("predicate"),
        "keep": _one_of_keys(sources.ORDERS[:2], _COLUMN, "One of several rows."),
        "many": _map(sources.MANY, dict.fromkeys(sources.MANY, _COLUMN), about="All rows, as a list."),
        "pivot": _ref("pivot", "Rows of (name, value) become columns."),
    }
    return _map(sources.JOIN, shapes, ("table",))


def _pivot(*, of_source: bool) -> Shape:
    names = {"from": _COLUMN, "table": _NAME, "match": _COLUMN, "take": _COLUMN, "where": _ref("predicate")}
    shapes = {
        "by": _COLUMN,
        "names": {"anyOf": [_COLUMN, _map(sources.NAMES, names, sources.NAMES[:4])]},
        "values": _COLUMN,
        "duplicates": _one_of_keys(sources.ORDERS, _COLUMN, "Which of two values of one name counts."),
    }
    keys = (*sources.PIVOT, "by") if of_source else sources.PIVOT
    return _map(keys, shapes, [key for key in keys if key != "duplicates"], "Rows of (name, value) become columns.")


def _unnest() -> Shape:
    shapes = {
        "column": _COLUMN,
        "separator": {"type": "string", "minLength": 1},
        "regex": {"type": "boolean"},
        "parse": _words(sources.PARSERS),
        "key": _NAME,
        "as": _NAME,
        "position": _NAME,
    }
    made = _map(sources.UNNEST, shapes, ("column", "as"), "One row becomes one row per part of a column.")
    return {**made, "oneOf": [{"required": ["separator"]}, {"required": ["parse"]}]}


# ---- target -----------------------------------------------------------------------------------------------------


def _target() -> Shape:
    shapes = {"table": _said(_NAME, "The table that is written."), "id": _id(), "on_conflict": _on_conflict()}
    return _map(targets.TARGET, shapes, ("table", "id"), "The table that is written, and how its key comes about.")


def _id() -> Shape:
    shapes = {
        "uuid5": _ref("columns", "Computed of these columns: the same in every run."),
        "keep": _ref("columns", "The legacy value."),
        "lookup": _said(_NAME, "The id of this mapping's row: one row per parent."),
        "fields": _ref("columns", "The key is made of fields of this mapping."),
        "sequence": _said({"const": True}, "Numbers taken from the target, kept for the next run."),
        "by": _ref("columns"),
        "as": _said(_COLUMN, "The column of the id; by default the primary key."),
    }
    made = _map(targets.ID, shapes)
    ways = [{"required": [way]} for way in targets.WAYS]
    return {**made, "oneOf": ways, "dependencies": {"by": ["lookup"], "lookup": ["by"]}}


def _on_conflict() -> Shape:
    shapes = {
        "match": _ref("columns", "Target columns by which a row is found that is there already."),
        "action": _words(targets.ACTIONS),
        "newer": _said(_COLUMN, "update_if_newer: the column that tells it."),
        "leave": {"anyOf": [_ref("columns"), _free(_ref("predicate"))]},
    }
    return _map(targets.ON_CONFLICT, shapes, ("match",), "What to do where a row is in the target already.")


def _merge() -> Shape:
    keep = {"anyOf": [{"const": "most_complete"}, _one_of_keys(targets.SURVIVORS, _COLUMN)]}
    shapes = {
        "match": _ref("columns", "Rows with the same values here are one; $x is a field, x a source column."),
        "keep": _said(keep, "Which row survives."),
        "fields": _free(_words(targets.OPERATIONS)),
        "review_if_different": _ref("columns"),
    }
    return _map(targets.MERGE, shapes, ("match", "keep"), "Rows that are one.")


# ---- rules ------------------------------------------------------------------------------------------------------


def _rule() -> Shape:
    keys = rules.RULE
    made = _map(keys, _rule_shapes(), about="Source, then steps, then default, then required.")
    parent = {"properties": {"lookup": {"type": "string"}}, "required": ["lookup"]}
    by = {"if": parent, "then": {"required": ["by"]}}
    return {"anyOf": [_COLUMN, {**made, "oneOf": [{"required": [key]} for key in rules.SOURCES], **by}]}


def _rule_shapes() -> dict[str, Shape]:
    reference = {"table": _NAME, "match": _free(_COLUMN), "take": _COLUMN}
    number = {"within": _ref("columns"), "order": _ref("columns"), "start": {"type": "integer"}}
    return {
        "from": _ref("columns", "A column, or several for a first step that combines them."),
        "value": _said(_ANY, "A literal."),
        "lookup": {
            "description": "The id of the user's row in another mapping (by: …), or a value of a reference table.",
            "anyOf": [_NAME, _map(rules.REFERENCE, reference, rules.REFERENCE)],
        },
        "object": _ref("rules", "A JSON object."),
        "collect": _ref("rules", "A JSON array, of the rows of a join (of: …) or of a group."),
        "choose": _said(
            {"type": "array", "minItems": 1, "items": _ref("branch")}, "The first branch whose condition holds."
        ),
        "number": _map(rules.NUMBER, number, rules.NUMBER[:2], "Position among the rows read."),
        "rest": _said({"const": True}, "The names of the pivot that nobody mapped, as a JSON object."),
        "aggregate": _words(rules.AGGREGATES, "One value of many."),
        "by": _ref("columns", "The parent's key, as it stands here."),
        "of": _said(_NAME, "The join whose rows are collected."),
        "on_item_error": _words(rules.ON_ITEM_ERROR),
        "omit_nulls": _FLAG,
        "transform": _ref("steps", "Steps, one after the other; null passes through."),
        "default": _said(_ANY, "What stands where nothing came out."),
        "required": _said(_FLAG, "A null here goes to review."),
        "on_error": {
            "description": "What a value gets that a step cannot take: a person's look, or another value.",
            "anyOf": [_words(rules.ON_ERROR), _map(("use",), {"use": _ANY}, ("use",))],
        },
        "on_missing": _words(rules.ON_MISSING, "What a lookup gives that finds nothing."),
        "sensitive": _said(_FLAG, "The value is shown nowhere: no case, log or report."),
        "owner": _words(
            rules.OWNERS, "Whose changes count when a user goes back after the cutover; legacy by default."
        ),
    }


def _branch() -> Shape:
    when = _ref("predicate", "The condition.")
    ways = [{"required": [key]} for key in (*rules.SOURCES, "review")]
    keys = ("when", "warn", "review", *rules.RULE)
    shapes = {**_rule_shapes(), "when": when, "warn": _TEXT, "review": _TEXT}
    held = _map(("review",), {"review": _TEXT}, ("review",))
    otherwise = _map(("else", "warn"), {"else": {"anyOf": [_ref("rule"), held]}, "warn": _TEXT}, ("else",))
    return {"anyOf": [{**_map(keys, shapes, ("when",)), "oneOf": ways}, otherwise]}


def _step() -> Shape:
    alone = [name for name, known in TRANSFORMS.items() if known.check_args(None) is None]
    properties = {
        name: {"description": known.about, **schema_of(known.check_args)} for name, known in sorted(TRANSFORMS.items())
    }
    with_arguments = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    return {"anyOf": [_words(sorted(alone)), with_arguments]}


def _predicate() -> Shape:
    literals: Shape = _ref("literals")
    bound = {"type": ["string", "number"]}
    shapes = {
        "not": literals,
        "is_null": _FLAG,
        **dict.fromkeys(("gt", "gte", "lt", "lte"), bound),
        "same_as": _COLUMN,
        "matches": _said({"type": "string"}, "A regular expression for the whole text."),
        "since": _said({"type": "string", "pattern": "^[0-9]{1,5}d$"}, "Days back from the plan's cut-off."),
        "older_than": _said(
            {"type": "string", "pattern": "^[0-9]{1,5}d$"}, "Before so many days back from the cut-off."
        ),
        "unit": _words(("s", "ms", "us")),
        "unread": _FLAG,
    }
    test = _map(predicates.TESTS, shapes)
    tests = {"anyOf": [literals, {**test, "minProperties": 1}]}
    either = {"type": "array", "items": _ref("predicate")}
    return {
        "type": "object",
        "properties": {"any": {"anyOf": [either, tests]}},
        "additionalProperties": tests,
    }


# ---- set.yaml ---------------------------------------------------------------------------------------------------


def _set() -> Shape:
    shapes = {
        "set": _said(_NAME, "The name of the set."),
        "users": _map(sets.USERS, _users_shapes(), ("table", "key"), "Who the users are."),
        "null_if": _ref("literals", "Times that mean never."),
        "at": _ref("steps", "Steps for every `at`."),
        "activity": {"type": "array", "items": _map(sets.ACTIVITY, _sign_shapes(), sets.ACTIVITY[:3])},
        "paid": {"type": "array", "items": _map(sets.PAID, _sign_shapes(), (*sets.ACTIVITY[:3], "amount"))},
        "tables": _ref("ignored", "Legacy tables that no mapping reads, each with its reason."),
        "changes": {
            "description": "Tables, each with the column that says when a row was written last.",
            **_free(_NAME),
        },
        "also": _free(_map(sets.ALSO, {**_users_shapes(), **_silo_shapes()}, ("table", "key", "same"))),
    }
    return _map(sets.KEYS, shapes, ("set", "users"), "Who the users are, what they did, and what nobody moves.")


def _users_shapes() -> dict[str, Shape]:
    return {
        "table": _NAME,
        "key": _said(_COLUMN, "One column; its exact text is the user's key."),
        "email": _COLUMN,
        "name": _COLUMN,
        "locale": _COLUMN,
        "where": _ref("predicate", "Who is moved; the others stay behind as excluded."),
        "join": _ref("joins"),
        "verified": _ref("predicate", "When the e-mail is known to be the user's."),
    }


def _silo_shapes() -> dict[str, Shape]:
    link = dict.fromkeys(sets.LINK, _NAME)
    way = _map(sets.SAME, {"id": _COLUMN, "of": _NAME, "link": _map(sets.LINK, link, ("table", "record", "user"))})
    return {"same": {"type": "array", "items": {"anyOf": [{"const": "email"}, way]}}, "several": _FLAG}


def _sign_shapes() -> dict[str, Shape]:
    return {
        "table": _NAME,
        "user": _COLUMN,
        "user_of": _NAME,
        "at": _said(_COLUMN, "When it was."),
        "where": _ref("predicate"),
        "join": _ref("joins"),
        "amount": _said(_COLUMN, "How much was paid; refunds are negative."),
        "currency": _COLUMN,
        "minus": _said(_FLAG, "The amounts are refunds."),
    }
