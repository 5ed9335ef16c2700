"""
What may be written where anybody looks: one redaction for logs, the journal and errors. Nobody is named, nothing is quoted.

A user is an alias that only the project's key explains, an error is its class, code, constraint and place. What looks
like an address or a password is masked whoever said it, and a line is a line.
"""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from migrator.errors import MigratorError

DEPTH = 4  # frames: enough to find the place
OURS = "migrator"
NOBODY = "user ?"  # the key is not there: better no name than the wrong one

#: An address; or, before that, how a URL begins, which may look like one.
_ADDRESS = re.compile(r"(\w+://(?:[^\s/@]*@)?[^\s/@?#]*)|[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+")
_PASSWORD = re.compile(r"(\w://[^\s:/@]*):[^\s@]*@")
#: What databases add to their messages: `Key (email)=(…) already exists`, `Failing row contains (…)`, `[parameters: …]`.
_QUOTED = re.compile(r"(?<=\)=)\(.*?\)(?=\s|\.|$)|(?<=contains )\(.*\)|\[parameters: .*|\[SQL: .*", re.DOTALL)
_BREAK = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PLACE = re.compile(r"[^\n]*?:\d+: \w+")  # file, line and class of a warning


class User:
    """A user in a log line: `log.warning("%s waits", logs.User(key))`; said as an alias."""

    __slots__ = ("key",)
    alias: Callable[[str], str] | None = None  # of the project that is open

    def __init__(self, key: str) -> None:
        self.key = key

    def __str__(self) -> str:
        return f"user {User.alias(self.key)}" if User.alias else NOBODY

    __repr__ = __str__


def where(error: BaseException) -> str:
    """`IntegrityError (23505 accounts_email_key) at writer.py:12 put < batches.py:98 _attempt`: newest frame first."""
    frames = traceback.extract_tb(error.__traceback__)[-DEPTH:]
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames)]
    return f"{_called(error)} at {' < '.join(places)}" if places else _called(error)


def masked(said: Any) -> Any:
    """The same without addresses and passwords; lists and maps are looked through."""
    if isinstance(said, str):
        return (
            _ADDRESS.sub(lambda found: found[1] or "(address)", _PASSWORD.sub(r"\1:***@", said))
            if "@" in said
            else said
        )
    if isinstance(said, Mapping):
        return {key: masked(value) for key, value in said.items()}
    if isinstance(said, list | tuple):
        return [masked(value) for value in said]
    return said


def one_line(said: str) -> str:
    """Control characters as they are written: nobody's name begins a line of its own."""
    return _BREAK.sub(lambda found: found[0].encode("unicode_escape").decode(), said)


class Redaction(logging.Filter):
    """Goes over each record before it is written, ours or a library's."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace message, arguments and exception by what may be read. Whoever logs is not to fail of it."""
        try:
            said = self._said(record)
        except Exception as wrong:  # noqa: BLE001 (arguments that do not fit, a key that is not there)
            said = f"a line that cannot be said: {_called(wrong)}"
        record.msg, record.args = one_line(masked(said)), None
        record.exc_info = record.exc_text = record.stack_info = None
        return True

    def _said(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        ours = record.name.partition(".")[0] == OURS
        if error is not None and not ours:
            return where(error)  # its message, and what it was filled with, quote the error
        said = self._filled(record)
        if record.name == "py.warnings":
            place = _PLACE.match(said)
            return place[0] if place else "a warning"
        if not ours:
            said = _QUOTED.sub("(…)", said)
        return f"{said}: {where(error)}" if error is not None else said

    def _filled(self, record: logging.LogRecord) -> str:
        given = record.args
        if not given:
            return str(record.msg)
        if isinstance(given, Mapping):
            return str(record.msg) % {name: _spoken(value) for name, value in given.items()}
        return str(record.msg) % tuple(_spoken(value) for value in given)


class JsonLines(logging.Formatter):
    """One JSON object per line, for programs that collect logs."""

    def format(self, record: logging.LogRecord) -> str:
        """Time (UTC), level, logger, process, message."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"at": at, "level": record.levelname.lower(), "logger": record.name, "process": record.process}
        return json.dumps({**line, "message": record.getMessage()}, ensure_ascii=False)


class TextLines(logging.Formatter):
    """`2030-01-31T09:30:00Z warning migrator.batches 4711: batch 7: …`."""

    def format(self, record: logging.LogRecord) -> str:
        """Time (UTC), level, logger, process, message."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return f"{at} {record.levelname.lower()} {record.name} {record.process}: {record.getMessage()}"


class _Errors(logging.StreamHandler[TextIO]):
    """Standard error as it is now, not as it was when logging began."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


class _Forgiving(io.FileIO):
    """A file that loses what it is told while its disk is full."""

    def write(self, said: Any, /) -> int:
        """As if it were written."""
        try:
            return super().write(said) or 0
        except OSError:
            return len(said)


def forgive() -> None:
    """
    Let this process go on when its output can be written nowhere: a service whose log is full still has its work to do.

    Logging forgives by itself; what libraries print, at their start, at their end and in handlers of signals, does not.
    """
    for name, number in (("stdout", 1), ("stderr", 2)):
        file = io.BufferedWriter(_Forgiving(number, "w", closefd=False))
        stream = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", line_buffering=True)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


FORMATS: Mapping[str, type[logging.Formatter]] = {"text": TextLines, "json": JsonLines}


def begin(form: str, level: str, alias: Callable[[str], str] | None = None) -> None:
    """
    Send all logging of this process, and what nobody catches, through the redaction to standard error.

    Args:
        form: text or json.
        level: The least that is said.
        alias: What a user is called.
    """
    handler = _Errors()
    handler.addFilter(Redaction())
    handler.setFormatter(FORMATS[form]())
    root = logging.getLogger()
    for one in [one for one in root.handlers if isinstance(one, _Errors)]:
        root.removeHandler(one)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    User.alias = staticmethod(alias) if alias else None
    sys.excepthook = _not_caught
    if threading.excepthook is threading.__excepthook__:  # one that somebody else has set is his affair
        threading.excepthook = lambda given: _not_caught(given.exc_type, given.exc_value, None)
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = lambda given: _not_caught(given.exc_type, given.exc_value, None)


def _not_caught(kind: type[BaseException], error: BaseException | None, _trace: object) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    logging.getLogger(OURS).critical("not caught: %s", where(error) if error else kind.__name__)


def _spoken(value: Any) -> Any:
    if isinstance(value, MigratorError):
        return str(value)
    return where(value) if isinstance(value, BaseException) else value


def _called(error: BaseException) -> str:
    """Its class, with what a database says of it that is no data: code and constraint."""
    driver = getattr(error, "orig", None) or error
    told = [
        str(one)
        for one in (
            getattr(driver, "sqlstate", None) or getattr(driver, "sqlite_errorname", None),
            getattr(getattr(driver, "diag", None), "constraint_name", None),
        )
        if one
    ]
    return f"{type(error).__name__} ({' '.join(told)})" if told else type(error).__name__
