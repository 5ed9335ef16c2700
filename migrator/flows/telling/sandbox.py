"""
Where templates that people wrote are rendered: words, choices and loops, within bounds of time and of memory.

Jinja's own sandbox keeps a template from reaching Python; this one also keeps it from running or growing for ever.
Every turn of a loop, every call and every text that is put anywhere is counted, and what grows at one go is left out.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator
from jinja2.exceptions import SecurityError
from jinja2.runtime import Undefined, markup_join, str_join
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

STEPS = 100_000  # turns, calls and bodies of one rendering, long ones counted several times
CHARACTERS = 512 * 1024  # of all texts that are put, joined or changed
SECONDS = 0.5  # of the processor: a notice takes a thousandth of that
BETWEEN_LOOKS = 32  # steps between two looks at the clock, which costs more than a step
LARGEST_NUMBER = 10**18
LONGEST_LIST = 1_000
#: What reads whole lists; the others take one text or number.
_OF_LISTS = frozenset({"count", "first", "join", "last", "length", "list", "reverse", "sort", "unique"})
_OF_TEXTS = frozenset(
    {
        "capitalize", "d", "default", "e", "escape", "float", "forceescape", "int", "lower", "replace", "safe", "string",
        "title", "trim", "truncate", "upper", "urlencode", "wordcount",
    }
)  # fmt: skip
_METHODS = frozenset(
    {
        "capitalize", "count", "endswith", "find", "get", "index", "isalpha", "isdigit", "items", "keys", "lower",
        "lstrip", "rstrip", "startswith", "strip", "title", "upper", "values",
    }
)  # fmt: skip
_VALUES = (str, int, float, list, tuple, dict)
_SCALARS = (str, int, float, type(None))


class Sandbox(ImmutableSandboxedEnvironment):
    """A sandbox with a meter. Call `begin` before each rendering."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, loader: jinja2.BaseLoader, *, autoescape: bool) -> None:
        super().__init__(
            loader=loader,
            autoescape=autoescape,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            finalize=_put,
        )
        self.code_generator_class = _Generator
        self.filters = {name: self._measured(name, self.filters[name]) for name in sorted(_OF_LISTS | _OF_TEXTS)}
        self.globals = {"range": self.globals["range"]}
        self._left = _Left()
        self._counting = (self.spend, self.counted, self.joined)

    def begin(self) -> None:
        """Give the next rendering its steps, characters and time."""
        self._left.steps, self._left.characters = STEPS, CHARACTERS
        self._left.until = time.thread_time() + SECONDS

    def spend(self, steps: int, characters: int = 0) -> None:
        """Count what a template does; SecurityError when it is too much."""
        left = self._left
        left.steps -= steps
        left.since += steps
        left.characters -= characters
        if left.steps < 0:
            raise SecurityError(f"more than {STEPS:,} steps; a notice needs no such loop")
        if left.characters < 0:
            raise SecurityError(f"more than {CHARACTERS // 1024} KiB of text are put together")
        if left.since >= BETWEEN_LOOKS:
            left.since = 0
            if time.thread_time() > left.until:
                raise SecurityError(f"takes longer than {SECONDS} seconds")

    def counted(self, items: Iterable[Any], weight: int) -> Iterator[Any]:
        """The turns of a loop, each counted by the size of what it repeats."""
        for item in items:
            self.spend(weight)
            yield item

    def joined(self, *parts: Any) -> Any:
        """`a ~ b`, counted before it is made."""
        self.spend(1, sum(len(str(_scalar(part))) for part in parts))
        return (markup_join if self.autoescape else str_join)(parts)

    def call(self, context: Any, obj: Any, *args: Any, **named: Any) -> Any:
        """Call what a template may call, and count it and what it gives."""
        if obj in self._counting:
            return obj(*args)
        self.spend(1)
        made = super().call(context, obj, *args, **named)
        self.spend(0, _size(made))
        return made

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Refuse what would fill the memory at one go: `"a" * 1000000000`, or numbers of a million digits."""
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            self.spend(1, len(left) + len(right))
        elif operator == "**" or not isinstance(left, int | float) or not isinstance(right, int | float):
            raise SecurityError(f"`{operator}` is for numbers only here, and `**` for nothing")
        elif max(abs(left), abs(right)) > LARGEST_NUMBER:
            raise SecurityError(f"a number here has at most {len(str(LARGEST_NUMBER)) - 1} digits")
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Of texts, numbers and lists only what does not grow: no `format`, no `ljust`, no `to_bytes`."""
        return super().is_safe_attribute(obj, attr, value) and (not isinstance(obj, _VALUES) or attr in _METHODS)

    def wrap_str_format(self, value: Any) -> None:
        """Jinja allows a tamed `format`; its widths fill the memory all the same, so it goes the way of all methods."""

    def _measured(self, name: str, filter_: Callable[..., Any]) -> Callable[..., Any]:
        """A filter that counts what goes in and what comes out."""

        @functools.wraps(filter_)  # what the filter wants to be given besides stands in its attributes
        def measured(*args: Any, **named: Any) -> Any:
            given = [arg for arg in (*args, *named.values()) if not isinstance(arg, _BESIDES)]
            if name not in _OF_LISTS:
                given = [_scalar(arg) for arg in given]
            self.spend(1, sum(map(_size, given)) + _growth(name, given))
            made = filter_(*args, **named)
            made = list(made) if isinstance(made, Iterator) else made
            self.spend(0, _size(made))
            if isinstance(made, list) and len(made) > LONGEST_LIST:
                raise SecurityError(f"a list of more than {LONGEST_LIST} things")
            return made

        return measured


_BESIDES = (jinja2.Environment, jinja2.runtime.Context, nodes.EvalContext)


class _Left(threading.local):
    """What the rendering of this thread may still spend."""

    steps = STEPS
    characters = CHARACTERS
    until = 0.0
    since = 0


class _Generator(CodeGenerator):
    """Compiles a template with the counting in it."""

    def visit_Template(self, node: nodes.Template, frame: Any = None) -> None:
        metered = _Metering().visit(node)
        super().visit_Template(metered.set_environment(self.environment), frame)


class _Metering(NodeTransformer):
    """Put the counting into what a template was parsed to."""

    def generic_visit(self, node: nodes.Node, *args: Any, **named: Any) -> nodes.Node:
        """What is a body of its own counts as such when it begins."""
        super().generic_visit(node, *args, **named)
        if isinstance(node, nodes.Template | nodes.Block | nodes.Macro | nodes.CallBlock):
            node.body.insert(0, _spending(node, _weight(node), 0))
        return node

    def visit_Output(self, node: nodes.Output) -> list[nodes.Node]:
        super().generic_visit(node)
        words = sum(len(part.data) for part in node.nodes if isinstance(part, nodes.TemplateData))
        return [_spending(node, 0, words), node] if words else [node]

    def visit_For(self, node: nodes.For) -> nodes.For:
        if node.recursive:
            raise jinja2.TemplateSyntaxError("a loop that calls itself is not for notices", node.lineno)
        weight = nodes.Const(_weight(node), lineno=node.lineno)
        super().generic_visit(node)
        node.iter = _calling(node, "counted", (cast(nodes.Expr, node.iter), weight))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        super().generic_visit(node)
        return _calling(node, "joined", node.nodes)

    def visit_List(self, node: nodes.List | nodes.Tuple) -> nodes.Node:
        """A list of lists could be large beyond all counting."""
        if node.ctx == "load" if isinstance(node, nodes.Tuple) else True:
            _only_words(node, node.items)
        return node

    visit_Tuple = visit_List

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        _only_words(node, [pair.value for pair in node.items])
        return node


def _only_words(node: nodes.Node, items: Iterable[nodes.Node]) -> None:
    if not all(isinstance(item, nodes.Const) for item in items):
        raise jinja2.TemplateSyntaxError("a list here holds fixed words and numbers only", node.lineno)


def _calling(at: nodes.Node, name: str, arguments: Sequence[nodes.Expr]) -> nodes.Call:
    counting = nodes.EnvironmentAttribute(name, lineno=at.lineno)
    return nodes.Call(counting, list(arguments), [], None, None, lineno=at.lineno)


def _spending(at: nodes.Node, steps: int, characters: int) -> nodes.ExprStmt:
    numbers: list[nodes.Expr] = [nodes.Const(number, lineno=at.lineno) for number in (steps, characters)]
    return nodes.ExprStmt(_calling(at, "spend", numbers), lineno=at.lineno)


def _weight(node: nodes.Node) -> int:
    """How much there is to do in a body: one for every ten things in it."""
    return 1 + sum(1 for _ in node.find_all(nodes.Node)) // 10


@jinja2.pass_context
def _put(context: Any, value: Any) -> Any:
    """Count a value on its way into the text."""
    if not isinstance(value, Undefined):
        context.environment.spend(0, len(value) if isinstance(value, str) else len(str(_scalar(value))))
    return value


def _scalar(value: Any) -> Any:
    if not isinstance(value, (*_SCALARS, Undefined)):
        raise SecurityError("a list is no text: say which of its words is meant")
    return value


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    return sum(1 + _size(item) for item in value) if isinstance(value, list | tuple) else 0


def _growth(name: str, given: list[Any]) -> int:
    """What a filter adds that its arguments do not show."""
    if name == "replace" and len(given) > 2:
        text, old, new = (str(part) for part in given[:3])
        return text.count(old) * len(new)
    if name == "join" and len(given) > 1 and isinstance(given[0], list | tuple | str):
        return len(given[0]) * len(str(_scalar(given[1])))
    return 0
