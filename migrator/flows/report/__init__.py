"""The whole migration for a person: the same numbers as JSON and as one HTML file that needs nothing beside it."""

from __future__ import annotations

from typing import Any

from migrator.flows.report import charts, page


def html(numbers: dict[str, Any]) -> str:
    """One HTML file of what `numbers.collect` gave."""
    return page.render(numbers, charts.draw(numbers))
