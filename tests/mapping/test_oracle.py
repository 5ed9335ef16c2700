"""Random frames through random chains: the engine says what a plain second opinion says, and nobody gets lost or mixed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrator.mapping import compile as compiler
from migrator.mapping.model import (
    UNSET,
    From,
    Id,
    Mapping,
    MappingSet,
    Place,
    Rule,
    Source,
    Step,
    Target,
    Users,
    UserSet,
)
from migrator.mapping.outcome import Mapped, SourceRows
from migrator.mapping.registry import TRANSFORMS
from migrator.mapping.schema import Column, Kind, Schema, Table
from tests.mapping.engine import PLAN, code
from tests.oracle import transforms as oracle

#: MIGRATOR_EXAMPLES=20 looks twenty times as long.
LONGER = int(os.environ.get("MIGRATOR_EXAMPLES", "1"))
WHERE = Place("people.yaml", 1, 1)
CODE = """
from migrator.mapping.custom import transform

@transform(takes=str, gives=str)
def back(values):
    return [value[::-1] for value in values if "x" not in value or 1 // 0]
"""


def property_(examples: int) -> Any:
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(deadline=None, max_examples=examples * LONGER, suppress_health_check=slow)


# ---- frames -------------------------------------------------------------------------------------------------------

#: All of Unicode that is assigned; what is not has no small letters and no composed form yet.
LETTERS = st.characters(exclude_categories=["Cs", "Cn"])
DIRT = [
    "", " ", "\x00", "a\x00b", "\u00a0 a\u3000", "NULL", "0", "00", "-0", "+1", "1.", "1.0", "1.50", ".5", "1e5", "NaN", "９",
    "1,234,567.8", "1,23", "9223372036854775807", "9223372036854775808", "99999999999999999999.999999999999999999",
    "100000000000000000000", "0.0000000000000000001", "0000-00-00", "0000-00-00 00:00:00", "2021-02-29", "2024-02-29",
    "2021-03-28 02:30:00", "2021-10-31 02:30:00", "2021-03-14 02:30:00", "2021-11-07 01:30:00", "2021-04-04 01:45:00",
    "2021-10-03 02:15:00", "2024-01-01 00:00:00", "2024-01-01T10:00:00+05:45", "2024-01-01 10:00:00.123456Z",
    "0001-01-01 00:00:00+01:00", "9999-12-31 23:59:59-01:00", "24.12.1999", "4.2.2001", "31/12/1999 23:59", "1700000000",
    "1700000000000", "-62135596801", "253402300800", "true", "Yes", "off", "2", "maybe", "ann@example.org",
    "a@b", "Ann@X.CO ", "jörg@exämple.de", "13812345678", "+49 30 123456", "030 123456", "{", "[1,2", '{"a":1,"a":2}',
    '{"a":{"b":[0.10,"x"]}}', '"\\ud800"', '"\\u0000"', "[]", "null", "1.50e3", "a:2:{i:0;i:5;i:1;d:0.10;}", "a:1:{i:1;N;}", "b:1;",
    's:3:"é";', 's:2:"é";', "O:1:\"a\":0:{}", "i:1;i:2;", "&lt;b&gt; &amp;amp;", "schÃ¶n", "æ—¥æœ¬èªž", "“quoted”",
    "5f4dcc3b5aa765d61d8327deb882cf99", "5f4dcc3b5aa765d61d8327deb882cf99:k$y", "5f4dcc3b5aa765d61d8327deb882cf99:ky",
    "a,b,,c", "a\nb", "EIRE", "Germany", "İ", "ΑΣ", "ß", "e\u0301", "x",
]  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(DIRT),
    st.text(LETTERS, max_size=12),
    st.from_regex(r"\A[-+]?[0-9]{1,22}(\.[0-9]{0,20})?\Z"),
    st.dates().map(str),
    st.datetimes(datetime(1900, 1, 1), datetime(2090, 1, 1)).map(str),  # noqa: DTZ001 - a clock without a zone
    st.lists(st.integers() | st.text(LETTERS, max_size=3), max_size=3).map(json.dumps),
)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 300) | st.sampled_from([0, 1, 1_700_000_000])
EXACT = st.decimals("-1e19", "1e19", places=4) | st.sampled_from(
    [Decimal("99999999999999999999.999999999999999999"), Decimal("1e-18"), Decimal("-0.5"), Decimal("2.5")]
)
COLUMNS: dict[str, tuple[st.SearchStrategy[Any], pl.DataType, str]] = {
    "one": (TEXTS, pl.String(), "text"),
    "two": (TEXTS, pl.String(), "text"),
    "count": (NUMBERS, pl.Int64(), "integer"),
    "price": (EXACT, pl.Decimal(38, 18), "decimal"),
    "flag": (st.booleans(), pl.Boolean(), "boolean"),
}


@st.composite
def frames(draw: st.DrawFn) -> dict[str, list[Any]]:
    height = draw(st.integers(0, 10))
    return {
        name: draw(st.lists(st.none() | values, min_size=height, max_size=height))
        for name, (values, _, _) in COLUMNS.items()
    }


# ---- chains -------------------------------------------------------------------------------------------------------

NOTHING = st.none()
BOUNDS = [
    [0, 100],
    [None, 10],
    [Decimal("0.5"), None],
    ["2000-01-01", "$plan.as_of"],
    ["a", "m"],
    [None, None],
    ["5", "9"],
]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]
ARGS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(
        ("trim", "collapse_spaces", "lower", "upper", "normalize", "strip_control", "repair_encoding", "unescape_html"), NOTHING
    ),
    **dict.fromkeys(("email", "integer", "json", "php"), NOTHING),
    "replace": st.one_of(
        st.builds(lambda find, new: {"find": find, "with": new}, st.text(LETTERS, min_size=1, max_size=2), st.text(LETTERS, max_size=2)),
        st.sampled_from([("[0-9]+", "#"), ("(a)(b)?", "<$1>"), ("[^a-z]", "")]).map(
            lambda pair: {"find": pair[0], "with": pair[1], "regex": True}
        ),
    ),
    "extract": st.sampled_from(
        [{"regex": "([a-z]+)"}, {"regex": "([0-9]+)-([0-9]+)", "group": 2}, {"regex": "(x)?[a-y]"}, {"regex": "[A-Z]", "group": 0}]
    ),
    "split": st.builds(
        lambda separator, take: {"separator": separator, "take": take},
        st.sampled_from([",", " ", "\n", "::", "a", "0"]),
        st.sampled_from(["first", "rest", "last", "all", 0, 1, 3]),
    ),
    "truncate": st.integers(1, 8),
    "format": st.sampled_from(["USR-{}", "{}!", "a{}a"]),
    "null_if": st.sampled_from(["", 0, ["", "0", None], [Decimal("1.50"), "a"], True, "2024-01-01"]),
    "matches": st.sampled_from(["[a-z]*", ".*", "[^0-9]+", "a|ab", "[0-9.]+"]),
    "one_of": st.sampled_from([["a", 1, Decimal("2.50")], ["", 0], [True, "x"]]),
    "between": st.sampled_from(BOUNDS),
    "phone": st.sampled_from(["CN", "DE", "US"]),
    "decimal": st.sampled_from(
        [None, {"thousands": ","}, {"thousands": ".", "rounding": "half_up", "scale": 2}, {"rounding": "half_even", "scale": 0}]
    ),
    "boolean": st.sampled_from([None, {"true": ["Yes", 1], "false": ["no", 2]}, {"true": "x"}]),
    "multiply": st.sampled_from([0, 3, Decimal("-1.5"), Decimal("0.000001"), 10**15]),
    "divide": st.sampled_from([100, 3, Decimal("0.25"), -7]),
    "round": st.sampled_from([{"digits": 0}, {"digits": 2, "mode": "half_even"}, {"digits": 18}, {"digits": 1, "mode": "down"}]),
    "date": st.sampled_from([None, {"time": "drop"}, {"format": "%d.%m.%Y"}]),
    "datetime": st.one_of(
        st.sampled_from([None, {"format": "%d/%m/%Y %H:%M"}]),
        st.builds(
            lambda zone, overlap, gap: {"timezone": zone, "overlap": overlap, "gap": gap},
            st.sampled_from(ZONES), st.sampled_from(["review", "earlier", "later"]), st.sampled_from(["review", "shift"]),
        ),
    ),
    "epoch": st.sampled_from(["s", "ms", "us", {"unit": "s", "between": ["2005-01-01", "$plan.as_of"]}, {"unit": "ms", "between": ["2023-11-14T22:13:20.0005", None]}]),
    "json_get": st.sampled_from(["a", "a.b", "a.b.0", "0", "1"]),
    "map": st.sampled_from(
        [
            {"a": "b", "1": 2}, {"0": None, "1": "one", "else": "keep"}, {"true": True, "else": False},
            {"": {"x": 1}, "else": None}, {"1": Decimal("1.5"), "2": 2, "else": 0}, {"a": 1, "else": "keep"},
        ]
    ),
    "lookup": st.just({"file": "countries.csv", "match": "name", "take": "code"}),
    "hash": st.sampled_from(["sha256", {"sha256": "mail"}]),
    "password_hash": st.sampled_from([None, {"on_unsupported": "reset"}, "auto"]),
    "call": st.just("names:back"),
    "uuid5": st.just("people"),
    "concat": st.sampled_from([None, {"separator": ", "}, {"separator": "-", "skip_nulls": False}]),
    "coalesce": st.sampled_from([None, "warn"]),
}  # fmt: skip
STEPS = st.sampled_from(sorted(ARGS)).flatmap(lambda name: st.tuples(st.just(name), ARGS[name]))
LITERALS = st.sampled_from([None, "", "a", "1", 0, 7, Decimal("1.50"), True])
_TREES = st.sampled_from([{}, [], None, {"a": [1]}])
#: Target column -> its kind; a default that is no value of these kinds would be no value of the column either.
PLAIN = ("text", "short", "integer", "decimal", "boolean")
TARGETS = {
    "text": Column("", Kind.TEXT),
    "short": Column("", Kind.TEXT, length=5, declared="varchar(5)"),
    "integer": Column("", Kind.INTEGER, bits=32),
    "decimal": Column("", Kind.DECIMAL, precision=10, scale=2, declared="numeric(10, 2)"),
    "boolean": Column("", Kind.BOOLEAN),
    "date": Column("", Kind.DATE),
    "timestamp": Column("", Kind.TIMESTAMP),
    "json": Column("", Kind.JSON),
}


@dataclass(frozen=True)
class Chain:
    """A rule as the test knows it."""

    columns: tuple[str, ...]
    steps: tuple[tuple[str, Any], ...]
    target: str
    default: Any = UNSET
    required: bool = False
    on_error: str = "review"
    use: Any = UNSET

    def rule(self) -> Rule:
        steps = tuple(Step(name, args, WHERE) for name, args in self.steps)
        return Rule(
            From(self.columns), WHERE, steps, self.default, self.required, self.on_error, self.use, sensitive=False
        )


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    steps = draw(st.lists(STEPS, max_size=4))
    columns: tuple[str, ...] = (draw(st.sampled_from(sorted(COLUMNS))),)
    if draw(st.integers(0, 3)) == 0:
        columns = tuple(draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=2, max_size=3, unique=True)))
        name = draw(st.sampled_from(["concat", "coalesce", "uuid5"]))
        steps = [(name, draw(ARGS[name])), *steps]
    target = draw(st.sampled_from(sorted(TARGETS)))
    on_error = draw(st.sampled_from(["review", "review", "skip", "use"] if target in PLAIN else ["review", "skip"]))
    return Chain(
        columns,
        tuple(steps),
        target,
        draw(st.just(UNSET) | (LITERALS if target in PLAIN else _TREES)) if target in (*PLAIN, "json") else UNSET,
        draw(st.booleans()),
        on_error,
        draw(LITERALS) if on_error == "use" else UNSET,
    )


# ---- the second opinion -------------------------------------------------------------------------------------------

GIVES = {
    **dict.fromkeys(("integer",), "integer"),
    **dict.fromkeys(("decimal", "multiply", "divide", "round"), "decimal"),
    "boolean": "boolean",
    "date": "date",
    "epoch": "timestamp",
    **dict.fromkeys(("json", "php"), "json"),
}
KEEPS = ("null_if", "matches", "one_of", "between", "coalesce")


def kind_of(value: Any) -> str:
    kinds = {bool: "boolean", int: "integer", Decimal: "decimal", str: "text", oracle.Json: "json"}
    return kinds[type(value)]


def common(one: str, other: str) -> str:
    """The kind that can say both a value and a literal: a tree says every literal, and a text a literal tree."""
    if one in (other, "json"):
        return one
    return "decimal" if {one, other} == {"integer", "decimal"} else "text"


def as_kind(value: Any, kind: str) -> Any:
    if value is None or kind not in ("text", "decimal", "json"):
        return value
    if kind == "json":
        return value if isinstance(value, oracle.Json) else oracle.Json(oracle.compact(value))
    return Decimal(value) if kind == "decimal" else oracle.text(value)


def static(chain: Chain) -> str:
    """The kind of the column that the chain gives, whatever is in it."""
    kinds = [COLUMNS[name][2] for name in chain.columns]
    kind = kinds[0]
    for other in kinds[1:]:
        kind = common(kind, other)
    for name, args in chain.steps:
        if name == "split" and args["take"] == "all":
            kind = "json"
        elif name == "split":
            kind = "text"
        elif name == "datetime":
            kind = "datetime" if kind != "timestamp" and not (args or {}).get("timezone") else "timestamp"
        elif name == "map":
            news = [oracle.literal(new) for new in args.values() if new is not None and new != "keep"]
            found = [kind_of(new) for new in news] + ([kind] if args.get("else") == "keep" else [])
            kind = found[0]
            for other in found[1:]:
                kind = common(kind, other)
        elif name not in KEEPS:
            kind = GIVES.get(name, "text")
    return kind


def expected(chain: Chain, row: dict[str, Any]) -> tuple[str, Any]:
    """("value", what is written) · ("review", the rule that failed) · ("skip", None)."""
    value, failed = _through(chain, [row[name] for name in chain.columns])
    if failed and chain.on_error == "use":
        value, failed = oracle.literal(chain.use), ""
    if failed:
        return ("skip", None) if chain.on_error == "skip" else ("review", failed)
    kind = static(chain)
    for one in (chain.use if chain.on_error == "use" else None, chain.default):
        if one is not UNSET and one is not None:
            kind = common(kind, kind_of(oracle.literal(one)))
    if value is None and chain.default is not UNSET:
        value = oracle.literal(chain.default)
    if value is None and chain.required:
        return "review", "required"
    return _into(chain, as_kind(value, kind), kind)


def _through(chain: Chain, values: list[Any]) -> tuple[Any, str]:
    for name, args in chain.steps:
        try:
            if name == "coalesce":
                kind = static(Chain(chain.columns, (), "text"))
                values = [as_kind(value, kind) for value in values] if len(values) > 1 else values
            values = [oracle.step(name, args, values)]
        except oracle.Failed:
            return None, name
    return values[0], ""


def _into(chain: Chain, value: Any, kind: str) -> tuple[str, Any]:
    try:
        return "value", oracle.fit(value, chain.target)
    except oracle.Failed:
        pass
    if chain.on_error != "use":
        return ("skip", None) if chain.on_error == "skip" else ("review", "fit")
    instead = chain.default if chain.use is None and chain.default is not UNSET else chain.use
    if instead is None and chain.required:
        return "review", "required"
    try:
        return "value", oracle.fit(as_kind(oracle.literal(instead), kind), chain.target)
    except oracle.Failed:
        return "review", "fit"


# ---- the engine ---------------------------------------------------------------------------------------------------


def a_set(found: list[Chain], **changes: Any) -> tuple[MappingSet, Schema]:
    fields = {f"f{place}": chain.rule() for place, chain in enumerate(found)}
    mapping = Mapping(
        "people", Source("person", ("id",), ("id",), WHERE), Target("people", Id("uuid5", ("id",)), WHERE), fields, WHERE,
        on_reject="hold_row",
    )  # fmt: skip
    files = {"countries.csv": (("name", "code"), tuple(oracle.FILE.items()))}
    people = UserSet("shop", Users("person", "id", WHERE), WHERE)
    columns = {"id": Column("id", Kind.UUID, nullable=False)}
    columns |= {f"f{place}": TARGETS[chain.target] for place, chain in enumerate(found)}
    schema = Schema("postgresql", {"people": Table("people", columns, ("id",))})
    return MappingSet(people, {"people": mapping}, {}, "", files, code(CODE)), schema


def frame_of(rows: dict[str, list[Any]]) -> pl.DataFrame:
    height = len(rows["one"])
    keys = pl.Series([str(n) for n in range(height)], dtype=pl.String)
    made = [pl.Series(name, values, dtype=COLUMNS[name][1]) for name, values in rows.items()]
    return pl.DataFrame([keys.alias("__user"), keys.alias("__key"), keys.alias("id"), *made])


def run(found: list[Chain], frame: pl.DataFrame) -> Mapped:
    set_, schema = a_set(found)
    made = compiler.apply(set_, schema, {"people": SourceRows(frame, frame.height)}, PLAN)
    assert all(book.balanced for book in made.books.values()), made.books
    return made


def written(made: Mapped) -> dict[str, tuple[Any, ...]]:
    frame = made.rows["people"]
    return {row[1]: row[2:] for row in frame.select("__user", "__key", pl.exclude("__user", "__key", "id")).rows()}


# ---- what must hold -----------------------------------------------------------------------------------------------


@property_(150)
@given(st.lists(chains(), min_size=1, max_size=4), frames())
def test_every_row_comes_out_as_the_second_opinion_says(found: list[Chain], rows: dict[str, list[Any]]) -> None:
    frame = frame_of(rows)

    made = run(found, frame)

    there = written(made)
    reviews = {
        (row["key"], row["field"]): row["rule"]
        for row in made.findings.filter(pl.col("outcome") == "review").iter_rows(named=True)
    }
    for place, key in enumerate(frame["__key"]):
        row = {name: values[place] for name, values in rows.items()}
        meant = [expected(chain, row) for chain in found]
        if any(what == "skip" for what, _ in meant):
            assert key not in there
            assert not any(of == key for of, _ in reviews)
            continue
        told = {f"f{at}": rule for at, (what, rule) in enumerate(meant) if what == "review"}
        assert {field: rule for (of, field), rule in reviews.items() if of == key} == told
        assert (key in there) == (not told)
        if not told:
            assert list(there[key]) == [value for _, value in meant]


@property_(60)
@given(st.lists(chains(), min_size=1, max_size=4), frames(), st.randoms(use_true_random=False))
def test_a_row_comes_out_the_same_whoever_stands_beside_it(
    found: list[Chain], rows: dict[str, list[Any]], dice: Any
) -> None:
    frame = frame_of(rows)
    order = list(range(frame.height))
    dice.shuffle(order)
    some = order[: dice.randint(0, len(order))]

    whole, shuffled, part = (run(found, some_frame) for some_frame in (frame, frame[order], frame[some]))

    assert written(shuffled) == written(whole)
    assert written(part) == {key: row for key, row in written(whole).items() if int(key) in some}
    assert _told(shuffled, None) == _told(whole, None)
    assert _told(part, None) == _told(whole, {str(place) for place in some})


def _told(made: Mapped, keys: set[str] | None) -> list[tuple[Any, ...]]:
    return sorted((row for row in made.findings.rows() if keys is None or row[2] in keys), key=repr)


@property_(60)
@given(st.lists(chains(), min_size=1, max_size=4), st.lists(st.tuples(TEXTS, TEXTS), min_size=2, max_size=8))
def test_nothing_of_one_user_is_ever_in_the_row_of_another(found: list[Chain], texts: list[tuple[str, str]]) -> None:
    rows: dict[str, list[Any]] = {name: [None] * len(texts) for name in COLUMNS}
    for side, name in enumerate(("one", "two")):
        rows[name] = [f"⟦{place}⟧{pair[side]}⟦{place}⟧" for place, pair in enumerate(texts)]

    made = run(found, frame_of(rows))

    for key, values in written(made).items():
        said = "".join(str(value) for value in values)
        assert not [place for place in range(len(texts)) if f"⟦{place}⟧" in said and str(place) != key]
    for row in made.findings.iter_rows(named=True):
        said = f"{row['value']}{row['after']}{row['note']}"
        assert not [place for place in range(len(texts)) if f"⟦{place}⟧" in said and str(place) != row["key"]]


RANGES = st.tuples(st.none() | st.integers(-9, 9), st.none() | st.integers(-9, 9))


@property_(40)
@given(st.lists(RANGES, max_size=8), st.sampled_from([None, {"bounds": "[]"}, {"bounds": "()"}]))
def test_a_range_is_made_of_its_two_bounds(pairs: list[tuple[int | None, int | None]], args: Any) -> None:
    rows: dict[str, list[Any]] = {name: [None] * len(pairs) for name in COLUMNS}
    low, high = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    frame = frame_of(rows).with_columns(pl.Series("low", low, pl.Int64), pl.Series("high", high, pl.Int64))

    made = run([Chain(("low", "high"), (("range", args),), "text")], frame)

    for place, pair in enumerate(pairs):
        try:
            meant: tuple[Any, ...] | None = (oracle.step("range", args, pair),)
        except oracle.Failed:
            meant = None
        assert written(made).get(str(place)) == meant


def test_every_word_of_the_language_has_a_second_opinion() -> None:
    assert set(oracle.ONE) | set(oracle.MANY) == set(TRANSFORMS)
    assert set(ARGS) | {"range"} == set(TRANSFORMS)


@property_(100)
@given(STEPS)
def test_the_arguments_tried_here_are_those_that_a_mapping_may_write(step: tuple[str, Any]) -> None:
    assert TRANSFORMS[step[0]].check_args(step[1]) is None


def test_the_second_opinion_knows_gaps_and_overlaps() -> None:
    options = {"timezone": "Europe/Berlin"}
    gap, overlap = datetime(2021, 3, 28, 2, 30), datetime(2021, 10, 31, 2, 30)  # noqa: DTZ001 - clocks

    assert oracle.place(gap, options | {"gap": "shift"}) == datetime(2021, 3, 28, 1, 30, tzinfo=UTC)
    assert oracle.place(overlap, options | {"overlap": "earlier"}) == datetime(2021, 10, 31, 0, 30, tzinfo=UTC)
    assert oracle.place(overlap, options | {"overlap": "later"}) == datetime(2021, 10, 31, 1, 30, tzinfo=UTC)
    assert oracle.iso_day("2024-02-29") == date(2024, 2, 29)
