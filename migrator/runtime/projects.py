"""A project's folder: migrator.toml, mappings/ and templates/."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

from migrator.settings import FILE

TOML = """\
# migrator.toml: where things are and how users move. Every key is also MIGRATOR_SECTION_KEY in the environment.

[legacy]
url = "{legacy}"
# [legacy.shop], [legacy.crm], …   # instead of [legacy], where users are spread over several databases

[target]
url = "{target}"
# schema = "shop"                  # where the database has schemas

[mappings]
path = "mappings/shop"

[plan]
gray = [5, 25, 50]                 # percent of each tier before the rest
soak = "{soak}"                       # how long a wave is watched before the next
cutover = "{cutover}"              # or "{other}"
{more}"""
MORE = """
# [control]                        # without it: SQLite in .migrator/
# url = "postgresql://localhost/migrator"
# [broker]                         # without it: a Redis of our own, started with `migrator run`
# url = "redis://localhost:6379/0"
# [throttle]                       # when no batch is handed out; without it nothing is looked at
# max_lag = 5                      # seconds that a replica is behind
# max_sessions = 40                # at work in legacy or target
# flag = "stop"                    # while this file is there
# [notices]                        # without it nobody is written to
# sender = "smtp"
# smtp = "smtp://localhost:25"
# from = "migration@example.com"
"""


def make_project(folder: Path, *, toml: str | None = None) -> list[str]:
    """Make migrator.toml, mappings/ and templates/ in *folder*; what is there is left alone. What was made."""
    made = []
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    if not path.exists():
        urls = {"legacy": "sqlite:///legacy.sqlite", "target": "sqlite:///target.sqlite"}
        text = toml or TOML.format(**urls, soak="24h", cutover="manual", other="immediate", more=MORE)
        path.write_text(text, encoding="utf-8")
        made.append(FILE)
    for what in ("mappings", "templates"):
        if not (folder / what).exists():
            shutil.copytree(bundled(what), folder / what, ignore=shutil.ignore_patterns("__pycache__"))
            made.append(f"{what}/")
    return made


def bundled(what: str) -> Path:
    """A folder that travels with the package: `mappings` or `templates`; in a checkout it stands at the top."""
    packed = Path(str(resources.files("migrator"))) / "bundled" / what
    return packed if packed.is_dir() else Path(str(resources.files("migrator"))).parent / what
