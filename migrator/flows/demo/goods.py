"""What the shop sells: the same products in the old shop and, moved by the product team, in the new one."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import Final
from uuid import NAMESPACE_URL, uuid5

_TEAS: Final = ("Longjing", "Pu'er", "Tieguanyin", "Keemun", "Jasmine", "White Peony", "大红袍", "碧螺春")
_FORMS: Final = ("Loose Leaf", "Tea &amp; Honey", "Gift Box", "Brick", "Tin", "茶杯", "Sampler", "Caf&eacute; Blend")
_SIZES: Final = ("S", "L")

#: Wished for by a few, sold out for years: the new shop has never heard of it.
VANISHED: Final = 9999


@dataclass(frozen=True, slots=True)
class Product:
    """One thing on sale. `title` is as the old shop wrote it, HTML entities and all."""

    goods_id: int
    title: str
    cents: int
    size: str

    @property
    def price(self) -> Decimal:
        """In CNY."""
        return Decimal(self.cents) / 100

    @property
    def new_id(self) -> str:
        """The product team's id in the new shop."""
        return str(uuid5(NAMESPACE_URL, f"https://shop.example.com/products/{self.goods_id}"))


def catalogue() -> tuple[Product, ...]:
    """All 128 products, the same in every shop of every size."""
    kinds = enumerate(product(_TEAS, _FORMS, _SIZES))
    return tuple(
        Product(501 + number, f"{tea} {form}", 1990 + (number * 731) % 28000, size)
        for number, (tea, form, size) in kinds
    )
