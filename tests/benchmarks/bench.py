"""
`make bench`: what is measured, the limit it must stay under, and the verdict, as one table.

P1 to P11 are the figures of the design: moving beside plain SQL and other tools, planning, rolling back, verifying,
memory, starting. The mapping core and the Magento shop stand beside them. Every result is checked before its time counts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial

from tests.benchmarks import comparison, core, magento, sizes, starting
from tests.benchmarks.databases import Servers
from tests.benchmarks.figures import HEAD, Line, Report
from tests.benchmarks.machine import describe
from tests.benchmarks.wanted import Wanted, read


def main() -> None:
    """Print the table as it grows, then once more in order; end with 1 if a limit was crossed."""
    wanted, report = read(), Report(partial(print, flush=True))
    with Servers() as servers:
        report.details["machine"] = describe(servers)
        for name, words in report.details["machine"].items():
            report.say(f"{name:<10} {words}")
        report.say(HEAD)
        _lines(servers, wanted, report)
        if wanted.any("P1", "P2", "P3", "P4", "P6", "P7"):
            comparison.compare(servers, wanted, report)
        if wanted.any("P5", "P8", "P10", "P11"):
            sizes.measure(servers, wanted, report)
    report.say(f"\n{report.table()}")
    if wanted.json:
        wanted.json.write_text(report.as_json(), encoding="utf-8")
    sys.exit(bool(report.over))


def _lines(servers: Servers, wanted: Wanted, report: Report) -> None:
    """What stands by itself."""
    parts: dict[str, Callable[[], Iterable[Line]]] = {
        "P9": lambda: starting.start(servers),
        "core": core.mapping_core,
        "magento300": magento.small,
        "magento": lambda: magento.whole(servers),
    }
    for name, part in parts.items():
        for line in part() if wanted.any(name) else ():
            report.add(line)


if __name__ == "__main__":
    main()
