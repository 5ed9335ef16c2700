"""What a machine can check of how the code is laid out: imports, help, names, errors, templates, documents."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pytest

import migrator
from migrator import errors

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for room in ("migrator", "tasks") for path in (REPOSITORY / room).rglob("*.py"))
MAPPINGS = sorted(path.parent for path in (REPOSITORY / "mappings").glob("*/set.yaml"))
TEMPLATES = sorted((REPOSITORY / "templates").rglob("*.j2"))


def _name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), _name(path))


# ---------------------------------------------------------------- rooms


def test_every_room_imports_only_what_lies_below_it() -> None:
    checker = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [checker, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False,
        env=os.environ | {"NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_called_utils() -> None:
    assert [_name(path) for path in SOURCES if re.search(r"util|helper|common|misc", path.stem)] == []


# ---------------------------------------------------------------- the command line


@dataclass(frozen=True)
class Command:
    """One node of the command line: a command, or a noun with verbs under it."""

    words: tuple[str, ...]
    node: Any

    def __str__(self) -> str:
        return " ".join(("migrator", *self.words))


def _commands() -> list[Command]:
    import typer.main

    from migrator.cli import app
    from migrator.cli.later import Later

    def below(words: tuple[str, ...], node: Any) -> Iterator[Command]:
        node = node.real if isinstance(node, Later) else node
        yield Command(words, node)
        for name, child in sorted(getattr(node, "commands", {}).items()):
            yield from below((*words, name), child)

    return list(below((), typer.main.get_command(app)))


def _examples(command: Command) -> list[str]:
    words = f"{command.node.help or ''}\n{getattr(command.node, 'epilog', None) or ''}"
    return re.findall(r"(?:\$ |Example: )(migrator[^\n]*)", words)


def _is_verb(command: Command) -> bool:
    return not hasattr(command.node, "commands")


def test_every_command_says_what_it_does_and_shows_an_example() -> None:
    silent = [str(command) for command in _commands() if not (command.node.help or "").strip()]
    bare = [str(command) for command in _commands() if _is_verb(command) and not _examples(command)]

    assert silent == [], "commands without a word of help"
    assert bare == [], "commands whose help shows no example (`Example: migrator …`)"


def test_every_example_in_the_help_names_the_command_it_stands_under() -> None:
    wrong = [
        f"{command}: {example}"
        for command in _commands()
        if _is_verb(command)
        for example in _examples(command)
        if not example.startswith(str(command))
    ]

    assert wrong == []


def test_every_option_and_argument_says_what_it_is_for() -> None:
    silent = [
        f"{command} {parameter.opts[0]}"
        for command in _commands()
        for parameter in command.node.params
        if not (getattr(parameter, "help", None) or "").strip() and not getattr(parameter, "hidden", False)
    ]

    assert silent == []


@pytest.mark.parametrize("command", _commands(), ids=str)
def test_what_help_says_in_brackets_is_printed(command: Command) -> None:
    from typer.testing import CliRunner

    from migrator.cli import app

    said = " ".join(getattr(told, "help", None) or "" for told in (command.node, *command.node.params))
    words = set(re.findall(r"\[[\w.]+\]", said))
    if words:
        # wide enough that no line is broken
        printed = CliRunner().invoke(app, [*command.words, "--help"], env={"COLUMNS": "500"}).output
        assert {word for word in words if word not in printed} == set()


def test_some_help_says_something_in_brackets() -> None:
    told = next(command for command in _commands() if command.words == ("changes", "install"))

    assert "[legacy]" in told.node.help


# ---------------------------------------------------------------- messages


def _sent_names() -> set[str]:
    """Task names that `migrator` sends: every text constant that looks like one."""
    return {
        node.value
        for path in SOURCES
        if path.is_relative_to(REPOSITORY / "migrator")
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"tasks(\.[a-z_]+){2,}", node.value)
    }


def _heard_names() -> set[str]:
    """Task names that `tasks` registers, read from the decorators: nothing is started for it."""
    heard = set()
    for path in SOURCES:
        if not path.is_relative_to(REPOSITORY / "tasks"):
            continue
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.FunctionDef):
                heard |= {name for decorator in node.decorator_list if (name := _task_name(decorator))}
    return heard


def _task_name(decorator: ast.expr) -> str | None:
    if not isinstance(decorator, ast.Call):
        return None
    for keyword in decorator.keywords:
        if keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
            return str(keyword.value.value)
        if keyword.arg == "name" and isinstance(keyword.value, ast.Name | ast.Attribute):
            return _constant(keyword.value)
    return None


def _constant(node: ast.Name | ast.Attribute) -> str | None:
    """A name such as `queue.RUN`, looked up in `migrator.edges.queue`, where the task names live."""
    word = node.attr if isinstance(node, ast.Attribute) else node.id
    return getattr(importlib.import_module("migrator.edges.queue"), word, None)


def test_every_task_that_is_sent_has_a_listener() -> None:
    sent = _sent_names()

    assert sent, "no task name found in migrator/: how do workers hear of work?"
    assert sent - _heard_names() == set(), "sent, but nobody in tasks/ listens"


# ---------------------------------------------------------------- errors

ERRORS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.MigratorError)]


def _sample(parameter: inspect.Parameter) -> list[Any]:
    kind = str(parameter.annotation)
    values: Any = 3 if kind == "int" else ("start", "stop") if kind.startswith("tuple") else f"some {parameter.name}"
    return [values, "another"] if parameter.kind is parameter.VAR_POSITIONAL else [values]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_survives_the_way_to_another_process(kind: type[errors.MigratorError]) -> None:
    own = kind.__init__ is not Exception.__init__
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:] if own else []
    positional = [one for one in parameters if one.kind is not one.VAR_KEYWORD]
    arguments = [value for one in positional for value in _sample(one)] if own else ["wave 3 is gone"]

    error = kind(*arguments)
    copy = pickle.loads(pickle.dumps(error))

    assert (type(copy), copy.args, str(copy), copy.exit_code) == (kind, error.args, str(error), error.exit_code)
    assert vars(copy) == vars(error)
    assert str(error).strip(), "an error is a sentence"


# ---------------------------------------------------------------- mappings, templates, documents


@pytest.mark.parametrize("folder", MAPPINGS, ids=lambda folder: folder.name)
def test_every_bundled_mapping_set_loads(folder: Path) -> None:
    from migrator.mapping import document

    assert document.load(folder).mappings


def test_there_are_bundled_mappings_and_templates() -> None:
    assert {folder.name for folder in MAPPINGS} >= {"shop", "magento1"}
    assert {path.parent.name for path in TEMPLATES} >= {"before", "done", "delayed", "rolled_back"}


SAMPLE = {
    "name": "Ann <Lee> & 李",
    "product": "The Shop",
    "date": "2026-05-04",
    "wave": "3",
    "reason": "a check did not pass",
    "support_contact": "help@shop.example",
}


@pytest.mark.parametrize("tier", ["core", "normal", "edge"])
@pytest.mark.parametrize("path", [path for path in TEMPLATES if not path.name.startswith("_")], ids=_name)
def test_every_template_says_something_to_every_tier(path: Path, tier: str) -> None:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(REPOSITORY / "templates"), undefined=jinja2.StrictUndefined, autoescape=True
    )
    template = environment.get_template(str(path.relative_to(REPOSITORY / "templates")))
    context = template.new_context({**SAMPLE, "tier": tier})
    said = {name: "".join(block(context)).strip() for name, block in template.blocks.items()}

    assert {name for name in ("subject", "text") if said.get(name)} == {"subject", "text"}
    assert "\n" not in said["subject"]
    assert SAMPLE["support_contact"] in said["text"], "a person who reads it must know whom to ask"
    assert all("{{" not in words and "{%" not in words for words in said.values())


def test_the_state_diagrams_of_the_readme_are_the_state_tables() -> None:
    from migrator.rollout import states

    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    shown = [
        block.strip() for block in re.findall(r"^```mermaid\n(stateDiagram.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    ]
    drawn = {noun: states.diagram(noun).strip() for noun in ("user", "wave", "batch", "case", "notice")}
    stale = [block.splitlines()[:3] for block in shown if block not in drawn.values()]

    assert drawn["wave"] in shown, "README.md must show states.diagram('wave') in a ```mermaid block"
    assert stale == [], "README.md shows a diagram that states.py does not draw (any more)"


def test_the_version_is_the_same_everywhere() -> None:
    changes = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[?(\d[\w.]*)", changes, re.MULTILINE)

    assert newest and newest[1] == migrator.__version__, "the newest heading of CHANGELOG.md is another version"


# ---------------------------------------------------------------- SQL


TAKES_SQL = {"text", "execute", "executemany", "executescript", "exec_driver_sql", "copy"}
#: Session settings: their names are words of ours, their values are bound.
BUILT_OF_OUR_WORDS = {("migrator/edges/databases/mysql.py", "setting")}


def _is_built_text(node: ast.expr) -> bool:
    if isinstance(node, ast.JoinedStr):
        first = node.values[0]
        # a PRAGMA takes no bound values and holds none of anybody's
        return not (isinstance(first, ast.Constant) and str(first.value).startswith("PRAGMA "))
    if isinstance(node, ast.BinOp):
        return True
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("format", "join")


def _built_in(function: ast.FunctionDef) -> set[str]:
    """The names that a function gives to text it has put together."""
    return {
        target.id
        for node in ast.walk(function)
        if isinstance(node, ast.Assign | ast.AugAssign) and _is_built_text(node.value)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }


def _asked_with_built_text(path: Path) -> Iterator[str]:
    functions = [node for node in ast.walk(_tree(path)) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        names = {name for name in _built_in(function) if (_name(path), name) not in BUILT_OF_OUR_WORDS}
        for node in ast.walk(function):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called, said = getattr(node.func, "id", None) or getattr(node.func, "attr", None), node.args[0]
            if called in TAKES_SQL and (_is_built_text(said) or (isinstance(said, ast.Name) and said.id in names)):
                yield f"{_name(path)}:{node.lineno}"


def test_no_sql_is_put_together_from_text() -> None:
    built = [place for path in SOURCES for place in _asked_with_built_text(path)]

    assert built == [], "SQL is built by SQLAlchemy Core; an f-string does not quote"


def test_no_file_for_spreadsheets_is_written_unguarded() -> None:
    """CSV is what databases are told; what people open in a spreadsheet would have to be guarded against formulas."""
    writes = {"write_csv", "write_excel", "to_csv", "to_excel", "writerow", "writerows", "DictWriter", "sink_csv"}
    found = {
        _name(path)
        for path in SOURCES
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Attribute) and node.attr in writes
    }

    to_databases = {f"migrator/edges/databases/postgresql_{what}.py" for what in ("printing", "lines")}
    to_databases |= {"migrator/store/bulk.py"}
    to_hashes, guarded = {"migrator/mapping/compare.py"}, {"migrator/flows/people/auditing.py"}
    assert found <= to_databases | to_hashes | guarded, (
        "guard what begins with = + - @, a tab or a line end, then add it here"
    )
