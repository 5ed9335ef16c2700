"""
Rows as the MySQL protocol carries them as text, cut into values in one loop: a call per value is what costs.

A packet is a length (3 bytes), its number, and so many bytes: one row, each value behind its length. A row that fills a
packet goes on in the next one.
"""

from __future__ import annotations

from collections.abc import Callable

_MOST = 0xFFFFFF  # bytes in one packet
_HEAD = 4
_NULL, _TWO_BYTES, _THREE_BYTES, _EIGHT_BYTES = 0xFB, 0xFC, 0xFD, 0xFE  # for a first byte: a length follows
_END, _ERROR = 0xFE, 0xFF  # for the first byte of a packet
_SIZES = {_TWO_BYTES: 2, _THREE_BYTES: 3, _EIGHT_BYTES: 8}


class OutOfOrder(Exception):
    """A packet is missing: the rest cannot be trusted."""


class Packets:
    """
    The rows of one result, as they come.

    Args:
        more: gives the next bytes of the stream, at least one, or raises.
        number: of the first packet.
    """

    def __init__(self, more: Callable[[], bytes], number: int) -> None:
        self._more, self._number = more, number
        self._bytes, self._at = b"", 0
        self.error: bytes | None = None
        self.ended = False

    def values(self, most: int) -> list[bytes | None]:
        """Up to *most* rows, one behind the other; `ended` when there are no more, with `error` where that is why."""
        found: list[bytes | None] = []
        for _ in range(most):
            start, stop = self._packet()
            stream = self._bytes
            first = stream[start]
            if first == _ERROR or (first == _END and stop - start < 9):
                self.ended = True
                self.error = stream[start:stop] if first == _ERROR else None
                break
            if stop - start == _MOST:
                stream = self._whole(stream[start:stop])
                start, stop = 0, len(stream)
            _cut(stream, start, stop, found.append)
        return found

    def _packet(self) -> tuple[int, int]:
        """Where the next packet stands in the bytes we have, all of it."""
        at = self._at
        if len(self._bytes) < at + _HEAD:
            at = self._read_on(at, _HEAD)
        size = int.from_bytes(self._bytes[at : at + 3], "little")
        if len(self._bytes) < at + _HEAD + size:
            at = self._read_on(at, _HEAD + size)
        if self._bytes[at + 3] != self._number:
            raise OutOfOrder
        self._number = (self._number + 1) % 256
        start = at + _HEAD
        self._at = start + size
        return start, self._at

    def _read_on(self, at: int, wanted: int) -> int:
        """Read until there are *wanted* bytes from *at*, and forget what was before; where they begin now."""
        parts = [self._bytes[at:]]
        wanted -= len(parts[0])
        while wanted > 0:
            parts.append(self._more())
            wanted -= len(parts[-1])
        self._bytes = b"".join(parts)
        return 0

    def _whole(self, begun: bytes) -> bytes:
        """Put a row together that has more than one packet."""
        parts, size = [begun], _MOST
        while size == _MOST:
            start, stop = self._packet()
            size = stop - start
            parts.append(self._bytes[start:stop])
        return b"".join(parts)


def _cut(stream: bytes, at: int, stop: int, keep: Callable[[bytes | None], None]) -> None:
    while at < stop:
        size = stream[at]
        at += 1
        if size == _NULL:
            keep(None)
            continue
        if size > _NULL:
            width = _SIZES[size]
            size = int.from_bytes(stream[at : at + width], "little")
            at += width
        keep(stream[at : at + size])
        at += size
