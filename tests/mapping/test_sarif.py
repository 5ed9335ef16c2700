"""SARIF as the standard wants it, as far as the hosts that read it look."""

from __future__ import annotations

import json

import jsonschema

from migrator.mapping import sarif
from migrator.mapping.model import Place
from migrator.mapping.problems import Problem

#: What SARIF 2.1.0 asks of a log, a run, a tool, a result and a region, in its own words.
ESSENTIALS = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"enum": ["2.1.0"]},
        "runs": {"type": "array", "minItems": 1, "items": {
            "type": "object",
            "required": ["tool"],
            "properties": {
                "tool": {"type": "object", "required": ["driver"], "additionalProperties": False, "properties": {"driver": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"rules": {"type": "array", "uniqueItems": True, "items": {
                        "type": "object",
                        "required": ["id"],
                        "properties": {"shortDescription": {"type": "object", "required": ["text"]}},
                    }}},
                }}},
                "results": {"type": "array", "items": {
                    "type": "object",
                    "required": ["message"],
                    "properties": {
                        "ruleId": {"type": "string"},
                        "ruleIndex": {"type": "integer", "minimum": -1},
                        "level": {"enum": ["none", "note", "warning", "error"]},
                        "message": {"type": "object", "required": ["text"], "additionalProperties": False, "properties": {"text": {"type": "string"}}},
                        "locations": {"type": "array", "items": {
                            "type": "object",
                            "properties": {"physicalLocation": {"type": "object", "properties": {
                                "artifactLocation": {"type": "object", "properties": {"uri": {"type": "string"}}},
                                "region": {"type": "object", "properties": {
                                    "startLine": {"type": "integer", "minimum": 1},
                                    "startColumn": {"type": "integer", "minimum": 1},
                                    "endColumn": {"type": "integer", "minimum": 1},
                                }},
                            }}},
                        }},
                    },
                }},
            },
        }},
    },
}  # fmt: skip
FOUND = [
    Problem("W401", "may-not-fit", "warning", Place("mappings/b.yaml", 3, 5, 4), "it may not fit", "say truncate"),
    Problem("E201", "unknown-source-column", "error", Place("mappings/a.yaml", 7, 1, 2), "there is no x"),
    Problem("E100", "not-found", "error", Place("mappings", 0, 0), "there is no such folder"),
]


def test_it_is_what_the_standard_asks_for() -> None:
    made = json.loads(json.dumps(sarif.log(FOUND)))

    jsonschema.validate(made, ESSENTIALS)
    (run,) = made["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["E100", "E201", "W401"]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


def test_each_problem_has_its_region_and_one_without_a_line_has_none() -> None:
    whole, column, size = sarif.log(FOUND)["runs"][0]["results"]

    assert "region" not in whole["locations"][0]["physicalLocation"]
    assert column["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "mappings/a.yaml"},
        "region": {"startLine": 7, "startColumn": 1, "endColumn": 3},
    }
    assert (size["level"], size["message"]["text"]) == ("warning", "it may not fit. say truncate")


def test_nothing_found_is_a_run_without_results() -> None:
    made = sarif.log([])

    jsonschema.validate(made, ESSENTIALS)
    assert made["runs"][0]["results"] == []
