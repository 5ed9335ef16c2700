"""The README's settings are all the settings there are."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from migrator.settings import SECTIONS

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def _named() -> set[tuple[str, str]]:
    """(section, key) of every row: `[plan] pilot_share`, `pilot_floor` names two."""
    table = README[README.index("| key | default |") :].split("\n\n")[0]
    found: set[tuple[str, str]] = set()
    for row in table.splitlines()[2:]:
        cell = row.split("|")[1]
        section = ""
        for word in re.findall(r"`([^`]+)`", cell):
            part = re.fullmatch(r"(?:\[(\w+)\] )?(\w+)", word)
            assert part, f"what does {word} name?"
            section = part[1] or section
            found.add((section, part[2]))
    return found


def test_the_readme_names_every_setting_and_no_other() -> None:
    known = {(name, item.name.rstrip("_")) for name, kind in SECTIONS.items() for item in dataclasses.fields(kind)}

    assert _named() == known
