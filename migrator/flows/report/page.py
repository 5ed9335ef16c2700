"""Numbers and charts -> one HTML file with everything inside it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import jinja2

#: Good, to be looked at, bad, or none of these; the page has a colour for each.
TONES = {
    "passed": "good", "go": "good", "live": "good", "moved": "good", "settled": "good", "sent": "good",
    "delivered": "good", "approved": "plain", "held": "look", "hold": "look", "override": "look", "paused": "look",
    "checking": "busy", "running": "busy", "moving": "busy", "rolling_back": "busy", "stop": "bad", "failed": "bad",
    "bounced": "bad", "unknown": "look", "cancelled": "plain", "rolled_back": "back",
}  # fmt: skip


def render(numbers: Mapping[str, Any], charts: Mapping[str, str]) -> str:
    """Put numbers and charts (SVG by name) into the page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("migrator.flows.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "moment": moment,
        "number": number,
        "amount": amount,
        "words": lambda status: str(status).replace("_", " "),
        "tone": lambda status: TONES.get(status, "plain"),
        "code": code,
    }
    return environment.get_template("page.html.j2").render(numbers=numbers, charts=charts)


def moment(text: str | None) -> str:
    """A time for people, UTC."""
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}" if text else "–"


def number(value: float | None) -> str:
    """A number with its thousands; a dash for what was not measured."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def amount(text: str | None) -> str:
    """Money with its thousands, in as many digits as it has."""
    return f"{Decimal(text):,f}" if text is not None else "–"


def code(sentence: str) -> list[tuple[str, bool]]:
    """Split a sentence at its backticks: (part, whether it is a command)."""
    return [(part, place % 2 == 1) for place, part in enumerate(sentence.split("`")) if part]
