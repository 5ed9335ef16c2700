"""Pull the plug: after so many effects the power is gone, until it is switched on again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from migrator.flows.parts import Parts


class Power(BaseException):
    """The power is gone; no `except Exception` sees it."""


class Plug:
    """Counts effects (commits and snapshots); with a limit, the effect after it does not happen, nor does any other."""

    def __init__(self) -> None:
        self.used = 0
        self.limit: int | None = None

    def use(self) -> None:
        if self.limit is not None and self.used >= self.limit:
            raise Power
        self.used += 1


class _Transactions:
    """A database whose write transactions are effects."""

    def __init__(self, real: Any, plug: Plug, opener: str) -> None:
        self._real, self._plug, self._opener = real, plug, opener

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name) if name != self._opener else self._write

    @contextmanager
    def _write(self) -> Iterator[Any]:
        with getattr(self._real, self._opener)() as transaction:
            yield transaction
            self._plug.use()  # inside: the commit is what does not happen


class _Shelf:
    """Snapshots, each an effect."""

    def __init__(self, real: Any, plug: Plug) -> None:
        self._real, self._plug = real, plug

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def keep(self, *given: Any) -> str:
        self._plug.use()
        return str(self._real.keep(*given))


def transactions(real: Any, plug: Plug, opener: str) -> Any:
    """A database whose write transactions go through the plug."""
    return _Transactions(real, plug, opener)


def plugged(parts: Parts, plug: Plug) -> Parts:
    """The same parts, each effect through the plug."""
    return replace(
        parts,
        control=_Transactions(parts.control, plug, "write"),  # type: ignore[arg-type]
        target=_Transactions(parts.target, plug, "writing"),  # type: ignore[arg-type]
        snapshots=_Shelf(parts.snapshots, plug),  # type: ignore[arg-type]
    )
