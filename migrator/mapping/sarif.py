"""Problems as SARIF 2.1.0, which code hosts and editors show beside the line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from migrator import __version__
from migrator.mapping.problems import NAMES, Problem, in_order

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def log(found: Iterable[Problem]) -> dict[str, Any]:
    """Make one run of one tool: every rule that was broken, and each problem with its region."""
    problems = in_order(found)
    codes = sorted({problem.code for problem in problems})
    driver = {
        "name": "migrator",
        "semanticVersion": __version__,
        "rules": [{"id": code, "name": NAMES[code], "shortDescription": {"text": _words(code)}} for code in codes],
    }
    results = [_result(problem, codes) for problem in problems]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _words(code: str) -> str:
    return NAMES[code].replace("-", " ")


def _result(problem: Problem, codes: list[str]) -> dict[str, Any]:
    place = problem.place
    location: dict[str, Any] = {"artifactLocation": {"uri": place.file}}
    if place.line:
        location["region"] = {
            "startLine": place.line,
            "startColumn": place.column,
            "endColumn": place.column + place.length,
        }
    return {
        "ruleId": problem.code,
        "ruleIndex": codes.index(problem.code),
        "level": problem.level,
        "message": {"text": f"{problem.text}. {problem.help}".strip() if problem.help else problem.text},
        "locations": [{"physicalLocation": location}],
    }
