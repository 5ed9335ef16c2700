"""A TCP proxy before a database on a Unix socket: it harms every so many COMMITs, each in another way."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Self

HARMS = (
    "cut before it arrives", "cut before the answer", "reset at once", "stalled", "stalled and cut",
    "stalled until it is too late", "answer stalled", "dribbled", "server killed",
)  # fmt: skip
STALL = 0.2  # seconds
REFUSED = 0.2  # seconds that somebody waits for the refusal of a server that is not there
SLICE, SLICES = 7, 400  # bytes at a time at most; how many of them dribble before the rest comes whole
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no patience: the other side sees a reset


class Proxy:
    """Listens on a port of its own while it is entered."""

    def __init__(
        self, upstream: str, chance: random.Random, *, share: float, patience: float, kill: Callable[[], None],
        harms: Sequence[str] = HARMS,
    ) -> None:  # fmt: skip
        """
        Stand before *upstream*.

        Args:
            share: of all commits that are harmed.
            patience: seconds after which the server ends a session that does nothing in its transaction.
            kill: ends the server at once, and brings it back.
        """
        self._upstream, self.chance, self._share, self.patience, self._kill = upstream, chance, share, patience, kill
        self._harms = harms
        self.harmed: Counter[str] = Counter()
        self.calm = True  # nothing is harmed yet
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._dying: set[asyncio.Future[None]] = set()
        self._thread = threading.Thread(target=self._serve, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._client, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def settle(self) -> None:
        """Until the server is back, where it was killed."""
        while self._dying:
            time.sleep(REFUSED)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(self._upstream)
        except OSError:
            await asyncio.sleep(REFUSED)
            writer.close()
            return
        line = _Line(self, reader, writer, far_reader, far_writer)
        back = asyncio.ensure_future(line.answers())
        with suppress(OSError, asyncio.CancelledError):
            await line.questions()
        back.cancel()
        for one in (writer, far_writer):
            with suppress(Exception):
                one.close()

    def harm(self) -> str | None:
        """What is to happen to this COMMIT, if anything."""
        if self.calm or self.chance.random() > self._share:
            return None
        how = self.chance.choice(self._harms)
        self.harmed[how] += 1
        return how

    def kill(self) -> None:
        """The server dies while others go on; one that is just being brought back is let be."""
        if not self._dying:
            dying = self._loop.run_in_executor(None, self._kill)
            self._dying.add(dying)
            dying.add_done_callback(self._dying.discard)


class _Line:
    """One connection."""

    def __init__(
        self, proxy: Proxy, near: asyncio.StreamReader, to_near: asyncio.StreamWriter,
        far: asyncio.StreamReader, to_far: asyncio.StreamWriter,
    ) -> None:  # fmt: skip
        self.proxy, self.near, self.to_near, self.far, self.to_far = proxy, near, to_near, far, to_far
        self.swallowing = self.dribbling = False
        self.holding = 0.0  # seconds before the next answer
        self.swallowed = asyncio.Event()

    async def questions(self) -> None:
        """From the client to the database."""
        while data := await self.near.read(65536):
            how = self.proxy.harm() if b"COMMIT" in data else None
            if how is not None and not await self._ways[how](self, data):
                return
            await self._pass(self.to_far, data)

    async def answers(self) -> None:
        """From the database to the client, who learns it when the database has ended, however that was."""
        try:
            while data := await self.far.read(65536):
                if self.swallowing:
                    self.swallowed.set()
                    return
                await asyncio.sleep(self.holding)
                self.holding = 0.0
                await self._pass(self.to_near, data)
        except OSError:
            pass
        finally:
            self.to_near.close()

    async def _pass(self, to: asyncio.StreamWriter, data: bytes) -> None:
        """On to the other side; a dribble is a few bytes at a time, each a packet of its own."""
        for _ in range(SLICES if self.dribbling else 0):
            if not data:
                break
            size = self.proxy.chance.randint(1, SLICE)
            to.write(data[:size])
            await to.drain()
            await asyncio.sleep(0)
            data = data[size:]
        to.write(data)
        await to.drain()

    async def _cut_before(self, _data: bytes) -> bool:
        return False

    async def _cut_answer(self, data: bytes) -> bool:
        self.swallowing = True
        self.to_far.write(data)
        await self.to_far.drain()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.swallowed.wait(), 5)
        return False

    async def _reset(self, data: bytes) -> bool:
        self.to_far.write(data)
        near: socket.socket = self.to_near.get_extra_info("socket")
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.to_near.transport.abort()
        return False

    async def _stalled(self, _data: bytes) -> bool:
        await asyncio.sleep(STALL)
        return True

    async def _stalled_and_cut(self, _data: bytes) -> bool:
        await asyncio.sleep(STALL)
        return False

    async def _stalled_too_long(self, _data: bytes) -> bool:
        """The server has given the session up when it comes."""
        await asyncio.sleep(self.proxy.patience + STALL)
        return True

    async def _answer_stalled(self, _data: bytes) -> bool:
        self.holding = self.proxy.patience + STALL
        return True

    async def _dribbled(self, _data: bytes) -> bool:
        self.dribbling = True
        return True

    async def _server_killed(self, data: bytes) -> bool:
        """Before it has it, while it is at it, or when it is done."""
        if self.proxy.chance.random() < 2 / 3:
            self.to_far.write(data)
            await self.to_far.drain()
            await asyncio.sleep(self.proxy.chance.choice((0, 0.02)))
        self.swallowing = True
        self.proxy.kill()
        return False

    _ways: ClassVar[dict[str, Callable[[Any, bytes], Coroutine[Any, Any, bool]]]] = dict(
        zip(
            HARMS,
            (
                _cut_before,
                _cut_answer,
                _reset,
                _stalled,
                _stalled_and_cut,
                _stalled_too_long,
                _answer_stalled,
                _dribbled,
                _server_killed,
            ),
            strict=True,
        )
    )
