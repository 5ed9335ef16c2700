"""A folder of mappings, or the texts of one, -> MappingSet; every mistake of every file at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from migrator.errors import MappingInvalid
from migrator.mapping import problems, walk
from migrator.mapping.model import Mapping, MappingSet, Place, Users, UserSet
from migrator.mapping.problems import Notes, Problem
from migrator.mapping.reading import code
from migrator.mapping.reading.mappings import mapping as read_mapping
from migrator.mapping.reading.nodes import Node, compose
from migrator.mapping.reading.references import Reference, check_use, inside, reference
from migrator.mapping.reading.sets import user_set

_SET = "set.yaml"
_YAML = (".yaml", ".yml")
_MOST_CSV_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class Draft:
    """
    What could be read of a folder.

    `set` is there as soon as one file has the shape of a mapping; with problems in it, it is good for lint and for
    nothing else. Not `whole`: of some files nothing could be read, so other files may rightly speak of what is in them.
    """

    set: MappingSet | None
    problems: tuple[Problem, ...]
    texts: dict[str, str]
    whole: bool = True


def load(folder: Path, installed: Collection[str] = ()) -> MappingSet:
    """
    Read the mapping set in *folder*.

    Args:
        installed: Modules outside the folder whose functions steps may call.

    Raises:
        MappingInvalid: with all mistakes of all files.
    """
    return _sound(read(folder, installed))


def parse(texts: dict[str, str], prefix: str = "") -> MappingSet:
    """
    Make the same set from its texts.

    Args:
        texts: File name -> text, CSV files and the project's own code among them, as `MappingSet.texts` has them.
        prefix: What places put before a file name: the folder and a slash, or nothing.

    Raises:
        MappingInvalid: with all mistakes of all files.
    """
    return _sound(look(texts, prefix))


def look(texts: dict[str, str], prefix: str = "") -> Draft:
    """Read a set from its texts as far as it goes; nothing is raised for what stands in it."""
    return _read({name: texts[name] for name in texts if _is_yaml(name)}, prefix, texts.get, Notes())


def read(folder: Path, installed: Collection[str] = ()) -> Draft:
    """Read the mapping set in *folder* as far as it goes; nothing is raised for what stands in it."""
    notes, folder = Notes(), _as_typed(folder)
    prefix = f"{folder.as_posix()}/"
    if not folder.is_dir():
        notes.add(
            "E100",
            Place(folder.as_posix(), 0, 0),
            "there is no such folder",
            "name it in migrator.toml: [mappings] path",
        )
        return Draft(None, tuple(notes.found), {})
    found = sorted(path for path in folder.iterdir() if _is_yaml(path.name) and path.is_file())
    texts = {path.name: text for path in found if (text := _text(folder, path.name, notes)) is not None}
    missing, elsewhere = len(texts) < len(found), code.installed(installed)
    return _read(texts, prefix, lambda name: _text(folder, name, notes), notes, elsewhere, missing=missing)


def _read(
    texts: dict[str, str],
    prefix: str,
    fetch: Callable[[str], str | None],
    notes: Notes,
    elsewhere: Callable[[str], str | None] = lambda module: None,
    *,
    missing: bool = False,
) -> Draft:
    nodes = {name: compose(texts[name], prefix + name, notes) for name in sorted(texts)}
    users = _users(nodes, prefix, notes)
    readable = {name: node for name, node in nodes.items() if name != _SET and node is not None}
    mappings = [found for node in readable.values() if (found := read_mapping(node, notes))]
    used = _reference_texts(mappings, prefix, fetch, notes)
    called = code.texts(mappings, fetch, elsewhere, notes)
    all_texts = {**texts, **used, **called}
    whole = users is not None and not missing and len(mappings) == len(nodes) - 1
    if not mappings and whole:
        notes.add(
            "E100", Place(prefix + _SET, 0, 0), "the folder holds no mapping", "add one YAML file per target table"
        )
    named = _named(mappings, notes)
    references = {name: reference(text, prefix + name, notes) for name, text in used.items()}
    _check_references(mappings, references, notes)
    functions = code.functions(mappings, called, prefix, notes)
    if users is None:
        nowhere = Place(prefix + _SET, 0, 0)
        users = UserSet("", Users("", "", nowhere), nowhere)
    made = MappingSet(users, _parents_first(named), all_texts, hash_of(all_texts), references, functions)
    return Draft(made if named or whole else None, tuple(notes.found), all_texts, whole)


def _sound(draft: Draft) -> MappingSet:
    wrong = problems.errors(draft.problems)
    if draft.set is None or wrong:
        raise MappingInvalid(problems.render(wrong, draft.texts), len(set(wrong)))
    return draft.set


def _as_typed(folder: Path) -> Path:
    """The shorter path from here, so that a reader can type what a place says."""
    here = Path.cwd()
    return (
        folder.relative_to(here) if folder.is_absolute() and folder.is_relative_to(here) and folder != here else folder
    )


def _is_yaml(name: str) -> bool:
    return name.endswith(_YAML) and not name.startswith(".")


def _text(folder: Path, name: str, notes: Notes) -> str | None:
    path = folder / name
    place = Place(path.as_posix(), 0, 0)
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            notes.add("E100", place, "the file leads out of the folder of the set", "copy it into the folder")
            return None
        with path.open("rb") as file:
            content = file.read(_MOST_CSV_BYTES + 1)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as broken:
        notes.add("E100", place, f"the file cannot be read: {getattr(broken, 'strerror', None) or broken}")
        return None
    if len(content) > _MOST_CSV_BYTES:
        notes.add("E106", place, "the file is larger than 16 MB")
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as broken:
        before = content[: broken.start].decode("utf-8-sig").split("\n")
        place = Place(path.as_posix(), len(before), len(before[-1]) + 1)
        notes.add("E101", place, "the file is not UTF-8", "save it as UTF-8")
        return None


def _users(nodes: dict[str, Node | None], prefix: str, notes: Notes) -> UserSet | None:
    if _SET not in nodes:
        notes.add(
            "E100",
            Place(prefix + _SET, 0, 0),
            "there is no set.yaml, so nobody knows who the users are",
            "write at least:\nset: NAME\nusers: {table: TABLE, key: COLUMN}",
        )
        return None
    node = nodes[_SET]
    return None if node is None else user_set(node, notes)


def _named(mappings: Iterable[Mapping], notes: Notes) -> dict[str, Mapping]:
    named: dict[str, Mapping] = {}
    for mapping in mappings:
        if mapping.name in named:
            first = named[mapping.name].place
            notes.add("E104", mapping.place, f'"{mapping.name}" is already the name of {first.file}')
        named.setdefault(mapping.name, mapping)
    return named


def _reference_texts(
    mappings: Iterable[Mapping], prefix: str, fetch: Callable[[str], str | None], notes: Notes
) -> dict[str, str]:
    texts: dict[str, str] = {}
    for mapping in mappings:
        for step in walk.files(mapping):
            name = str(step.args["file"])
            if not inside(name):
                notes.add("E113", step.place, f'"{name}" leads out of the folder', "put the file beside the mapping")
            elif name not in texts:
                text = fetch(name)
                if text is None:
                    notes.add("E113", step.place, f"there is no file {prefix}{name}", "it is a CSV with a header")
                else:
                    texts[name] = text
    return texts


def _check_references(mappings: Iterable[Mapping], references: dict[str, Reference], notes: Notes) -> None:
    for mapping in mappings:
        for step in walk.files(mapping):
            if (found := references.get(str(step.args["file"]))) is not None:
                check_use(step, found, notes)


def _parents_first(named: dict[str, Mapping]) -> dict[str, Mapping]:
    """Order by lookup, then by name. In a cycle (which lint refuses) the rest comes by name."""
    order = {name: {wait.parent for wait in walk.waits(named[name])} & named.keys() - {name} for name in sorted(named)}
    sorter = TopologicalSorter(order)
    try:
        sorter.prepare()
    except CycleError:
        return {name: named[name] for name in sorted(named)}
    ordered: dict[str, Mapping] = {}
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        ordered |= {name: named[name] for name in ready}
        sorter.done(*ready)
    return ordered


def hash_of(texts: dict[str, str]) -> str:
    """Hash names and texts, each with its length before it, so that no two sets are spelled alike."""
    digest = hashlib.sha256()
    for name in sorted(texts):
        for part in (name.encode(), texts[name].encode()):
            digest.update(f"{len(part)}:".encode() + part)
    return digest.hexdigest()
