"""Templates of notices: found by event, locale and channel, rendered in a sandbox. Knows no user and sends nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jinja2
from jinja2 import meta, nodes

from migrator.errors import WrongInput
from migrator.flows.telling.sandbox import Sandbox

VARIABLES = ("name", "product", "tier", "date", "wave", "reason", "support_contact")
LARGEST_TEMPLATE = 64 * 1024
LARGEST_MESSAGE = 256 * 1024
MOST_PARTS = 5_000  # variables, words and choices of one file: more take longer to compile than a person waits
LAST_RESORT = "en"
# what a template may hold outside its blocks, if its blocks are to be rendered alone
PLAIN_TOP = (nodes.Block, nodes.Output)


@dataclass(frozen=True, slots=True)
class Message:
    """A rendered notice. `locale` is the one that was found, not the one asked for."""

    subject: str
    text: str
    html: str | None
    locale: str
    template_hash: str

    def content(self) -> dict[str, str | None]:
        """What is kept and sent."""
        return {"subject": self.subject, "text": self.text, "html": self.html, "locale": self.locale}


@dataclass(frozen=True, slots=True)
class _Compiled:
    name: str
    hash: str
    plain: jinja2.Template
    rich: jinja2.Template
    alone: bool  # the blocks need nothing that stands outside them


class Templates:
    """The files `EVENT/LOCALE.CHANNEL.j2` of one folder, each with the blocks subject, text and (or not) html."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._compiled: dict[str, _Compiled] = {}

    def render(
        self, event: str, locale: str | None, channel: str, variables: Mapping[str, str], default: str = LAST_RESORT
    ) -> Message:
        """
        Render the notice of *event* in the closest language: zh-CN, zh, *default*, en.

        Args:
            variables: All of `VARIABLES`, as plain text.

        Raises:
            WrongInput: there is no template, or it is wrong; with file and line.

        Cost:
            Files are read and compiled once per process.
        """
        found, name = self.find(event, locale, channel, default)
        compiled = self._load(name)
        given = dict(variables)
        self._begin()
        subject = self._block(compiled, compiled.plain, "subject", given)
        text = self._block(compiled, compiled.plain, "text", given)
        html = self._block(compiled, compiled.rich, "html", given)
        if not subject or not text:
            missing = "subject" if not subject else "text"
            raise WrongInput(f"{self._place(name)}: block {missing} is missing or empty; every notice needs one")
        if "\n" in subject or "\r" in subject:
            raise WrongInput(f"{self._place(name)}: the subject has more than one line")
        return Message(subject, f"{text}\n", f"{html}\n" if html else None, found, compiled.hash)

    @cached_property
    def files(self) -> list[tuple[str, str, str]]:
        """(event, channel, file) of every template there is."""
        found = []
        for path in sorted(self.folder.glob("*/*.*.j2")):
            event, (_, channel, _) = path.parent.name, path.name.split(".", 2)
            found.append((event, channel, f"{event}/{path.name}"))
        return found

    @cached_property
    def _by_locale(self) -> dict[tuple[str, str], dict[str, str]]:
        """(event, channel) -> locale in small letters -> file. A locale only ever selects, it is never made a path."""
        found: dict[tuple[str, str], dict[str, str]] = {}
        for event, channel, name in self.files:
            locale = Path(name).name.split(".")[0].lower()
            found.setdefault((event, channel), {})[locale] = name
        return found

    def find(self, event: str, locale: str | None, channel: str, default: str = LAST_RESORT) -> tuple[str, str]:
        """The closest locale there is and its file; WrongInput where not even the default has one."""
        files = self._by_locale.get((event, channel), {})
        for wanted in chain(locale, default):
            if wanted in files:
                name = files[wanted]
                return Path(name).name.split(".")[0], name
        missing = self.folder / event / f"{default}.{channel}.j2"
        known = ", ".join(sorted({of for of, channel_ in self._by_locale if channel_ == channel})) or "none"
        raise WrongInput(f"there is no template {missing}; every event needs one (there are: {known})")

    def _load(self, name: str) -> _Compiled:
        if name not in self._compiled:
            try:
                self._compiled[name] = self._compile(name)
            except jinja2.TemplateSyntaxError as exc:
                raise WrongInput(f"{self._place(exc.name or name)}:{exc.lineno}: {exc.message}") from exc
            except jinja2.TemplateNotFound as exc:
                raise WrongInput(f"{self._place(name)}: there is no template {self.folder / str(exc.name)}") from exc
            except (ValueError, ArithmeticError, SyntaxError, RecursionError, MemoryError, AssertionError) as exc:
                # of what is nested too deeply, or of a number with too many digits, Jinja says nothing of its own
                raise WrongInput(f"{self._place(name)}: cannot be understood: {_said(exc)}") from exc
        return self._compiled[name]

    def _compile(self, name: str) -> _Compiled:
        self._begin()
        parsed = self._parsed(name)
        top = all(isinstance(node, PLAIN_TOP) for node in parsed.body)
        hash_ = self._hash(name)
        plain, rich = self._plain.get_template(name), self._rich.get_template(name)
        return _Compiled(name, hash_, plain, rich, top)

    def _block(self, compiled: _Compiled, template: jinja2.Template, block: str, given: dict[str, str]) -> str | None:
        """One block by itself; None where there is none."""
        try:
            context = template.new_context(given)
            if not compiled.alone:  # `extends`, `import` and `set` take effect when the whole is run
                _bounded(template.root_render_func(context))
            if block not in context.blocks:
                return None
            return _bounded(context.blocks[block][0](context)).strip()
        except Exception as exc:  # whatever a template does, it is told with file and line
            raise WrongInput(f"{self._line(compiled, exc)}: {_said(exc)}") from exc

    def _line(self, compiled: _Compiled, exc: Exception) -> str:
        """The innermost place of a template in a traceback."""
        place, trace = self._place(compiled.name), exc.__traceback__
        while trace is not None:
            template = trace.tb_frame.f_globals.get("__jinja_template__")
            if isinstance(template, jinja2.Template):
                line = template.get_corresponding_lineno(trace.tb_lineno)
                place = f"{self._place(str(template.name))}:{line}"
            trace = trace.tb_next
        return place

    def unknown_variables(self, name: str) -> list[tuple[str, int]]:
        """Variables of one file (`done/en.email.j2`) that no notice has, each with the line of its first use."""
        self._load(name)
        parsed = self._parsed(name)
        unknown = sorted(meta.find_undeclared_variables(parsed) - set(VARIABLES))
        used = [(node.name, node.lineno) for node in parsed.find_all(nodes.Name)]
        return [(wanted, next((line for named, line in used if named == wanted), 1)) for wanted in unknown]

    def _hash(self, name: str) -> str:
        """Over the template and all that it includes."""
        digest, waiting, seen = hashlib.sha256(), [name], set()
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                source, parsed = self._source(name), self._parsed(name)
                digest.update(f"{name}\x1f{len(source)}\x1f{source}".encode())
                used = list(meta.find_referenced_templates(parsed))
                if None in used:
                    raise jinja2.TemplateSyntaxError("name the other template in quotes", _reference(parsed), name)
                waiting += sorted(other for other in used if other)
        return digest.hexdigest()

    def _parsed(self, name: str) -> nodes.Template:
        parsed = self._plain.parse(self._source(name), name)
        if sum(1 for _ in parsed.find_all(nodes.Node)) > MOST_PARTS:
            raise jinja2.TemplateSyntaxError(f"more than {MOST_PARTS:,} variables, words and choices", 1, name)
        return parsed

    def _source(self, name: str) -> str:
        path = self.folder / name
        try:
            if not path.resolve().is_relative_to(self.folder.resolve()):
                raise WrongInput(f"{path}: leads out of the folder {self.folder}; it was not read")
            if path.stat().st_size > LARGEST_TEMPLATE:
                raise WrongInput(f"{path}: larger than {LARGEST_TEMPLATE // 1024} KiB")
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as exc:
            raise WrongInput(f"{path}: not UTF-8") from exc
        except OSError as exc:
            raise WrongInput(f"{path}: {exc.strerror}") from exc
        except ValueError as exc:
            raise WrongInput(f"{self.folder}: {name!r} is no name of a file") from exc

    def _place(self, name: str) -> str:
        return str(self.folder / name)

    @cached_property
    def _plain(self) -> Sandbox:
        return self._environment(autoescape=False)

    @cached_property
    def _rich(self) -> Sandbox:
        return self._environment(autoescape=True)

    def _begin(self) -> None:
        for sandbox in (self._plain, self._rich):
            sandbox.begin()

    def _environment(self, *, autoescape: bool) -> Sandbox:
        return Sandbox(jinja2.FunctionLoader(self._loaded), autoescape=autoescape)

    def _loaded(self, name: str) -> str:
        return self._source(name)


def chain(locale: str | None, default: str) -> Iterator[str]:
    """Locales to look for, closest first, in small letters: zh-CN, zh, the default and its language, en."""
    for wanted in (locale, default):
        parts = (wanted or "").replace("_", "-").lower().split("-")
        yield from ("-".join(parts[:length]) for length in range(len(parts), 0, -1))
    yield LAST_RESORT


def sample(tier: str = "normal") -> dict[str, str]:
    """Variables of nobody, to try a template with."""
    values = (
        "Ada & Grace",
        "our service",
        tier,
        "2030-01-31",
        "core-gray-5",
        "a check was not passed",
        "help@localhost",
    )
    return dict(zip(VARIABLES, values, strict=True))


def _bounded(pieces: Iterable[str]) -> str:
    found, size = [], 0
    for piece in pieces:
        size += len(piece)
        if size > LARGEST_MESSAGE:
            raise WrongInput(f"more than {LARGEST_MESSAGE // 1024} KiB of text")
        found.append(piece)
    return "".join(found)


def _reference(parsed: nodes.Template) -> int:
    """The line of the first include, import or extends whose template is not named by words."""
    kinds = (nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)
    named = ((node.lineno, next(iter(node.iter_child_nodes(only=("template",))))) for node in parsed.find_all(kinds))
    return next((line for line, name in named if not isinstance(name, nodes.Const)), 1)


def _said(exc: Exception) -> str:
    words = str(exc) or type(exc).__name__
    return words.splitlines()[0]
