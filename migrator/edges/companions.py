"""
Processes of ours that work beside this one: jobs go out and results come back through pipes, and they end with us.

Each is an interpreter of its own, as Polars must not be forked; nothing is written down of it, so nothing is left
behind: a companion whose pipe is closed, because we ended or were killed, ends at once, whatever it is at.
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO, Any, TypeAlias

from migrator.edges.tokens import inherited

log = logging.getLogger("migrator.companions")
PATIENCE = 10.0  # seconds for a companion that has nothing to do to end

Numbered: TypeAlias = tuple[int, Any]


class Companions:
    """
    Shares jobs between this process and others like it.

    Args:
        command: What a companion is started with; it ends in `serve`.
        most: How many processes may be at work, this one among them.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], most: int) -> None:
        self._command, self._environment, self.most = list(command), dict(environment), most
        self._waiting: list[subprocess.Popen[bytes]] = []

    @contextmanager
    def expected(self, count: int) -> Iterator[None]:
        """So many will soon be wanted: they start while we prepare what they are to do."""
        try:
            for _ in range(count):
                self._waiting.append(self._started())
            yield
        finally:
            self._send_away()

    def share(
        self, task: str, jobs: Sequence[Any], here: Callable[[Any], Any], beside: int
    ) -> Generator[Numbered, None, None]:
        """
        Carry out *jobs*, here and in as many processes *beside*; (number of the job, its result) as each is done.

        What a companion raises is raised here. The job of one that dies is done here.
        """
        waiting, done = deque(enumerate(jobs)), queue.SimpleQueue[_Done]()
        with ExitStack() as stack:
            for _ in range(beside):
                companion = stack.enter_context(self._companion())
                threading.Thread(target=_ask, args=(companion, task, waiting, done), daemon=True).start()
            left = len(jobs)
            while left:
                found = _taken(done) or _worked(waiting, here) or done.get()
                if found.died:
                    continue
                if found.error is not None:
                    raise found.error
                left -= 1
                yield found.place, found.result

    @contextmanager
    def _companion(self) -> Iterator[subprocess.Popen[bytes]]:
        process = self._waiting.pop() if self._waiting else self._started()
        try:
            yield process
        except BaseException:
            process.kill()
            raise
        finally:
            _end(process)

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            env=inherited(self._environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C in the terminal is for us alone
        )

    def _send_away(self) -> None:
        """Nobody wanted them: they have nothing to finish."""
        while self._waiting:
            process = self._waiting.pop()
            process.kill()
            _end(process)


class _Done:
    """What came of one job; or that a companion died, and its job waits again."""

    def __init__(self, place: int, result: Any = None, error: BaseException | None = None, *, died: bool = False):
        self.place, self.result, self.error, self.died = place, result, error, died


def _taken(done: queue.SimpleQueue[_Done]) -> _Done | None:
    try:
        return done.get_nowait()
    except queue.Empty:
        return None


def _worked(waiting: deque[Numbered], here: Callable[[Any], Any]) -> _Done | None:
    try:
        place, job = waiting.popleft()
    except IndexError:
        return None
    return _Done(place, here(job))


def _ask(
    companion: subprocess.Popen[bytes], task: str, waiting: deque[Numbered], done: queue.SimpleQueue[_Done]
) -> None:
    """Give one companion job after job, until none waits."""
    assert companion.stdin is not None and companion.stdout is not None
    while True:
        try:
            place, job = waiting.popleft()
        except IndexError:
            return
        try:
            pickle.dump((task, job), companion.stdin)
            companion.stdin.flush()
            result, error = pickle.load(companion.stdout)
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):
            log.warning("a companion ended before it answered; its part is done here")
            waiting.append((place, job))
            done.put(_Done(place, died=True))
            return
        except Exception as wrong:  # noqa: BLE001 (who waits for the answer is to know)
            done.put(_Done(place, error=wrong))
            return
        done.put(_Done(place, result, error))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close its pipe, which ends it."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            _close(pipe)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except OSError:  # it died with something unread in its pipe
        pass


def serve(carry_out: Callable[[str, Any], Any]) -> None:
    """Be a companion: carry out what comes in by standard input until it is closed; what is printed goes to the log."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    jobs = queue.SimpleQueue[tuple[str, Any]]()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, jobs), daemon=True).start()
    try:
        while True:
            task, job = jobs.get()
            answers.write(_answer(carry_out, task, job))
            answers.flush()
    finally:  # nobody takes the answer; an interpreter that ends in good order would wait for the one who listens
        os._exit(1)


def _listen(pipe: IO[bytes], jobs: queue.SimpleQueue[tuple[str, Any]]) -> None:
    """Nobody is there any more when the pipe is closed: what is half done is rolled back by the databases."""
    while True:
        try:
            jobs.put(pickle.load(pipe))
        except EOFError:
            os._exit(0)


def _answer(carry_out: Callable[[str, Any], Any], task: str, job: Any) -> bytes:
    try:
        return pickle.dumps((carry_out(task, job), None))
    except Exception as error:  # noqa: BLE001 (whoever asked is to know)
        return pickle.dumps((None, error))
