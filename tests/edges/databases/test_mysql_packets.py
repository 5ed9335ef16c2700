"""The rows of a result in the form in which MySQL sends them, however they come in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.edges.databases.mysql_packets import OutOfOrder, Packets

FULL = 2**24 - 1
END = b"\xfe\x00\x00\x02\x00"
ROWS = st.lists(st.lists(st.none() | st.binary(max_size=300), min_size=2, max_size=2), max_size=8)


def said(value: bytes | None) -> bytes:
    if value is None:
        return b"\xfb"
    size = len(value)
    for most, first, width in ((250, b"", 1), (2**16 - 1, b"\xfc", 2), (2**24 - 1, b"\xfd", 3)):
        if size <= most:
            return first + size.to_bytes(width, "little") + value
    return b"\xfe" + size.to_bytes(8, "little") + value


def sent(contents: Iterable[bytes], first: int = 0) -> bytes:
    parts = []
    for content in contents:
        pieces = [content[at : at + FULL] for at in range(0, len(content) + 1, FULL)]
        parts += pieces if pieces else [b""]
    return b"".join(
        len(part).to_bytes(3, "little") + bytes([(first + number) % 256]) + part for number, part in enumerate(parts)
    )


def rows_of(stream: bytes, size: int, first: int = 0) -> tuple[list[bytes | None], Packets]:
    pieces: Iterator[bytes] = iter([stream[at : at + size] for at in range(0, len(stream), size)])
    packets = Packets(lambda: next(pieces), first)
    values = []
    while not packets.ended:
        values += packets.values(3)
    return values, packets


@given(ROWS, st.integers(1, 700), st.integers(0, 255))
def test_every_value_comes_out_however_the_bytes_are_cut(rows: list[list[bytes | None]], size: int, first: int) -> None:
    stream = sent([*(b"".join(map(said, row)) for row in rows), END], first)

    values, packets = rows_of(stream, size, first)

    assert values == [value for row in rows for value in row]
    assert packets.error is None


@pytest.mark.parametrize("size", [250, 251, 65_535, 65_536, FULL - 4, FULL - 3, FULL + 100, 2 * FULL - 9])
def test_a_row_may_fill_one_packet_and_more(size: int) -> None:
    row = [bytes([size % 251]) * size, b"behind"]

    values, _ = rows_of(sent([b"".join(map(said, row[:1])), said(row[1]), END]), 1_000_000)

    assert values == row


def test_an_error_between_rows_ends_them_and_is_told() -> None:
    _, packets = rows_of(sent([said(b"one"), b"\xff\x13\x04#42000no"]), 5)

    assert packets.error == b"\xff\x13\x04#42000no"


def test_a_packet_that_is_missing_is_seen() -> None:
    with pytest.raises(OutOfOrder):
        rows_of(sent([said(b"one")]) + sent([said(b"three"), END], 2), 100)
