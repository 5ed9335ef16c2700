"""How alike two names are: by their words, what the words mean, and only then by their letters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import cache

#: Words that databases use for one thing. A word may stand in several lines.
_MEANINGS = (
    "phone mobile telephone tel cell cellphone msisdn handphone fon",
    "password pwd passwd pass pw passphrase",
    "hash digest",
    "email mail",
    "created create reg registered registration register joined signup add added insert inserted placed occurred logged "
    + "posted submitted ordered opened ctime crdate since",
    "updated update modified modify mod changed change edited edit mtime lastmod tstamp",
    "deleted delete removed trashed",
    "seen login logon signin access accessed visit visited active activity",
    "login username uname nickname account user logon handle",
    "when at time date on timestamp stamp datetime dt ts day moment",
    "name title label caption subject",
    "display nick nickname screen public alias",
    "number no nr sn serial code increment reference ref num ordinal",
    "quantity qty num count pieces amount pcs",
    "count number total items",
    "first given fore forename prename",
    "last family sur surname second",
    "full real complete whole",
    "selected checked chosen ticked",
    "recipient consignee receiver addressee",
    "birth dob birthday born bday",
    "gender sex salutation",
    "postal zip plz post",
    "country nation land",
    "region province state county",
    "street line lines address addr road",
    "address addr",
    "city town locality place",
    "price cost rate",
    "total grand sum amount fee money subtotal turnover",
    "paid pay payment money",
    "ip remote client host addr",
    "tax vat",
    "point score credit loyalty bonus reward",
    "level tier grade rank class",
    "status state condition stage",
    "kind type act action category event sort",
    "extra ext meta metadata data additional",
    "attribute attr option property prop param info detail metadata",
    "setting preference option config configuration pref",
    "comment remark note memo description desc bio about",
    "user customer account member client person owner buyer subject uid people",
    "product goods item article object good merchandise",
    "order purchase sale",
    "line item row detail position entry",
    "position pos sort rank ordinal",
    "list folder collection",
    "currency curr ccy",
    "site website web homepage shop store",
    "locale lang language",
    "wish favorite favourite fav bookmark wishlist",
    "cart basket quote trolley",
    "event log behavior behaviour activity history action report tracking",
    "profile person personal customer user",
    "group segment role team",
    "active enabled",
    "legacy old former",
    "id key pk",
    "image picture photo avatar img pic",
)
_LOW = {"at": 0.35, "time": 0.35, "date": 0.4, "on": 0.3, "id": 0.5, "is": 0.1, "has": 0.1, "the": 0.0, "of": 0.0}
_LOW |= {
    "t": 0.0,
    "tbl": 0.0,
    "tb": 0.0,
    "legacy": 0.4,
    "number": 0.6,
    "name": 0.7,
    "ts": 0.6,
    "flat": 0.1,
    "entity": 0.1,
}
_KNOWN = {word for line in _MEANINGS for word in line.split()}
SAME, MEANS, NEAR = 1.0, 0.9, 0.8


@cache
def words(name: str) -> tuple[str, ...]:
    """Take a name apart: `firstName`, `first_name` and `firstname` are all first + name."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", name)
    found: list[str] = []
    for part in parts:
        found += _split(_singular(part.lower()))
    return tuple(found)


def _singular(word: str) -> str:
    if word == "ids":
        return "id"
    if len(word) > 3 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if len(word) > 4 and word.endswith("sses"):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) and word not in _KNOWN:
        return word[:-1]
    return word


def _split(word: str) -> list[str]:
    """Two known words written as one."""
    if word in _KNOWN or len(word) < 6:
        return [word]
    for place in range(len(word) - 3, 2, -1):
        if word[:place] in _KNOWN and word[place:] in _KNOWN | {"name", "list"}:
            return [word[:place], word[place:]]
    return [word]


@cache
def meanings(word: str) -> frozenset[int]:
    """The lines of meaning that a word stands in."""
    return frozenset(number for number, line in enumerate(_MEANINGS) if word in line.split())


@cache
def alike(one: str, other: str) -> float:
    """How alike two words are, 0 to 1."""
    if one == other:
        return SAME
    if meanings(one) & meanings(other):
        return MEANS
    if min(len(one), len(other)) < 4:
        return 0.0
    ratio = SequenceMatcher(None, one, other).ratio()
    return ratio * NEAR if ratio >= NEAR else 0.0


def weight(word: str) -> float:
    """How much a word says; some stand in every second name."""
    return _LOW.get(word, 1.0)


def likeness(wanted: Sequence[str], there: Sequence[str], around: Sequence[str] = ()) -> float:
    """
    How well the words *there* say what is *wanted*, 0 to 1.

    Args:
        around: words of the table *there* stands in: `order_sn` of orders is just `sn`.
    """
    own = [word for word in there if not any(alike(word, one) >= MEANS for one in around)]
    asked = [word for word in wanted if not any(alike(word, one) >= MEANS for one in around)]
    best = _covered(wanted, there)
    for ours, theirs in ((wanted, own), (asked, own), (asked, there)):
        if ours and theirs:
            best = max(best, 0.97 * _covered(ours, theirs))
    return best


def _covered(wanted: Sequence[str], there: Sequence[str]) -> float:
    ours, theirs = _share(wanted, there), _share(there, wanted)
    telling = [word for word in wanted if weight(word) >= 1]
    missed = bool(telling) and not any(alike(word, other) for word in telling for other in there)
    return (0.65 * ours + 0.35 * theirs) * (0.5 if missed else 1.0) if ours else 0.0


def _share(some: Sequence[str], others: Sequence[str]) -> float:
    whole = sum(weight(word) for word in some)
    if not whole or not others:
        return 0.0
    return sum(weight(word) * max(alike(word, other) for other in others) for word in some) / whole


def means(name: str, word: str) -> bool:
    """Whether *name* speaks of what *word* means."""
    return any(alike(part, word) >= MEANS for part in words(name))
