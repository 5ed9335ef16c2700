"""
The whole campaign in one run (`make faults`): one table, and the same as JSON.

    python -m tests.faults.everything --json faults.json
    python -m tests.faults.everything --share 0.01 --only T1 --only T8

What has no program of its own here is a test of this folder, run with pytest at its large size.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults import figures, programs

PATIENCE = 3 * 3600  # seconds for one part, which none needs
HEADS = ("test", "amount", "lost", "doubled", "wrong", "stale", "books", "seed", "minutes")


@dataclass(frozen=True)
class Job:
    """One part: a program of this folder with its amount, or a file of tests."""

    id: str
    words: tuple[str, ...]
    amount: int = 1
    option: str = ""  # that takes the amount
    parts: int = 1  # processes it is spread over, each with a seed of its own
    says: str = ""  # what a file of tests is about
    environment: dict[str, str] = field(default_factory=dict)


#: In this order, so that those that wait most have somebody beside them who does not.
JOBS = (
    Job("T6", ("tests.faults.works", "--what", "workers"), 200, "--faults"),
    Job("T1", ("tests.faults.crashes",), 20_000, "--kills", parts=4),
    Job("T7", ("tests.faults.works", "--what", "redis"), 60, "--faults"),
    Job("T7", ("tests.faults.works", "--what", "log"), 20, "--faults"),
    Job("T2", ("tests.faults.zombies",), 2_000, "--zombies", parts=4),
    Job("T3", ("tests.faults.defects",)),
    Job("T5", ("tests/faults/test_verbs.py",), 400 * 15, says="T5 verbs in any order", environment={"FAULTS_VERBS": "400"}),
    Job("T8", ("tests.faults.commits",), 1_000, "--commits", parts=2),
    Job("T8", ("tests.faults.commits", "--patience", "30", "--only", "stalled until it is too late", "--only",
               "answer stalled"), 6, "--commits"),
    Job("T4", ("tests/faults/test_interleavings.py",), 1, says="T4 every order of two workers and a reaper"),
    Job("T9", ("tests/faults/test_full_disk.py", "tests/faults/test_full_logs.py"), 10, says="T9 full disks, read-only files"),
    Job("T10", ("tests.faults.clocks",), 50, "--kills"),
    Job("T11", ("tests.faults.writers", "--customers", "1000", "--capture", "trigger", "--legacy", "postgresql"), 5, "--minutes"),
    Job("T11", ("tests.faults.writers", "--customers", "1000"), 5, "--minutes"),
    Job("T12", ("tests/faults/test_verifier.py",), 26 * 50 + 18 * 1300, says="T12 corruptions, equivalences"),
    Job("T13", ("tests/faults/test_rollback_of_many.py",), 10_000, says="T13 rollback, 5 % changed",
        environment={"FAULTS_ROLLBACK_USERS": "10000"}),
    Job("T13 carry back", ("tests.faults.carrying",), 10_000, "--users"),
    Job("T14", ("tests/faults/test_poison.py",), 4, says="T14 poison users"),
    Job("T16", ("tests/faults/test_fuzz.py",), 10_000, says="T16 hostile inputs", environment={"MIGRATOR_FAULTS": "large"}),
    Job("T16", ("tests/store/test_tampering.py",), 1_000, says="T16 a journal that somebody changed"),
    Job("T16", ("tests/journeys/test_canaries.py",), 1, says="T16 personal values where nobody looks"),
    Job("T16", ("tests/rollout/test_rights.py", "tests/cli/test_rights.py"), 1, says="T16 roles and rights"),
    Job("T16", ("tests/flows/test_erasing.py",), 1, says="T16 the right to be forgotten"),
)  # fmt: skip


def lines(job: Job, share: float, seed: int) -> list[dict[str, Any]]:
    """Run one part (of a part); what it said, a line each."""
    began = time.monotonic()
    if job.words[0].endswith(".py"):
        words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "0", *job.words]
    else:
        amount = [job.option, str(max(1, round(job.amount * share / job.parts)))] if job.option else []
        words = ["-m", *job.words, *amount, "--seed", str(seed)]
    ended = programs.run(words, job.environment, PATIENCE)
    said = ended.said
    if said:
        return said
    worked = job.says and ended.code == 0
    findings = [] if worked else [f"lost: {(ended.out + ended.err)[-6000:]}"]
    return [
        {
            "test": job.says or job.id, "amount": job.amount if worked else 0, **dict.fromkeys(figures.KINDS, 0),
            "lost": len(findings), "seed": "fixed", "seconds": time.monotonic() - began, "findings": findings,
        }
    ]  # fmt: skip


def together(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The parts of one test as one line."""
    found: dict[str, dict[str, Any]] = {}
    for line in told:
        if line["test"] not in found:
            found[line["test"]] = {**line, "seed": str(line["seed"])}
            continue
        mine = found[line["test"]]
        for name in ("amount", *figures.KINDS, "findings"):
            mine[name] = mine[name] + line[name]
        mine["seconds"] = max(mine["seconds"], line["seconds"])
        mine["seed"] += f" {line['seed']}"
    return sorted(found.values(), key=lambda line: int(line["test"].split()[0].removeprefix("T")))


def table(told: list[dict[str, Any]]) -> str:
    """For people, and for the README."""
    rows = [HEADS, tuple("---" if name == "test" else "---:" for name in HEADS)]
    for line in told:
        values = {**line, "minutes": f"{line['seconds'] / 60:.1f}", "amount": f"{line['amount']:,}"}
        rows.append(tuple(str(values[name]) for name in HEADS))
    wide = [max(len(row[at]) for row in rows) for at in range(len(HEADS))]
    return "\n".join("| " + " | ".join(cell.ljust(wide[at]) for at, cell in enumerate(row)) + " |" for row in rows)


def main(given: list[str] | None = None) -> int:
    """Run all parts, some beside each other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the large amounts")
    parser.add_argument("--seed", type=int, default=figures.a_seed())
    parser.add_argument("--only", action="append", default=[], choices=sorted({job.id for job in JOBS}))
    parser.add_argument("--beside", type=int, default=3, help="parts that run at the same time")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(given)
    began = time.monotonic()
    parts = [
        (job, asked.seed + at) for job in JOBS if not asked.only or job.id in asked.only for at in range(job.parts)
    ]
    told: list[dict[str, Any]] = []
    with ThreadPoolExecutor(asked.beside) as pool:
        for done in as_completed(pool.submit(lines, job, asked.share, seed) for job, seed in parts):
            told += done.result()
            for line in done.result():
                print(
                    f"{line['test']}: {line['amount']}, {len(line['findings'])} findings", file=sys.stderr, flush=True
                )
            if asked.json:  # what was seen is kept, whatever becomes of the rest
                seen = {"seconds": time.monotonic() - began, "tests": together(told)}
                asked.json.write_text(json.dumps(seen, indent=1), encoding="utf-8")
    whole = together(told)
    print(table(whole))
    for line in whole:
        for finding in line["findings"]:
            print(f"{line['test']} (seed {line['seed']}): {finding}")
    return 1 if any(line["findings"] for line in whole) else 0


if __name__ == "__main__":
    sys.exit(main())
