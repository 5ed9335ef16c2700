"""Memory of workers over time: lines of text for a terminal, SVG for a page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

Seen = Mapping[int, Sequence[tuple[float, int]]]  # process -> (seconds, bytes)
BARS = " ▁▂▃▄▅▆▇█"
WIDTH = 72
MEGABYTE = 1_000_000


def as_text(workers: Seen) -> str:
    """One line per worker: the most that it held in each slice of the time."""
    if not workers:
        return "  no worker was seen"
    end = max(seen[-1][0] for seen in workers.values())
    top = max(held for seen in workers.values() for _, held in seen)
    lines = [f"  memory of each worker over {end:.0f} s; a full block is {top / MEGABYTE:.0f} MB"]
    for number, seen in enumerate(workers.values(), start=1):
        slices = [0] * WIDTH
        for at, held in seen:
            place = min(int(at / max(end, 1e-9) * WIDTH), WIDTH - 1)
            slices[place] = max(slices[place], held)
        bars = "".join(BARS[-(-held * (len(BARS) - 1) // top)] for held in slices)
        lines.append(f"  worker {number} |{bars}| {max(slices) / MEGABYTE:.0f} MB")
    return "\n".join(lines)


def as_svg(workers: Seen, what: str) -> str:
    """A line per worker."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3))
    axes = figure.subplots()
    for number, seen in enumerate(workers.values(), start=1):
        axes.plot(
            [at for at, _ in seen], [held / MEGABYTE for _, held in seen], label=f"worker {number}", linewidth=1.2
        )
    axes.axhline(600, color="grey", linewidth=0.8, linestyle="--")
    axes.set(xlabel="seconds", ylabel="MB resident", title=f"memory of workers, {what}", ylim=(0, None))
    axes.legend(loc="lower right", frameon=False)
    page = io.StringIO()
    figure.savefig(page, format="svg", bbox_inches="tight")
    return page.getvalue()
