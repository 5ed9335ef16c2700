"""
The Celery app whose hard time limit strikes a batch after seconds, not after ten minutes; the rest of it as it is.

    python -m tests.faults.impatient 4 run --workers 2 --yes

is `migrator run …` with workers of this app, in which a batch may take four seconds; who hears nothing is found soon, and
when the dispatcher looked is written down.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

LIMIT = "FAULTS_LIMIT"
DEAF = 10.0  # seconds, not a minute

if __name__ == "__main__":
    from migrator import cli, supervisor
    from migrator.edges import processes
    from migrator.flows.steering.dispatching import Dispatcher
    from tests.faults.figures import TICKS

    os.environ[LIMIT] = sys.argv.pop(1)
    supervisor.DEAF = DEAF
    start = processes.start
    processes.start = lambda words, *more: start(
        [__spec__.name if word == "tasks.app" else word for word in words], *more
    )
    tick = Dispatcher.tick

    def noted(self: Dispatcher) -> object:
        """Look, and write down when."""
        with Path(TICKS).open("a", encoding="ascii") as file:
            file.write(f"{time.monotonic()}\n")
        return tick(self)

    Dispatcher.tick = noted  # type: ignore[method-assign,assignment]
    cli.main()
else:
    from tasks.app import app

    app.conf.task_annotations = {"tasks.batches.move": {"time_limit": float(os.environ[LIMIT])}}
