"""
Inputs that nobody meant: mutated mappings, templates, settings, and command lines with hostile words.

Whatever comes in, a sentence and an exit code of ours come out, soon, and nothing is touched. MIGRATOR_FAULTS=large makes
it ten thousand inputs instead of four hundred; MIGRATOR_SEED=N replays.
"""

from __future__ import annotations

import io
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from migrator import settings
from migrator.cli import app, main
from migrator.cli.later import Later
from migrator.errors import MappingInvalid, WrongInput
from migrator.flows.drafting import linting
from migrator.flows.telling import template_checks
from migrator.flows.telling.templates import Templates
from migrator.mapping import document, problems
from tests.cli.test_throttle import SETTINGS
from tests.flows.bakery import Bakery

REPOSITORY = Path(__file__).resolve().parents[2]
INPUTS = 10_000 if os.environ.get("MIGRATOR_FAULTS") == "large" else 400
SEED = int(os.environ.get("MIGRATOR_SEED", "20260504"))
SECONDS = 2.0  # of the processor: what else runs on this machine is not our doing
CODES = range(5)
PIECES = [
    "", " ", "\n", "\t", "\r", "\x00", "\x1b[2J", "\x85", "\u2028", "\u202e", "\ufeff", "'", '"', "`", ";", "--", "/*", "%", "%s",
    "{", "}", "{{", "}}", "{%", "%}", "{#", "[", "]", "[[", "(", ")", ":", ": ", "- ", "#", "&a ", "*a", "!!str ", "!!python/name:os.system ",
    "<<: ", "---\n", "|", ">", "?", ",", "@", "~", "null", "true", "0", "-1", "1e999", "9" * 5000, "0x7f", "inf", "nan", "1979-05-27",
    "'; DROP TABLE customer; --", '"; DROP TABLE "customer', "` or 1=1 -- ", "../../../etc/passwd", "/dev/zero", "=1+1", "$plan.as_of", "$x",
    "a" * 3000, "[" * 200, "{" * 200, "(" * 300, "{% for i in range(99999) %}", "{% endfor %}", "{{ ''.__class__.__mro__ }}",
    "{{ 'x' * 9999999999 }}", "{% include '/etc/passwd' %}", "{{ name | center(99999999) }}", "{{ self.text() }}", "𝔘🦄ß", "é", "İ",
]  # fmt: skip
WORDS = [
    "'; DROP TABLE users; --", "1 OR 1=1", "{{ 7*7 }}", "../../etc/passwd", "..", "\x1b[31mred", "\x9b2J", "=cmd|' /C calc'!A1", "\udcff",
    "", " ", "9" * 400, "-1", "NaN", "[/red]", "[link=x]", "%s%n", "🦄", "a\nb", "a\rb", "--", "-", "--json", "--nonsense", "-x", "7", "all",
    "accounts", "accounts.email", "whole", "done", "en", "x@y.example", "\u202eevil", "a" * 10_000, "1e999", "0", "true",
]  # fmt: skip
#: These wait, or begin processes of their own: other tests break them.
NOT_HERE = {("run",), ("worker",), ("demo",), ("wave", "watch"), ("console",), ("init",)}


def mutated(text: str, rng: random.Random) -> str:
    """A few places of a good text, made bad."""
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        at, how = rng.randrange(len(text) + 1), rng.randrange(5)
        if how == 0:
            text = text[:at] + rng.choice(PIECES) + text[at:]
        elif how == 1:
            text = text[:at] + text[at + rng.randrange(1, 40) :]
        elif how == 2:
            text = text[:at] + rng.choice(PIECES) + text[at + rng.randrange(1, 12) :]
        elif how == 3:
            end = at + rng.randrange(1, 200)
            text = text[:end] + text[at:end] * rng.choice([1, 2, 30]) + text[end:]
        else:
            lines = text.split("\n")
            rng.shuffle(lines) if rng.random() < 0.1 else lines.insert(rng.randrange(len(lines)), rng.choice(lines))
            text = "\n".join(lines)
    return text


@contextmanager
def soon(what: str) -> Iterator[None]:
    begun = time.process_time()
    yield
    took = time.process_time() - begun
    assert took < SECONDS, f"{took:.1f} s of the processor for {what[:300]!r}"


def inputs(share: float, of: str) -> Iterator[random.Random]:
    """So many random numbers, each input with its own; the seed of one that fails is in the assertion."""
    for number in range(int(INPUTS * share)):
        yield random.Random(f"{SEED} {of} {number}")


SETS = {
    path.parent.name: {
        file.name: file.read_text(encoding="utf-8") for file in sorted(path.parent.iterdir()) if file.is_file()
    }
    for path in sorted((REPOSITORY / "mappings").glob("*/set.yaml"))
}


def test_a_mapping_is_read_or_refused() -> None:
    for rng in inputs(0.4, "mapping"):
        texts = dict(SETS[rng.choice(sorted(SETS))])
        name = rng.choice([name for name in texts if name.endswith((".yaml", ".csv"))])
        texts[name] = mutated(texts[name], rng)
        with soon(f"{name}: {texts[name]}"):
            try:
                draft = document.look(texts)
                problems.render(linting.check(draft, linting.UNKNOWN), texts)
                document.parse(texts)
            except MappingInvalid as refusal:
                assert refusal.exit_code == 2 and str(refusal)


def test_a_template_is_rendered_or_refused(tmp_path: Path) -> None:
    good = {path: path.read_text(encoding="utf-8") for path in sorted((REPOSITORY / "templates").glob("*/*.j2"))}
    layout = (REPOSITORY / "templates" / "_layout.html.j2").read_text(encoding="utf-8")
    folder = tmp_path / "templates"
    (folder / "done").mkdir(parents=True)
    for rng in inputs(0.2, "template"):
        text = mutated(good[rng.choice(list(good))], rng)
        (folder / "_layout.html.j2").write_text(
            mutated(layout, rng) if rng.random() < 0.2 else layout, encoding="utf-8"
        )
        (folder / "done" / "en.email.j2").write_text(text, encoding="utf-8", newline="")
        with soon(text):
            said = template_checks.lint(Templates(folder), ["done"])
        assert all(str(folder) in one for one in said), said
        assert "root:" not in "".join(said)


TOML = (
    SETTINGS
    + """
[plan]
soak = "24h"
gray = [5, 25, 50]
[batches]
users = 100
lease = "60s"
[tiers]
recency = { fixed = 30 }
[gates]
max_held = 0.05
[notices]
sender = "file"
[throttle]
max_lag = 5
sql = { legacy = { query = "select 1", above = 3 } }
"""
)


def test_settings_are_understood_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "migrator.toml"
    for rng in inputs(0.2, "settings"):
        text = mutated(TOML, rng)
        file.write_text(text, encoding="utf-8", newline="")
        environment = {"MIGRATOR_BATCHES_USERS": rng.choice(WORDS)} if rng.random() < 0.2 else {}
        with soon(text):
            try:
                settings.load(file, environment)
            except WrongInput as refusal:
                assert str(refusal).strip()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bakery]:
    """A bakery with an approved plan, and its settings."""
    bakery = Bakery(tmp_path_factory.mktemp("fuzz") / "deep" / "bakery", customers=12)
    bakery.plan(batch_users=5)
    (bakery.folder / "migrator.toml").write_text(SETTINGS, encoding="utf-8")
    yield bakery
    bakery.close()


def commands() -> list[tuple[tuple[str, ...], list[Any]]]:
    """Every command with its parameters."""

    def below(words: tuple[str, ...], node: Any) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
        node = node.real if isinstance(node, Later) else node
        children = getattr(node, "commands", {})
        if not children and words not in NOT_HERE:
            yield words, node.params
        for name, child in sorted(children.items()):
            yield from below((*words, name), child)

    return list(below((), get_command(app)))


#: What writes into the shell's files, or goes on until somebody ends it.
NOT_ASKED = ("--install-completion", "--show-completion", "--follow")


def typed(rng: random.Random, known: list[tuple[tuple[str, ...], list[Any]]]) -> list[str]:
    """A command line, more or less right."""
    words, parameters = rng.choice(known)
    line = [*words]
    for parameter in parameters:
        if parameter.param_type_name == "argument" and rng.random() < 0.9:
            line.append(rng.choice(WORDS))
        elif parameter.param_type_name == "option" and rng.random() < 0.3:
            line.append(rng.choice(parameter.opts))
            if not parameter.is_flag:
                line.append(rng.choice(WORDS))
    if rng.random() < 0.1:
        line.insert(rng.randrange(len(line) + 1), rng.choice(WORDS))
    return [word for word in line if word not in NOT_ASKED]


def run(line: list[str]) -> tuple[int, str]:
    """One command in this process: its exit code and all it said."""
    said, given = io.StringIO(), sys.argv
    sys.argv = ["migrator", *line]
    try:
        with redirect_stdout(said), redirect_stderr(said):
            main()
    except SystemExit as end:
        return (end.code if isinstance(end.code, int) else 0 if end.code is None else 1), said.getvalue()
    finally:
        sys.argv = given
    return 0, said.getvalue()


def kept(project: Bakery) -> list[list[tuple[Any, ...]]]:
    """What stands in legacy; triggers may have come, rows may not."""
    with project.legacy() as db:
        return [db.execute(f"select * from {table} order by id").fetchall() for table in ("customer", "purchase")]


def test_a_command_line_is_obeyed_or_refused(project: Bakery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.folder)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    known, outside = commands(), project.folder.parent
    before = kept(project)
    for rng in inputs(0.2, "command"):
        line = typed(rng, known)
        monkeypatch.delenv("MIGRATOR_SETTINGS", raising=False)
        with soon(f"migrator {line}"):
            code, said = run(line)
        assert code in CODES, f"migrator {line} ended with {code}: {said[-500:]}"
        assert "Traceback" not in said, f"migrator {line}: {said[-3000:]}"
        assert said.strip() or code == 0, f"migrator {line} ended with {code} and no word"
        assert not any(sign in said for sign in "\x1b\x9b\u202e"), (
            f"migrator {line} commands the terminal: {said[-500:]!r}"
        )
    assert kept(project) == before
    assert [path.name for path in outside.iterdir()] == ["bakery"]
