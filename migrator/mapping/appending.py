"""One more example in the text of a mapping: everything that stands there stays as it is, comments too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from migrator.errors import Refused
from migrator.mapping.proposing import writing

_ORDER = ("name", "given", "expect", "expect_review")


def appended(text: str, example: Mapping[str, Any]) -> str:
    """
    Add *example* after the last one in the text of a mapping file; without any, at its end.

    Raises:
        Refused: `examples` is written in a way that nothing can be added to by itself.
    """
    root = yaml.compose(text, yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)  # the text was read as a mapping before
    node = next((value for key, value in root.value if key.value == "examples"), None)
    if node is None:
        return f"{text.rstrip()}\n\nexamples:\n{_entry(example, 2)}"
    if not isinstance(node, yaml.SequenceNode) or node.flow_style or not node.value:
        raise Refused("`examples:` is no list with one entry per line; write it so, then add more")
    lines = text.split("\n")
    last = max(_ends(node.value[-1]))
    indent = node.value[0].start_mark.column - 2
    entry = _entry(example, max(indent, 0)).rstrip("\n")
    return "\n".join([*lines[: last + 1], *entry.split("\n"), *lines[last + 1 :]]).rstrip("\n") + "\n"


def _entry(example: Mapping[str, Any], indent: int) -> str:
    ordered = {name: example[name] for name in _ORDER if name in example}
    first, *more = writing.nested(ordered, indent=indent + 2)
    blanks = " " * indent
    return "\n".join([f"{blanks}- {first.lstrip()}", *more]) + "\n"


def _ends(node: yaml.Node) -> Iterator[int]:
    """The last lines, from 0, of everything in a node."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style:
        for key, value in node.value:
            yield from (*_ends(key), *_ends(value))
    elif isinstance(node, yaml.SequenceNode) and not node.flow_style:
        for value in node.value:
            yield from _ends(value)
    else:  # a text of several lines ends at the beginning of the line after it
        yield node.end_mark.line - (1 if node.end_mark.column == 0 and node.end_mark.line > node.start_mark.line else 0)
