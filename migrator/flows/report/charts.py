"""Numbers -> SVG charts that take the page's colour of text, so that they are readable in light and in dark."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import matplotlib as mpl
from matplotlib import dates as untyped_dates
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

dates: Any = untyped_dates  # the library gives its date locators no types

#: One colour per status, strong enough on white and on black; in the order in which bars are stacked.
COLOURS = {
    "in target": "#12929a",
    "settled": "#0b6e74",
    "live": "#12929a",
    "moved": "#5bb8bd",
    "moving": "#4a80d9",
    "planned": "#98a3af",
    "rolling_back": "#b18be0",
    "rolled_back": "#8a5cc9",
    "held": "#e0a021",
    "failed": "#d64545",
    "excluded": "#6b7683",
    "erased": "#3f4750",
}
TEXT = "#010203"  # replaced by the page's own colour of text
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: searchable, and in the page's font
    "font.size": 9,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "ytick.left": False,
    "axes.axisbelow": True,
}
NOBODY = "none"  # the tier of users who stay in legacy
WIDTH = 10.5  # inches; the page scales it


def draw(numbers: Mapping[str, Any]) -> dict[str, str]:
    """All charts that the numbers allow, as SVG by name; a chart without anything to show is left out."""
    drawn = {
        "progress": progress(numbers["progress"], numbers["total_users"]),
        "waves": shares([(wave["name"], _of_wave(wave)) for wave in numbers["waves"]]),
        "tiers": counts([(tier["tier"], tier["statuses"]) for tier in numbers["tiers"] if tier["tier"] != NOBODY]),
    }
    return {name: svg for name, svg in drawn.items() if svg}


def progress(points: Sequence[Mapping[str, Any]], total: int) -> str | None:
    """Users in the target over time."""
    if not points:
        return None
    at: list[float] = [dates.date2num(datetime.fromisoformat(point["at"])) for point in points]
    users = [point["users"] for point in points]
    with mpl.rc_context({**STYLE, "svg.hashsalt": "progress"}):
        figure, axes = _canvas(3.0)
        axes.step([at[0], *at], [0, *users], where="post", color=COLOURS["live"], linewidth=2)
        axes.fill_between([at[0], *at], [0, *users], step="post", color=COLOURS["live"], alpha=0.18, linewidth=0)
        axes.axhline(total, color=TEXT, linewidth=0.8, linestyle=(0, (3, 3)), alpha=0.5)
        axes.annotate(f"{total:,} in the plan", (0, total), (2, -4), xycoords=("axes fraction", "data"),
                      textcoords="offset points", va="top", alpha=0.75)  # fmt: skip
        axes.set_ylim(0, max(total, *users) * 1.04)
        axes.xaxis.set_major_locator(dates.AutoDateLocator(minticks=3, maxticks=8))
        axes.xaxis.set_major_formatter(dates.DateFormatter(_clock(at[0], at[-1])))
        axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
        axes.yaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
        axes.grid(axis="y", color=TEXT, alpha=0.12, linewidth=0.8)
        return _svg(figure, f"Users in the new system over time, at last {users[-1]:,} of {total:,}")


def shares(rows: Sequence[tuple[str, Mapping[str, Any]]]) -> str | None:
    """One bar per wave, all equally long: which part of its users has come to what."""
    kept = [(name, _of(numbers)) for name, numbers in rows if sum(_of(numbers).values())]
    parts = {name: {status: n / sum(of.values()) for status, n in of.items()} for name, of in kept}
    labels = {name: f"{sum(of.values()):,}" for name, of in kept}
    said = "Share of each wave's users by status"
    return _bars(parts, labels, said, ticker.PercentFormatter(1, decimals=0), salt="waves") if kept else None


def counts(rows: Sequence[tuple[str, Mapping[str, int]]]) -> str | None:
    """One bar per tier, as long as it has users."""
    kept = {name: _of(numbers) for name, numbers in rows if sum(_of(numbers).values())}
    labels = {name: f"{sum(of.values()):,}" for name, of in kept.items()}
    formatter = ticker.StrMethodFormatter("{x:,.0f}")
    return _bars(kept, labels, "Users of each tier by status", formatter, salt="tiers") if kept else None


def _bars(
    rows: Mapping[str, Mapping[str, float]],
    labels: Mapping[str, str],
    said: str,
    formatter: ticker.Formatter,
    salt: str,
) -> str:
    names = list(rows)
    with mpl.rc_context({**STYLE, "svg.hashsalt": salt}):
        figure, axes = _canvas(0.75 + 0.3 * len(names))
        starts = dict.fromkeys(names, 0.0)
        for status in (status for status in COLOURS if any(of.get(status) for of in rows.values())):
            widths = [rows[name].get(status, 0) for name in names]
            axes.barh(names, widths, left=[starts[name] for name in names], height=0.66,
                      color=COLOURS[status], label=status.replace("_", " "))  # fmt: skip
            starts = {name: starts[name] + width for name, width in zip(names, widths, strict=True)}
        for name in names:
            axes.annotate(labels[name], (starts[name], name), (5, 0), textcoords="offset points", va="center")
        axes.invert_yaxis()
        axes.set_xlim(0, max(starts.values()) * 1.09)
        axes.xaxis.set_major_formatter(formatter)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=max(starts.values()) > 1.5))
        axes.grid(axis="x", color=TEXT, alpha=0.12, linewidth=0.8)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=9, frameon=False, handlelength=1, handleheight=1,
                    borderaxespad=0.2, columnspacing=1.4)  # fmt: skip
        return _svg(figure, said)


def _of(numbers: Mapping[str, Any]) -> dict[str, int]:
    return {status: numbers[status] for status in COLOURS if numbers.get(status)}


def _of_wave(wave: Mapping[str, Any]) -> dict[str, int]:
    """A wave counts who is in the target together, live or not."""
    return {"in target": wave["moved"], **{status: wave[status] for status in COLOURS if status in wave}, "moved": 0}


def _clock(first: float, last: float) -> str:
    """How a time is written on an axis of this many days."""
    days = last - first
    return "%H:%M:%S" if days < 0.01 else "%H:%M" if days < 1.5 else "%d %b"


def _canvas(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.subplots()
    axes.patch.set_alpha(0)
    return figure, axes


def _svg(figure: Figure, said: str) -> str:
    """The bare <svg> element: no prolog, no metadata, no fixed size."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'^<svg [^>]*?viewBox="([^"]*)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{said}">', drawn)
    drawn = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", drawn)
    return drawn.replace(TEXT, "currentColor").replace("xlink:href", "href")
