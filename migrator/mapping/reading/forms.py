"""A map of a document, read slot by slot: every key has a kind, and no mistake stops the reading of the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from migrator.mapping.model import Place, Word
from migrator.mapping.problems import Notes
from migrator.mapping.reading.nodes import Items, Node, Pairs, Scalar, is_null, literal
from migrator.mapping.suggest import suggest


class Form:
    """
    One map whose keys are known beforehand.

    A slot that is missing or wrong gives an empty value; the mistake is in the notes, and a document with
    mistakes is never used.
    """

    def __init__(self, pairs: Pairs, notes: Notes) -> None:
        self.place = pairs.place
        self.notes = notes
        self._keys = tuple(pairs.entries)
        self._nodes: dict[str, Node] = {str(key): node for key, node in pairs.entries.items()}

    @classmethod
    def of(
        cls,
        node: Node | None,
        what: str,
        keys: Sequence[str],
        notes: Notes,
        needs: Iterable[str] = (),
        at: Place | None = None,
    ) -> Form | None:
        """
        Open *node* as a map with only *keys*, all of *needs* among them; None if it is no map.

        Args:
            what: What the map is, for messages: `source`, `a rule`.
            at: Where to point when a needed key is missing; the map itself by default.
        """
        if node is None:
            return None
        if not isinstance(node, Pairs):
            notes.add("E101", node.place, f"{what} must be a map", f"its keys are: {', '.join(keys)}")
            return None
        for key in node.entries:
            if key not in keys:
                notes.add("E103", key.place, f'{what} has no key "{key}"', suggest(key, keys))
        for need in needs:
            if need not in node.entries:
                notes.add("E102", at or node.place, f'{what} needs the key "{need}"')
        return cls(node, notes)

    def __contains__(self, key: str) -> bool:
        return key in self._nodes

    def node(self, key: str) -> Node | None:
        """What stands under *key*, unread."""
        return self._nodes.get(key)

    def key_place(self, key: str) -> Place:
        """Where the word *key* itself stands."""
        return next((word.place for word in self._keys if word == key), self.place)

    def word(self, key: str) -> Word:
        """A name."""
        node = self.node(key)
        return Word("", self.place) if node is None else word(node, key, self.notes)

    def maybe_word(self, key: str) -> Word | None:
        """A name, or None where the key is not there."""
        return self.word(key) if key in self else None

    def words(self, key: str) -> tuple[Word, ...]:
        """One name or a list of names."""
        node = self.node(key)
        return () if node is None else words(node, key, self.notes)

    def text(self, key: str) -> str:
        """A text for people."""
        node = self.node(key)
        return "" if node is None else text(node, key, self.notes)

    def flag(self, key: str, default: bool = False) -> bool:
        """true or false."""
        node = self.node(key)
        if node is None:
            return default
        if isinstance(node, Scalar) and node.plain and node.text in ("true", "false"):
            return node.text == "true"
        self.notes.add("E105", node.place, f"{key} is true or false")
        return default

    def choice(self, key: str, options: Sequence[str], default: str) -> str:
        """One of *options*."""
        node = self.node(key)
        return default if node is None else choice(node, key, options, self.notes)

    def number(self, key: str, default: int) -> int:
        """A whole number."""
        value = self.literal(key, default)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        self.notes.add("E105", self._entry_place(key), f"{key} is a whole number")
        return default

    def literal(self, key: str, default: Any = None) -> Any:
        """Any value."""
        node = self.node(key)
        return default if node is None else literal(node, self.notes)

    def literals(self, key: str) -> tuple[Any, ...]:
        """One value or a list of values."""
        node = self.node(key)
        if node is None:
            return ()
        return tuple(literal(item, self.notes) for item in (node.items if isinstance(node, Items) else (node,)))

    def items(self, key: str) -> tuple[Node, ...]:
        """A list, unread."""
        node = self.node(key)
        if node is None:
            return ()
        if isinstance(node, Items):
            return node.items
        self.notes.add("E105", node.place, f"{key} is a list", f"write {key}: […]")
        return ()

    def pairs(self, key: str) -> Iterator[tuple[Word, Node]]:
        """A map with free keys, unread."""
        node = self.node(key)
        return iter(()) if node is None else pairs(node, key, self.notes)

    def pair(self, key: str, options: Sequence[str]) -> tuple[str, Word] | None:
        """`{OPTION: COLUMN}` with exactly one of *options*."""
        node = self.node(key)
        if node is None:
            return None
        if not isinstance(node, Pairs) or len(node.entries) != 1:
            self.notes.add("E105", node.place, f"{key} has exactly one key", f"write {{{options[0]}: COLUMN}}")
            return None
        name, value = next(iter(node.entries.items()))
        if name not in options:
            self.notes.add("E103", name.place, f'{key} has no way "{name}"', suggest(name, options))
        return str(name), word(value, name, self.notes)

    def only_one_of(self, *keys: str) -> None:
        """Note it when more than one of *keys* is there."""
        there = [key for key in keys if key in self]
        for key in there[1:]:
            self.notes.add("E105", self.key_place(key), f'"{key}" cannot stand beside "{there[0]}"', "keep one of them")

    def _entry_place(self, key: str) -> Place:
        node = self.node(key)
        return self.place if node is None else node.place


def word(node: Node, what: str, notes: Notes) -> Word:
    """Read a name: one scalar that is not empty."""
    if isinstance(node, Scalar) and node.text and not is_null(node):
        return Word(node.text, node.place)
    notes.add("E105", node.place, f"{what} is a name")
    return Word("", node.place)


def words(node: Node, what: str, notes: Notes) -> tuple[Word, ...]:
    """Read one name or a list of names; an empty list is a mistake."""
    if not isinstance(node, Items):
        return (word(node, what, notes),)
    if not node.items:
        notes.add("E105", node.place, f"{what} is a name or a list of names, not an empty list")
    return tuple(word(item, what, notes) for item in node.items)


def text(node: Node, what: str, notes: Notes) -> str:
    """Read a text for people: one scalar, as written."""
    if isinstance(node, Scalar):
        return node.text
    notes.add("E105", node.place, f"{what} is a text")
    return ""


def choice(node: Node, what: str, options: Sequence[str], notes: Notes) -> str:
    """Read one of *options*; `null` is a word here."""
    if isinstance(node, Scalar) and node.text in options:
        return node.text
    wrong = node.text if isinstance(node, Scalar) else ""
    notes.add("E105", node.place, f"{what} is one of {', '.join(options)}", suggest(wrong, options) if wrong else "")
    return options[0]


def pairs(node: Node, what: str, notes: Notes) -> Iterator[tuple[Word, Node]]:
    """Read a map with free keys."""
    if isinstance(node, Pairs):
        return iter(node.entries.items())
    notes.add("E101", node.place, f"{what} must be a map")
    return iter(())
