"""All words of the language by name. A new one is a function in `transforms/` and a line in its WORDS."""

from __future__ import annotations

from migrator.mapping.transforms import checks, choices, code, keys, numbers, repair, secrets, structures, text, times
from migrator.mapping.transforms.transform import Transform

__all__ = ["TRANSFORMS", "Transform"]

TRANSFORMS: dict[str, Transform] = {
    transform.name: transform
    for module in (text, repair, checks, numbers, times, structures, choices, secrets, code, keys)
    for transform in module.WORDS
}
