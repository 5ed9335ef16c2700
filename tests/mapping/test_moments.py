from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.mapping import moments
from migrator.mapping.schema import Kind

ZONES = st.sampled_from(["Z", "+00", "-00:00", "+0000"]) | st.sampled_from(["+02", "-05:30", "+0545"])
OFFSETS = {"+02": 120, "-05:30": -330, "+0545": 345}
FRACTIONS = st.text("0123456789", max_size=6)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)), FRACTIONS, ZONES), min_size=1))  # noqa: DTZ001
def test_an_instant_is_read_to_the_microsecond_in_any_zone_whatever_stands_beside_it(
    told: list[tuple[datetime, str, str]],
) -> None:
    texts, meant = [], []
    for at, fraction, zone in told:
        at = at.replace(microsecond=int((fraction or "0").ljust(6, "0")))
        behind = f".{fraction}" if fraction else ""
        texts.append(f"{at.replace(microsecond=0).isoformat(' ')}{behind}{zone}")
        meant.append(at.replace(tzinfo=timezone(timedelta(minutes=OFFSETS.get(zone, 0)))).astimezone(UTC))

    read = moments.parse(pl.Series([*texts, None, "2020-02-30T00:00:00Z", "2020-01-01 00:00:00"]), Kind.TIMESTAMP)

    assert read.to_list() == [*meant, None, None, None]
