"""Every type of the three databases beside its natural counterparts, with the values at which movers of data fail."""

from __future__ import annotations

import json
import math
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

#: What a raw value of any driver means, in a form in which equal values are equal.
Meaning: TypeAlias = Callable[[Any], Any]
_RANDOM = random.Random(20)


@dataclass(frozen=True)
class Sort:
    """
    One column of the zoo: its type in each database, what its raw values mean, and the values themselves.

    `keeps`: by database, which of the values its type can hold, where it cannot hold all of them. `steps`: of the rule
    that copies it, as YAML. `put`: by database, what the driver is given for a value. `printed`: by database, how it is
    asked for it, where that is not by name alone.
    """

    name: str
    sqlite: str
    postgresql: str
    mysql: str
    means: Meaning
    values: Sequence[Any]
    keeps: dict[str, Callable[[Any], bool]] = field(default_factory=dict)
    steps: str = ""
    put: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)

    def type_(self, dialect: str) -> str:
        """Its type in one database."""
        return str(getattr(self, dialect))

    def between(self, *dialects: str) -> list[Any]:
        """The values that all of these databases can hold."""
        return [value for value in self.values if all(self.keeps.get(one, _anything)(value) for one in dialects)]


def _anything(value: Any) -> bool:
    return True


# ---- what raw values mean -----------------------------------------------------------------------------------------


def whole(raw: Any) -> int:
    return int.from_bytes(raw) if isinstance(raw, bytes) else int(raw)


def exact(raw: Any) -> Any:
    number = Decimal(repr(raw) if isinstance(raw, float) else str(raw))
    return number if number.is_finite() else str(number)


def floating(raw: Any) -> str:
    """Shortest text; zero has no sign here, as it equals the other zero."""
    return repr(float(raw) + 0.0)


def single(raw: Any) -> bytes:
    """The 32 bits."""
    return struct.pack("f", float(raw))


def address(raw: Any) -> str:
    """One host without its mask."""
    return str(raw).removesuffix("/32").removesuffix("/128") if ":" in str(raw) else str(raw).removesuffix("/32")


def truth(raw: Any) -> bool:
    return {"1": True, "0": False, "true": True, "false": False}[
        str(whole(raw)) if isinstance(raw, bytes | bool) else str(raw)
    ]


def binary(raw: Any) -> bytes:
    return bytes.fromhex(raw[2:]) if isinstance(raw, str) else bytes(raw)


def day(raw: Any) -> str:
    return raw.isoformat() if isinstance(raw, date) else str(raw)


def clock(raw: Any) -> str:
    """Hours, minutes, seconds and six digits behind them."""
    if not isinstance(raw, timedelta):
        return _six(str(raw))
    micros = raw // timedelta(microseconds=1)
    seconds, fraction = divmod(abs(micros), 1_000_000)
    return f"{'-' * (micros < 0)}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{fraction:06}"


def moment(raw: Any) -> str:
    """The same behind a day, in UTC."""
    if isinstance(raw, datetime):
        return f"{raw.year:04}-{raw:%m-%d %H:%M:%S.%f}"
    return _six(str(raw).replace("T", " ").removesuffix("Z").removesuffix("+00:00").removesuffix("+00"))


def _six(text: str) -> str:
    seconds, _, fraction = text.partition(".")
    return f"{seconds}.{fraction:0<6}"


def tree(raw: Any) -> Any:
    """Numbers by their value, keys in any order."""
    if isinstance(raw, int | float):  # SQLite keeps a document that is nothing but a number as one
        return Decimal(repr(raw))
    return json.loads(raw, parse_float=Decimal, parse_int=Decimal)


# ---- values -------------------------------------------------------------------------------------------------------


def _wholes(bits: int, *, unsigned: bool = False) -> list[int]:
    least, most = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return [least, most, 0, 1, most - 1, least + 1, *(_RANDOM.randint(least, most) for _ in range(6))]


def _decimals(precision: int, scale: int, *, random_digits: int | None = None) -> list[Decimal]:
    most = 10**precision - 1
    digits = random_digits or precision
    units = [0, 1, -1, most, -most, 10**scale, 150 * 10 ** (scale - 2)]
    units += [_RANDOM.randint(-(10**digits), 10**digits) for _ in range(8)]
    return [Decimal(str(unit)).scaleb(-scale) if precision <= 28 else _scaled(unit, scale) for unit in units]


def _scaled(unit: int, scale: int) -> Decimal:
    digits = f"{abs(unit):0{scale + 1}}"
    return Decimal(f"{'-' * (unit < 0)}{digits[:-scale]}.{digits[-scale:]}")


def _floats() -> list[float]:
    bits = (struct.unpack("d", _RANDOM.randbytes(8))[0] for _ in range(40))
    return [
        0.0, -0.0, 0.1, 0.1 + 0.2, 1 / 3, -1.5, 1e15, 1e16, 123456789.123456789, 2.0**53, 2.0**53 + 2, 1e22, 1e23, 5e-324,
        -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1.7976931348623157e308, 1e-7, 1e-18, 1e-19, 1e-300,
        9007199254740993.0, 4.35, math.inf, -math.inf, math.nan, *[one for one in bits if math.isfinite(one)][:16],
    ]  # fmt: skip


def _singles() -> list[float]:
    """Floats of 32 bits, by their shortest text."""
    return [
        0.0,
        0.1,
        -0.1,
        1.5,
        16777216.0,
        3.4028235e38,
        -3.4028235e38,
        1.1754944e-38,
        1e-45,
        0.3,
        123.456,
        1e10,
        9.999999e-5,
    ]


_TEXTS = [
    "", " ", "  a  ", "a ", " a", "\t", "\n", "\r\n", "\r", "a\nb\r\nc\rd", "NULL", "null", "None", "\\N", "\\.", "\\", "\\\\", "\\n",
    "'", "''", '"', '""', "a,b;c", 'a"b,c', "`", "%", "%s", "%(x)s", "100%%", ":name", "?", "$1", "{}", "{a,b}", "[]", "(1)",
    "--", "/* */", ";", "0", "007", "1e5", "-0", "1.50", "true", "t", "f", "\x01\x02\x1f\x7f", "\x1a", "\x1f", "é", "e\u0301", "Ａ", "ß",
    "ẞ", "ı", "İ", "ﬁ", "Å", "\u212b", "日本語", "한글", "नमस्ते", "ع‎ربي", "\u202eabc", "👩‍👩‍👧‍👦", "🇩🇪", "𝒳𐍈", "\U0010ffff", "\ufeff", "\ufffd",
    "\uffff", "\u0085", "\u2028", "\xa0", "\u200b", "Zoë", "ZOË", "zoe", "a" * 5000, "ü" * 4999,
]  # fmt: skip


def _random_texts() -> list[str]:
    letters = "aZ0 \t\n\r\\'\",;|%:?$`{}[]()<>&éß漢👍\u0301\u200d"
    return ["".join(_RANDOM.choices(letters, k=_RANDOM.randint(1, 40))) for _ in range(20)]


_DAYS = [
    "0001-01-01",
    "9999-12-31",
    "1582-10-10",
    "1900-02-28",
    "2000-02-29",
    "1969-12-31",
    "1970-01-01",
    "2038-01-19",
    "0999-07-04",
]
_CLOCKS = ["00:00:00.000000", "23:59:59.999999", "12:34:56.500000", "00:00:00.000001", "01:02:03.000000"]
_SPANS = [
    "00:00:00.000000",
    "838:59:59.000000",
    "-838:59:59.000000",
    "24:00:00.000000",
    "-00:00:00.000001",
    "-12:30:00.500000",
    "100:00:00.000000",
]
_UNIX = [
    "1970-01-01 00:00:01.000000",
    "2038-01-19 03:14:07.999999",
    "2021-03-28 02:30:00.000000",
    "2021-10-31 01:30:00.123456",
]
_TREES = [
    "null", "true", "0", '""', "[]", "{}", '"\\"\\\\\\/\\b\\f\\n\\r\\t"', '"é\\u00e9\\ud83d\\udc4d👍"', "[1,1.0,1.50,-0.0,1e2,1E-7]",
    "12345678901234567890123456789.000000000000000000000000001", "[18446744073709551615,-9223372036854775808]", "1e300",
    '{"b":1,"a":{"c":[null,{"d":"x, \\"y\\""}]},"":0," ":1}', '{"A":1,"a":2}', "[[[[[[[[[[]]]]]]]]]]", '"a,b"', '"\\u007f\\u0001"',
]  # fmt: skip
_UUIDS = [
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
]
COLOURS = ("red", "it's", 'say "hi"', "a,b", "Ünï", "", "null")


def _no_long_number(value: str) -> bool:
    """SQLite keeps a document that is nothing but a number as one."""
    return not value.startswith("123456789")


def _no_nul(value: str) -> bool:
    return "\x00" not in value


def _finite(value: Any) -> bool:
    return math.isfinite(float(value))


def _not_nan(value: Any) -> bool:
    return not math.isnan(float(value))


SORTS: tuple[Sort, ...] = (
    Sort("tiny", "tinyint", "smallint", "tinyint", whole, _wholes(8)),
    Sort("small", "smallint", "smallint", "smallint", whole, _wholes(16)),
    Sort("medium", "mediumint", "integer", "mediumint", whole, _wholes(24)),
    Sort("number", "integer", "integer", "int", whole, _wholes(32)),
    Sort("big", "bigint", "bigint", "bigint", whole, _wholes(64)),
    Sort("tiny_unsigned", "integer", "smallint", "tinyint unsigned", whole, _wholes(8, unsigned=True)),
    Sort("small_unsigned", "integer", "integer", "smallint unsigned", whole, _wholes(16, unsigned=True)),
    Sort("unsigned", "integer", "bigint", "int unsigned", whole, _wholes(32, unsigned=True)),
    Sort("big_unsigned", "text", "numeric(20, 0)", "bigint unsigned", whole, _wholes(64, unsigned=True)),
    Sort("bits", "text", "numeric(20)", "bit(64)", whole, _wholes(64, unsigned=True)),
    Sort("few_bits", "integer", "integer", "bit(5)", whole, [0, 1, 31, 17]),
    Sort("year", "integer", "integer", "year", whole, [0, 1901, 2155, 2024]),
    Sort("money", "numeric(12, 2)", "numeric(12, 2)", "decimal(12, 2)", exact, _decimals(12, 2)),
    Sort("fine", "text", "numeric(38, 18)", "decimal(38, 18)", exact, _decimals(38, 18)),
    Sort("vast", "text", "numeric(65, 30)", "decimal(65, 30)", exact, _decimals(65, 30)),
    Sort("any_number", "text", "numeric", "decimal(65, 30)", exact,
         [Decimal(0), Decimal("-1.25"), Decimal("1e-30"), Decimal(12345678901234567890123456789012345)]),
    Sort("ratio", "double precision", "double precision", "double", floating, _floats(),
         keeps={"mysql": _finite, "sqlite": _not_nan}),
    Sort("single", "real", "real", "float", single, _singles(),
         put={"mysql": lambda value: struct.unpack("f", struct.pack("f", value))[0]}, printed={"mysql": "cast({} + 0e0 as char)"}),
    Sort("yes", "boolean", "boolean", "bit(1)", truth, [True, False]),
    Sort("truth", "boolean", "boolean", "boolean", truth, [True, False]),
    Sort("words", "text", "text", "longtext", str, _TEXTS[0::3]),
    Sort("more_words", "text", "text", "longtext", str, _TEXTS[1::3]),
    Sort("other_words", "varchar", "varchar", "mediumtext", str, [*_TEXTS[2::3], *_random_texts()]),
    Sort("nul", "text", "text", "longtext", str, ["\x00", "a\x00b", "\x00\x00", "a\x00"], keeps={"postgresql": _no_nul}),
    Sort("short", "varchar(20)", "varchar(20)", "varchar(20)", str, [text for text in _TEXTS if len(text) <= 20]),
    Sort("western", "varchar(50)", "varchar(50)", "varchar(50) character set latin1", str,
         ["", "a ", "é", "ß", "~", "\xff", "\xa0", "€", "O'Neil", 'say "hi"', "\\", "%s"]),
    Sort("code", "char(4)", "char(4)", "char(4)", str, ["DE", "", "a b", "éßçø", "0012", "日本"]),
    Sort("raw", "blob", "bytea", "longblob", binary,
         [bytes(range(256)), b"", b"\x00", b"\\", b"'\"", b"\xff\xfe", b"\\x41", b"abc\x00", *(_RANDOM.randbytes(50) for _ in range(4))]),
    Sort("fixed", "blob", "bytea", "binary(4)", binary, [b"\x00\x00\x00\x00", b"abcd", b"\xff\x00\x00\x00", b"a  \x00"]),
    Sort("day", "date", "date", "date", day, _DAYS),
    Sort("clock", "time", "time", "time(6)", clock, _CLOCKS),
    Sort("span", "text", "interval", "time(6)", clock, _SPANS,
         put={"sqlite": lambda value: value.rstrip("0").rstrip(".")}),
    Sort("at", "datetime", "timestamp", "datetime(6)", moment,
         [f"{day} {clock}" for day, clock in zip(_DAYS, _CLOCKS * 2, strict=False)] + ["9999-12-31 23:59:59.999999"]),
    Sort("instant", "timestamptz", "timestamptz", "datetime(6)", moment,
         [f"{day} {clock}" for day, clock in zip(_DAYS, _CLOCKS * 2, strict=False)] + ["9999-12-31 23:59:59.999999"],
         steps="{datetime: {timezone: UTC}}"),
    Sort("stamp", "timestamptz", "timestamptz", "timestamp(6) null", moment, _UNIX, put={"sqlite": lambda value: f"{value}+00:00"}),
    Sort("age", "text", "interval", "varchar(60)", str,
         ["00:00:00", "1 year 2 mons 3 days 04:05:06.789", "-1 years -2 mons +3 days -04:05:06", "178000000 years", "1 day"]),
    Sort("tree", "json", "jsonb", "json", tree, _TREES, keeps={"sqlite": _no_long_number}),
    Sort("leaf", "json", "json", "json", tree, _TREES, keeps={"sqlite": _no_long_number}),
    Sort("uid", "uuid", "uuid", "uuid", str, _UUIDS),
    Sort("uid_text", "text", "uuid", "char(36)", str, _UUIDS),
    Sort("colour", "text", "colour", "enum('red', 'it''s', 'say \"hi\"', 'a,b', 'Ünï', '', 'null')", str, COLOURS),
    Sort("names", "text", "text[]", "longtext", str,
         ["{}", '{a,NULL,"NULL","x,y","\\"","\\\\",""," "}', "{{1,2},{3,4}}", "{ü,👍}", "[0:1]={a,b}"]),
    Sort("numbers", "text", "integer[]", "varchar(100)", str, ["{}", "{1,2,NULL,-3}", "{{1},{2}}"]),
    Sort("address", "inet", "inet", "varchar(43)", address,
         ["127.0.0.1", "10.0.0.0/8", "::1", "fe80::/10", "2001:db8::8a2e:370:7334", "255.255.255.255", "0.0.0.0/0"]),
    Sort("address_4", "text", "inet", "inet4", address, ["127.0.0.1", "255.255.255.255", "0.0.0.0"]),
    Sort("address_6", "text", "inet", "inet6", address, ["::1", "::", "2001:db8::8a2e:370:7334"]),
    Sort("some", "text", "varchar(20)", "set('a', 'b', 'c d')", str, ["", "a", "a,b", "a,b,c d"]),
    Sort("span_of", "text", "int4range", "varchar(40)", str, ["empty", "[1,5)", "(,5)", "[7,)", "(,)"]),
)  # fmt: skip
