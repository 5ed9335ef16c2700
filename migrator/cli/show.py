"""Results -> text or JSON. Prints; asks nothing and decides nothing."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress


#: What terminals obey or readers are fooled by: control signs, changes of direction, halves of signs.
_SIGNS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def result(data: Any, *, as_json: bool, text: Callable[[], None]) -> None:
    """Print *data* as JSON, or let *text* print it for people."""
    if as_json:
        print(_SIGNS.sub(_escaped, json.dumps(data, default=plain, indent=2, ensure_ascii=False)))
    else:
        text()


def plain(value: Any) -> Any:
    """What JSON has no word for: times as ISO UTC with Z, decimals as text, values as maps."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date | Path | Decimal):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, set | frozenset | tuple):
        return sorted(value) if isinstance(value, set | frozenset) else list(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def fields(value: Any) -> dict[str, Any]:
    """A dataclass as a map, to be told with more beside it."""
    return asdict(value)


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()) -> None:
    """Print a table that fits the terminal; columns in *right* (from 0) are numbers."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place, name in enumerate(head):
        grid.add_column(name, justify="right" if place in right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text("" if cell is None else tame(str(cell))) for cell in row))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(grid)


def say(*lines: str) -> None:
    """Print sentences."""
    for line in lines:
        print(tame(line))


def tame(text: str) -> str:
    """
    Show what would command the terminal instead of doing it: a user may be called `\\x1b[2J`.

    Line ends and tabs stay, as we write them ourselves; a lone CR, which writes over what stands before it, does not.
    """
    return _SIGNS.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"  # as JSON has it


def progress() -> Progress:
    """A bar for long work, on standard error, silent where that is no terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )


def moment(at: datetime | None) -> str:
    """A time for people: UTC to the second."""
    return at.strftime("%Y-%m-%d %H:%M:%S UTC") if at else "-"


def share(part: int, whole: int) -> str:
    """A percentage that never rounds a few to none."""
    if whole == 0 or part == 0:
        return "0 %"
    percent = 100 * part / whole
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"


def counted(wave: dict[str, Any]) -> str:
    """How many a wave moves; what they are where they are no users."""
    return str(wave["users"]) if wave.get("units", "users") == "users" else f"{wave['users']} {wave['units']}"


def waves(found: Sequence[dict[str, Any]]) -> None:
    """The waves of a plan with their numbers."""
    table(
        ("#", "wave", "status", "users", "moved", "held", "failed", "back", "differences"),
        [
            (
                wave["ordinal"],
                wave["name"],
                f"{wave['status']} ({wave['verdict']})" if wave["status"] in ("passed", "held") else wave["status"],
                counted(wave),
                wave["moved"],
                wave["held"],
                wave["failed"],
                wave["rolled_back"],
                "-" if wave["differences"] is None else wave["differences"],
            )
            for wave in found
        ],
        right=(0, 3, 4, 5, 6, 7, 8),
    )


def pace(wave: dict[str, Any]) -> None:
    """How a wave is handed out: the size of its next batch, what was set for it, and why it waits."""
    if wave["batch_size"] and wave["status"] == "running":
        say(f"the next batch holds {wave['batch_size']} {wave['units']}")
    for what, value in wave["orders"].items():
        say(f"set for this wave: {what.replace('_', '-')} {value}")
    if wave["waiting"]:
        say(wave["waiting"]["sentence"])
