"""Words that mean the clock or chance. A mapping knows neither, so that a second run gives what the first gave."""

from __future__ import annotations

HELP = "a mapping sees $plan.as_of and no clock, and makes ids of keys: uuid5"
_WORDS = frozenset(
    {
        "now", "today", "utcnow", "current_date", "current_time", "current_timestamp", "localtimestamp", "getdate",
        "sysdate", "clock_timestamp", "unix_timestamp", "random", "rand", "random_int", "uuid", "uuid1", "uuid4",
        "uuid7", "newid", "gen_random_uuid", "uuid_generate_v4", "nextval", "autoincrement",
    }
)  # fmt: skip


def is_clock(word: str) -> bool:
    """Whether *word*, with `()` behind it or not, names the clock or chance."""
    return word.strip().lower().removeprefix("$").removeprefix("plan.").removesuffix("()") in _WORDS
