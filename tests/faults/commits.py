"""
T8: commits in doubt. PostgreSQL behind a proxy that cuts, resets, stalls and dribbles connections at COMMIT, and kills
the server; the ledger decides.

    python -m tests.faults.commits --commits 20 --seed 7
    python -m tests.faults.commits --commits 4 --patience 30 --only "stalled until it is too late" --seed 7
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg

from migrator.edges.databases import connect, postgresql
from migrator.errors import InDoubt, Refused, Transient, Unreachable
from migrator.flows.steering import waves
from migrator.flows.undoing import rollbacks
from migrator.rollout.states import Wave
from tests.faults import figures
from tests.faults.oracle import Finding, counted
from tests.faults.proxy import HARMS, REFUSED, Proxy
from tests.flows.bakery import TARGET, Bakery
from tests.postgresql_server import PostgresqlServer

CUSTOMERS, PER_BATCH = 24, 4
REST = timedelta(seconds=1)  # before somebody is rung for again whom the server was not there for
LONG = 30  # seconds that the product lets its sessions be idle
COUNTING = """
create table applied (tab text, row text, what text, n integer not null, primary key (tab, row, what));
create function count_it() returns trigger language plpgsql as $$ begin
  insert into applied values (tg_table_name, coalesce(new.id, old.id), tg_op, 1)
  on conflict (tab, row, what) do update set n = applied.n + 1;
  return null;
end $$;
create trigger counting after insert or update or delete on accounts for each row execute function count_it();
create trigger counting after insert or update or delete on orders for each row execute function count_it();
"""


def campaign(
    commits: int, seed: int, patience: float, only: Sequence[str]
) -> tuple[int, list[Finding], dict[str, int]]:
    """Harm that many commits; how many it were, what was found, and how often each way."""
    chance = random.Random(seed)
    # as in life, but for how long it takes
    postgresql.WRITING["idle_in_transaction_session_timeout"] = f"{1000 * patience:.0f}ms"
    findings: list[Finding] = []
    harmed: dict[str, int] = {}
    with PostgresqlServer() as server:
        while sum(harmed.values()) < commits and not findings:
            folder = figures.a_folder()
            try:
                harm = partial(
                    Proxy, chance=chance, share=0.5, patience=patience, kill=server.die_and_return, harms=only
                )
                for how, count in _round(folder, server, harm, findings).items():
                    harmed[how] = harmed.get(how, 0) + count
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    return sum(harmed.values()), findings, harmed


def _round(
    folder: Path, server: PostgresqlServer, harm: Callable[[str], Proxy], findings: list[Finding]
) -> dict[str, int]:
    """Move everybody, put everybody back, move again: half of all commits are harmed."""
    url = server.url()
    parts = urlsplit(url)
    host = unquote(parse_qs(parts.query)["host"][0])
    with psycopg.connect(url) as db:
        db.execute(TARGET)
        db.execute(COUNTING)
    with harm(f"{host}/.s.PGSQL.5432") as proxy:
        target = connect(f"postgresql://postgres@127.0.0.1:{proxy.port}{parts.path}?sslmode=disable", None, "target")
        bakery = Bakery(folder / "bakery", customers=CUSTOMERS, target=target)
        patient = replace(bakery.parts.limits, attempts=1000, retry_after=timedelta(0), ring_again=REST)
        bakery.parts = replace(bakery.parts, limits=patient)
        bakery.plan(batch_users=PER_BATCH)
        waves.start(bakery.parts, "whole")
        proxy.calm = False
        bakery.run(rest=REST.total_seconds())
        proxy.settle()
        findings += _looked(url, moves=1, rollbacks_=0)
        _back(bakery)
        proxy.settle()
        findings += _looked(url, moves=1, rollbacks_=1)
        waves.retry(bakery.parts, "whole")
        _again_and_again(lambda: waves.start(bakery.parts, "whole"))
        bakery.run(until=Wave.PASSED, rest=REST.total_seconds())
        proxy.settle()
        findings += _looked(url, moves=2, rollbacks_=1)
        if set(bakery.users().values()) != {"live"}:
            findings.append(Finding("lost", f"the users are {sorted(set(bakery.users().values()))}"))
        bakery.close()
        return dict(proxy.harmed)


def _back(bakery: Bakery) -> None:
    with suppress(Refused):  # nobody is left to be put back
        _again_and_again(
            lambda: rollbacks.roll_back(bakery.parts, rollbacks.scope(bakery.parts, wave="whole"), workers=1)
        )


def _again_and_again(act: Callable[[], object]) -> None:
    """As a person would, as long as it says that it could not."""
    for _ in range(200):
        with suppress(InDoubt, Unreachable, Transient):
            act()
            return
        time.sleep(REFUSED)
    raise AssertionError("it does not come to an end")


def _looked(url: str, *, moves: int, rollbacks_: int) -> list[Finding]:
    with psycopg.connect(url) as db:
        return list(counted(lambda sql: db.execute(sql).fetchall(), CUSTOMERS, moves=moves, rollbacks=rollbacks_))


def main(given: list[str] | None = None) -> int:
    """Run it, print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commits", type=int, default=20)
    parser.add_argument("--patience", type=float, default=0.5, help="seconds that the server waits for a session")
    parser.add_argument("--only", action="append", choices=HARMS)
    parser.add_argument("--seed", type=int, default=figures.a_seed())
    asked = parser.parse_args(given)
    began = time.monotonic()
    amount, findings, harmed = campaign(asked.commits, asked.seed, asked.patience, asked.only or HARMS)
    name = "T8 commits in doubt" if asked.patience < LONG else "T8 commits stalled as long as in life"
    return figures.say(name, asked.seed, amount, findings, time.monotonic() - began, ways=harmed)


if __name__ == "__main__":
    sys.exit(main())
