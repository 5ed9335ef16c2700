"""When a wave may start batches: windows and blackouts. *now* is always given; nobody here asks the clock."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from migrator.errors import SettingWrong

T = TypeVar("T")

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(
    r"(?:(?P<days>[a-z,\- ]+) )?(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)(?: (?P<zone>\S+))?", re.IGNORECASE
)
_BLACKOUT = re.compile(
    r"(?P<first>\d{4}-\d\d-\d\d)(?: to (?P<last>\d{4}-\d\d-\d\d))?(?: (?P<zone>\S+))?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Window:
    """When batches may start: on `days` (0 is Monday), from `start` to before `end` by the clock of `zone`."""

    days: frozenset[int]
    start: time
    end: time  # not after start: the next day; equal: the whole day
    zone: ZoneInfo

    def open_at(self, now: datetime) -> bool:
        """Say whether *now* is inside; a window over midnight belongs to the day on which it opened."""
        here = now.astimezone(self.zone)
        clock, day = here.time(), here.weekday()
        if self.start < self.end:
            return day in self.days and self.start <= clock < self.end
        opened_today = day in self.days and clock >= self.start
        opened_yesterday = (day - 1) % 7 in self.days and clock < self.end
        return opened_today or opened_yesterday

    def opens_on(self, day: date) -> datetime:
        """Give the instant at which it would open on *day*; an hour that the clock skips is the hour after."""
        return datetime.combine(day, self.start, self.zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Blackout:
    """Whole days, first to last, on which nothing starts."""

    first: date
    last: date
    zone: ZoneInfo

    def covers(self, now: datetime) -> bool:
        """Say whether *now* is inside."""
        return self.first <= now.astimezone(self.zone).date() <= self.last

    @property
    def ends(self) -> datetime:
        """The first instant after it."""
        return datetime.combine(self.last + timedelta(days=1), time(), self.zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Schedule:
    """All windows and blackouts of a plan. Without windows every hour is open."""

    windows: tuple[Window, ...] = ()
    blackouts: tuple[Blackout, ...] = ()

    def open_at(self, now: datetime) -> bool:
        """Say whether a batch may start *now*."""
        inside = not self.windows or any(window.open_at(now) for window in self.windows)
        return inside and not any(blackout.covers(now) for blackout in self.blackouts)

    def why_closed(self, now: datetime) -> str | None:
        """Say until when no batch may start; None where one may."""
        if self.open_at(now):
            return None
        opens = self.next_open(now)
        until = f"until {opens.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if opens else "for more than a year"
        return f"the schedule is closed {until}"

    def next_open(self, now: datetime) -> datetime | None:
        """Give the first instant from *now* on at which a batch may start; None: not within a year."""
        return next((moment for moment in sorted(self._changes(now)) if self.open_at(moment)), None)

    def _changes(self, now: datetime) -> Iterable[datetime]:
        # It can only become open where a window opens or a blackout ends, so only these are looked at.
        yield now
        yield from (blackout.ends for blackout in self.blackouts if blackout.ends > now)
        for window in self.windows:
            today = now.astimezone(window.zone).date()
            opens = (window.opens_on(today + timedelta(days=ahead)) for ahead in range(367))
            yield from (moment for moment in opens if moment > now)


def read(windows: Sequence[str], blackouts: Sequence[str] = (), zone: str = "UTC") -> Schedule:
    """
    Read the `[schedule]` of the settings.

    Args:
        windows: Such as `22:00-06:00` or `Mon-Fri 22:00-06:00 Europe/Berlin`.
        blackouts: Such as `2026-12-24` or `2026-12-24 to 2027-01-02 Europe/Berlin`.
        zone: Whose clock is meant where none is named.

    Raises:
        SettingWrong: every text that is not understood.
    """
    problems: list[str] = []
    read_windows = [_try(_window, text, zone, problems) for text in windows]
    read_blackouts = [_try(_blackout, text, zone, problems) for text in blackouts]
    if problems:
        raise SettingWrong(*problems)
    return Schedule(
        tuple(window for window in read_windows if window), tuple(blackout for blackout in read_blackouts if blackout)
    )


def _try(reader: Callable[[str, str], T], text: str, zone: str, problems: list[str]) -> T | None:
    try:
        return reader(text, zone)
    except SettingWrong as wrong:
        problems.extend(wrong.problems)
    except (ValueError, ZoneInfoNotFoundError) as wrong:  # 25:00, 31 February, a zone nobody knows
        problems.append(f"[schedule] {text!r}: {wrong}")
    return None


def _window(text: str, zone: str) -> Window:
    found = _WINDOW.fullmatch(text.strip())
    if found is None:
        raise SettingWrong(f"[schedule] a window is like 'Mon-Fri 22:00-06:00 Europe/Berlin', not {text!r}")
    start, end = time.fromisoformat(found["start"]), time.fromisoformat(found["end"])
    return Window(_days(found["days"], text), start, end, ZoneInfo(found["zone"] or zone))


def _days(text: str | None, whole: str) -> frozenset[int]:
    if text is None:
        return frozenset(range(7))
    days: set[int] = set()
    for part in text.lower().split(","):
        first, _, last = (name.strip() for name in part.partition("-"))
        if first not in _DAYS or (last or first) not in _DAYS:
            raise SettingWrong(f"[schedule] days are {', '.join(_DAYS)}, as in Mon-Fri or Sat,Sun: {whole!r}")
        begin = _DAYS.index(first)
        days.update((begin + i) % 7 for i in range((_DAYS.index(last or first) - begin) % 7 + 1))
    return frozenset(days)


def _blackout(text: str, zone: str) -> Blackout:
    found = _BLACKOUT.fullmatch(text.strip())
    if found is None:
        raise SettingWrong(f"[schedule] a blackout is like '2026-12-24 to 2027-01-02 Europe/Berlin', not {text!r}")
    first = date.fromisoformat(found["first"])
    last = date.fromisoformat(found["last"] or found["first"])
    if last < first:
        raise SettingWrong(f"[schedule] a blackout ends before it begins: {text!r}")
    return Blackout(first, last, ZoneInfo(found["zone"] or zone))
