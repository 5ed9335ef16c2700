"""Steps that make one value of several: ids and ranges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from migrator.mapping import ids
from migrator.mapping import values as columns
from migrator.mapping.environment import Env
from migrator.mapping.schema import Kind
from migrator.mapping.transforms import arguments as takes
from migrator.mapping.transforms.transform import word
from migrator.mapping.values import Values

_BOUNDS = ("[)", "[]", "(]", "()")


def uuid5(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Make an id of a name and the values, the same in every run; null where a part is null.

    Example: {uuid5: coupon} | 7 -> 3370642a-2607-5ec5-bc96-21ab14bd119d
    """
    return Values(ids.uuid5(str(args), [values.text for values in inputs]), Kind.TEXT)


def range_(inputs: Sequence[Values], args: Any, env: Env) -> Values:
    """
    Make a range of two values; null is open, and a lower bound above the upper fails.

    Example: range | [1, 5] -> '[1,5)'
    """
    low, high = columns.alike(inputs[0].only(), inputs[1].only())
    opens, closes = (args or {}).get("bounds", "[)")
    both = low.values.is_not_null() & high.values.is_not_null()
    none = low.values.is_null() & high.values.is_null()
    text = opens + low.text.fill_null("") + "," + high.text.fill_null("") + closes
    made = Values(columns.blank(text, none), Kind.OTHER)
    return made.fails(both & columns.is_true(low.values > high.values), "the lower bound is above the upper")


WORDS = (
    word(uuid5, takes.text, many=True),
    word(range_, takes.optional(takes.options(bounds=takes.choice(*_BOUNDS))), fallible=True, many=True),
)
