"""Commands called in this process, and what they print."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from migrator.cli import app


def say(*words: str, code: int = 0) -> str:
    """What a command prints; an error of ours is raised, as `migrator.cli.main` would make words of it."""
    done = CliRunner().invoke(app, list(words))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.output


def told(*words: str, code: int = 0) -> Any:
    """The same, of a command that prints JSON."""
    return json.loads(say(*words, "--json", code=code))
