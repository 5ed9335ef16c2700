"""
Move the work once, through the real command line, and check every value: seconds of wall clock and CPU per step.

    python -m tests.benchmarks.move --legacy postgresql --target postgresql --users 20000 --workers 2
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.benchmarks.clocks import timed
from tests.benchmarks.databases import DIALECTS, Servers
from tests.benchmarks.projects import Project
from tests.benchmarks.work import checks, legacy, target


def main() -> None:
    """Read the arguments, move, print."""
    wanted = _arguments()
    with Servers() as servers:
        old, new = servers.pair(wanted.legacy, wanted.target)
        _, took = timed(lambda: legacy.fill(old, wanted.users), servers.server_processes())
        _print("fill legacy", took)
        expected = checks.meant(old)
        target.build(new)
        folder = wanted.keep or servers.folder("project")
        project = Project.create(folder.resolve(), old, new, servers.server_processes(), batch=wanted.batch)
        try:
            project.plan()
            project.run(wanted.workers)
            checks.check(new, expected, "migrator")
            for command in wanted.then:
                project.do(command)
        finally:
            for name, step in project.took.items():
                _print(name, step)
        if not wanted.then:
            print(f"right: {sum(one.rows for one in expected.values()):,} rows in {len(expected)} tables")
        if wanted.keep:
            print(f"kept: {folder}")
        if wanted.wait:
            input("the servers run until you press return ")


def _print(name: str, took: object) -> None:
    print(f"{name:<22}{took}", flush=True)


def _arguments() -> argparse.Namespace:
    reader = argparse.ArgumentParser(
        prog="tests.benchmarks.move", description=__doc__.splitlines()[1] if __doc__ else ""
    )
    reader.add_argument("--legacy", choices=DIALECTS, default="postgresql")
    reader.add_argument("--target", choices=DIALECTS, default="postgresql")
    reader.add_argument("--users", type=int, default=20_000)
    reader.add_argument("--workers", type=int, default=2)
    reader.add_argument("--batch", type=int, default=5_000, help="users per batch")
    reader.add_argument("--keep", type=Path, help="a folder for the project, which stays")
    reader.add_argument("--wait", action="store_true", help="leave the servers running until return is pressed")
    reader.add_argument("--then", action="append", default=[], help='one more command to time, such as "verify"')
    return reader.parse_args()


if __name__ == "__main__":
    main()
