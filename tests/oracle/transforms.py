"""
Every transform once more: one value in, one value out, in plain Python, written from the description of the language.

Nothing of `migrator` is imported here, and nothing is vectorised: what this says and what the engine says are two
opinions about the same sentence. A value is None, str, int, Decimal, bool, date, datetime (naive: a time without a
zone; aware: an instant, in UTC) or Json (a JSON text). A step raises Failed for a value that must go to a person.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import json as std_json
import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, InvalidOperation, localcontext
from typing import Any
from uuid import NAMESPACE_URL
from uuid import uuid5 as _uuid5
from zoneinfo import ZoneInfo

AS_OF = datetime(2024, 1, 1, tzinfo=UTC)
FILE = {"EIRE": "IE", "Germany": "DE", "": "none"}
_WHITE = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_CONTROLS = {chr(code) for code in (*range(32), *range(0x7F, 0xA0))} - {"\t", "\n", "\r"}
_MOST = Decimal(10) ** 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Failed(Exception):
    """A person must look at this value."""


class Json(str):
    """A JSON text."""


# ---- what a value is, as text -----------------------------------------------------------------------------------


def text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        said = f"{value:f}"
        return (said.rstrip("0").rstrip(".") or "0") if "." in said else said
    if isinstance(value, datetime):
        zone = "Z" if value.tzinfo else ""
        fine = f".{value.microsecond:06d}" if value.microsecond else ""
        return f"{value.year:04d}-{value:%m-%dT%H:%M:%S}{fine}{zone}"
    if isinstance(value, date):
        return f"{value.year:04d}-{value:%m-%d}"
    return str(value)


def number(value: Any) -> Decimal:
    """Up to 20 digits before and 18 behind the point."""
    if isinstance(value, bool):
        return Decimal(int(value))
    if isinstance(value, int | Decimal):
        return held(Decimal(value))
    if not re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", text(value), re.ASCII):
        raise Failed
    return held(Decimal(text(value)))


def held(value: Decimal) -> Decimal:
    with localcontext(Context(prec=200)):
        if abs(value) >= _MOST or value != value.quantize(Decimal("1e-18")):
            raise Failed
        return value + 0


def moment(value: Any) -> datetime:
    """Any time as an instant; without a zone it is UTC."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    for read in (iso_day, iso_clock, iso_instant):
        try:
            return moment(read(text(value)))
        except Failed:
            continue
    raise Failed


def iso_day(said: str) -> date:
    found = re.fullmatch(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", said)
    return _made(date, *map(int, found.groups())) if found else _fail()


def iso_clock(said: str) -> datetime:
    found = re.fullmatch(
        r"([0-9]{4})-([0-9]{2})-([0-9]{2})[ T]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?", said
    )
    if not found:
        raise Failed
    *parts, fine = found.groups()
    return _made(datetime, *map(int, parts), int((fine or "0").ljust(6, "0")))


def iso_instant(said: str) -> datetime:
    found = re.fullmatch(r"(.*?)(?:Z|([+-])([0-9]{2})(?::?([0-9]{2}))?)", said, re.DOTALL)
    if not found:
        raise Failed
    clock, sign, hours, minutes = found.groups()
    ahead = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    try:
        return iso_clock(clock).replace(tzinfo=UTC) - ahead
    except OverflowError:
        raise Failed from None


def _made(kind: Any, *parts: int) -> Any:
    try:
        return kind(*parts)
    except ValueError:
        raise Failed from None


def _fail() -> Any:
    raise Failed


def literal(value: Any) -> Any:
    """A literal of a mapping as a value."""
    return Json(compact(value)) if isinstance(value, list | dict) else value


def compact(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{compact(str(key))}:{compact(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(compact(item) for item in value) + "]"
    if isinstance(value, Decimal):
        return str(value)
    return std_json.dumps(value, ensure_ascii=False)


# ---- text -------------------------------------------------------------------------------------------------------


def trim(value: Any, args: Any) -> Any:
    return text(value).strip(_WHITE)


def collapse_spaces(value: Any, args: Any) -> Any:
    return re.sub(f"[{_WHITE}]+", " ", text(value))


def lower(value: Any, args: Any) -> Any:
    return text(value).lower()


def upper(value: Any, args: Any) -> Any:
    return text(value).upper()


def replace(value: Any, args: Any) -> Any:
    if not args.get("regex"):
        return text(value).replace(str(args["find"]), str(args.get("with") or ""))
    return re.sub(args["find"], re.sub(r"\$([0-9])", r"\\\1", args["with"]), text(value))


def extract(value: Any, args: Any) -> Any:
    found = re.search(args["regex"], text(value))
    taken = found and found.group(args.get("group", 1))
    return taken if taken is not None else _fail()


def split(value: Any, args: Any) -> Any:
    parts, take = text(value).split(args["separator"]), args.get("take", "all")
    if take == "all":
        return Json(compact(parts))
    if take == "rest":
        return args["separator"].join(parts[1:]) if len(parts) > 1 else None
    place = {"first": 0, "last": len(parts) - 1}.get(take, take)
    return parts[place] if place < len(parts) else None


def concat(values: Sequence[Any], args: Any) -> Any:
    there = [text(value) for value in values if value is not None]
    if not there or (len(there) < len(values) and not (args or {}).get("skip_nulls", True)):
        return None
    return (args or {}).get("separator", "").join(there)


def coalesce(values: Sequence[Any], args: Any) -> Any:
    return next((value for value in values if value is not None), None)


def truncate(value: Any, args: Any) -> Any:
    return text(value)[:args]


def format_(value: Any, args: Any) -> Any:
    return args.replace("{}", text(value))


# ---- repair -----------------------------------------------------------------------------------------------------


def normalize(value: Any, args: Any) -> Any:
    return unicodedata.normalize("NFC", text(value))


def strip_control(value: Any, args: Any) -> Any:
    return "".join(letter for letter in text(value) if letter not in _CONTROLS)


def repair_encoding(value: Any, args: Any) -> Any:
    from ftfy import fix_encoding

    return text(value) if text(value).isascii() else fix_encoding(text(value))


def unescape_html(value: Any, args: Any) -> Any:
    return html.unescape(text(value))


# ---- checks -----------------------------------------------------------------------------------------------------


def null_if(value: Any, args: Any) -> Any:
    named = args if isinstance(args, list) else [args]
    return None if text(value) in {text(one) for one in named if one is not None} else value


def matches(value: Any, args: Any) -> Any:
    return value if re.fullmatch(args, text(value)) else _fail()


def one_of(value: Any, args: Any) -> Any:
    return value if text(value) in {text(one) for one in args} else _fail()


def between(value: Any, args: Any) -> Any:
    low, high = (AS_OF if bound == "$plan.as_of" else bound for bound in args)
    if low is not None and not _compare(value, low) >= 0:
        raise Failed
    if high is not None and not _compare(value, high) <= 0:
        raise Failed
    return value


def _compare(value: Any, bound: Any) -> int:
    if isinstance(bound, int | Decimal):
        one, other = number(value), Decimal(bound)
    elif isinstance(bound, datetime) or re.match("[0-9]{4}-", bound):
        one, other = moment(value), moment(bound)
    elif isinstance(value, date):  # a time is not compared with what is none
        raise Failed
    else:
        one, other = text(value), bound
    return (one > other) - (one < other)


def email(value: Any, args: Any) -> Any:
    from email_validator import EmailNotValidError, validate_email

    said = text(value)
    try:
        found = validate_email(said, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        raise Failed from None
    return said if "." in found.domain and said == said.strip() else _fail()


def phone(value: Any, args: Any) -> Any:
    import phonenumbers

    try:
        found = phonenumbers.parse(text(value), args)
    except phonenumbers.NumberParseException:
        raise Failed from None
    if not phonenumbers.is_valid_number(found):
        raise Failed
    return phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164)


# ---- numbers ----------------------------------------------------------------------------------------------------


def integer(value: Any, args: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"[+-]?[0-9]+(\.0*)?", value):
        raise Failed
    whole = Decimal(value) if isinstance(value, str) else number(value)
    if whole != whole.to_integral_value() or not -(2**63) <= whole < 2**63:
        raise Failed
    return int(whole)


def decimal(value: Any, args: Any) -> Any:
    options = args or {}
    mark = options.get("thousands")
    if (
        mark
        and isinstance(value, str)
        and re.fullmatch(rf"[+-]?[0-9]{{1,3}}({re.escape(mark)}[0-9]{{3}})+(\.[0-9]+)?", value)
    ):
        value = value.replace(mark, "")
    made = number(value)
    return (
        rounded(made, options["scale"], options["rounding"]) if options.get("rounding", "review") != "review" else made
    )


def rounded(value: Decimal, digits: int, mode: str) -> Decimal:
    modes = {"half_up": ROUND_HALF_UP, "half_even": ROUND_HALF_EVEN, "down": ROUND_DOWN}
    with localcontext(Context(prec=200)):
        return held(value.quantize(Decimal(1).scaleb(-digits), modes[mode]))


def round_(value: Any, args: Any) -> Any:
    return rounded(number(value), args["digits"], args.get("mode", "half_up"))


def multiply(value: Any, args: Any) -> Any:
    with localcontext(Context(prec=200)):
        return held(number(value) * Decimal(args))


def divide(value: Any, args: Any) -> Any:
    with localcontext(Context(prec=200)):
        made = number(value) / Decimal(args)
        return held(made) if made * Decimal(args) == number(value) else _fail()


def boolean(value: Any, args: Any) -> Any:
    if isinstance(value, bool):
        return value
    said = text(value) if args else text(value).lower()
    words = args or {}
    yes = [text(one) for one in words.get("true", ["1", "true", "t", "yes", "y", "on"])]
    no = [text(one) for one in words.get("false", ["0", "false", "f", "no", "n", "off"])]
    return True if said in yes else False if said in no else _fail()


# ---- times ------------------------------------------------------------------------------------------------------


def date_(value: Any, args: Any) -> Any:
    options = args or {}
    if isinstance(value, datetime):
        return _day(value, options)
    if isinstance(value, date):
        return value
    if "format" in options:
        return _by_format(text(value), options["format"]).date()
    try:
        return iso_day(text(value))
    except Failed:
        return _day(iso_clock(text(value)), options)


def _day(clock: datetime, options: dict[str, Any]) -> date:
    midnight = (clock.hour, clock.minute, clock.second, clock.microsecond) == (0, 0, 0, 0)
    return clock.date() if midnight or options.get("time") == "drop" else _fail()


_FORMATS = {
    "%d.%m.%Y": r"(?P<d>[0-9]{1,2})\.(?P<m>[0-9]{1,2})\.(?P<y>[0-9]{4})",
    "%d/%m/%Y %H:%M": r"(?P<d>[0-9]{1,2})/(?P<m>[0-9]{1,2})/(?P<y>[0-9]{4}) (?P<H>[0-9]{1,2}):(?P<M>[0-9]{1,2})",
}


def _by_format(said: str, form: str) -> datetime:
    found = re.fullmatch(_FORMATS[form], said)
    if not found:
        raise Failed
    parts = {name: int(digits) for name, digits in found.groupdict().items()}
    return _made(datetime, parts["y"], parts["m"], parts["d"], parts.get("H", 0), parts.get("M", 0))


def datetime_(value: Any, args: Any) -> Any:
    options = args or {}
    if isinstance(value, datetime) and value.tzinfo:
        return value
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - a time without a zone is meant
    if not isinstance(value, datetime):
        value = _read_clock(text(value), options)
    return place(value, options) if "timezone" in options and not value.tzinfo else value


def _read_clock(said: str, options: dict[str, Any]) -> datetime:
    if "format" in options:
        return _by_format(said, options["format"])
    try:
        return iso_clock(said)
    except Failed:
        return iso_instant(said)


def place(clock: datetime, options: dict[str, Any]) -> datetime:
    """The instants whose clock in the zone shows this: none in a gap, two in an overlap."""
    zone = ZoneInfo(options["timezone"])
    shown = [clock.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    there = sorted({at for at in shown if at.astimezone(zone).replace(tzinfo=None) == clock})
    if len(there) == 1:
        return there[0]
    if len(there) == 2:
        taken = {"earlier": 0, "later": 1}.get(options.get("overlap", "review"))
        return there[taken] if taken is not None else _fail()
    return shown[0] if options.get("gap") == "shift" else _fail()


def epoch(value: Any, args: Any) -> Any:
    options = args if isinstance(args, dict) else {"unit": args}
    per_second = {"s": 1, "ms": 1_000, "us": 1_000_000}[options["unit"]]
    micros = integer(value, None) * (1_000_000 // per_second)
    low, high = options.get("between", (None, None))
    first = _micros(moment(low)) if low else _micros(datetime(1, 1, 1, tzinfo=UTC))
    last = AS_OF if high == "$plan.as_of" else moment(high) if high else datetime.max.replace(tzinfo=UTC)
    if not first <= micros <= _micros(last):
        raise Failed
    return _EPOCH + timedelta(microseconds=micros)


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


# ---- structures -------------------------------------------------------------------------------------------------


def json(value: Any, args: Any) -> Any:
    return value if isinstance(value, Json) else Json(compact(_loaded(text(value))))


def _loaded(said: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(pairs) if len(dict(pairs)) == len(pairs) else _fail()

    def no_number(word: str) -> Any:
        raise Failed

    try:
        made = std_json.loads(said, parse_float=Decimal, parse_constant=no_number, object_pairs_hook=once)
        compact(made).encode()
    except (ValueError, RecursionError, InvalidOperation):
        raise Failed from None
    return made


def json_get(value: Any, args: Any) -> Any:
    found = _loaded(json(value, None))
    for step in args.split("."):
        if isinstance(found, dict) and step in found:
            found = found[step]
        elif isinstance(found, list) and step.isdigit() and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return compact(found) if isinstance(found, dict | list) else None if found is None else text(found)


def php(value: Any, args: Any) -> Any:
    data = text(value).encode()
    try:
        made, rest = _php(data)
        said = compact(made)
        said.encode()
    except (ValueError, IndexError, ArithmeticError, RecursionError):
        raise Failed from None
    return Json(said) if rest == b"" else _fail()


def _php(data: bytes) -> tuple[Any, bytes]:
    for pattern, made in _PHP:
        found = re.match(pattern, data, re.DOTALL)
        if found:
            return made(found, data[found.end() :])
    raise ValueError("no PHP")


def _php_text(found: Any, rest: bytes) -> tuple[Any, bytes]:
    length = int(found[1])
    if rest[length : length + 2] != b'";':
        raise ValueError("a text is not as long as it says")
    return rest[:length].decode(), rest[length + 2 :]


def _php_array(found: Any, rest: bytes) -> tuple[Any, bytes]:
    entries: dict[Any, Any] = {}
    for _ in range(int(found[1])):
        key, rest = _php(rest)
        if isinstance(key, bool) or not isinstance(key, int | str):
            raise Failed
        entries[key], rest = _php(rest)
    if not rest.startswith(b"}") or len(entries) != int(found[1]):
        raise ValueError("not what it says")
    if list(entries) == list(range(len(entries))):
        return list(entries.values()), rest[1:]
    named = {str(key): item for key, item in entries.items()}
    if len(named) != len(entries):
        raise ValueError("two keys are one text")
    return named, rest[1:]


def _php_number(found: Any, rest: bytes) -> tuple[Any, bytes]:
    made = Decimal(found[1].decode())
    if not made.is_finite():
        raise ValueError("no number")
    return made, rest


_PHP: list[tuple[bytes, Callable[[Any, bytes], tuple[Any, bytes]]]] = [
    (rb"N;", lambda found, rest: (None, rest)),
    (rb"b:([01]);", lambda found, rest: (found[1] == b"1", rest)),
    (rb"i:(-?[0-9]+);", lambda found, rest: (int(found[1]), rest)),
    (rb"d:([^;]*);", _php_number),
    (rb's:([0-9]+):"', _php_text),
    (rb"a:([0-9]+):\{", _php_array),
]


# ---- choices, secrets, keys -------------------------------------------------------------------------------------


def map_(value: Any, args: Any) -> Any:
    entries = {str(old): new for old, new in args.items() if old != "else"}
    news = [literal(new) for new in (*entries.values(), args.get("else")) if new is not None and new != "keep"]
    if args.get("else") == "keep":
        news.append(value)
    if text(value) in entries:
        made = literal(entries[text(value)])
    elif "else" not in args:
        raise Failed
    else:
        made = value if args["else"] == "keep" else literal(args["else"])
    kinds = {type(new) for new in news}
    return made if made is None or len(kinds) == 1 or kinds == {int, Decimal} else text(made)


def lookup(value: Any, args: Any) -> Any:
    return FILE[text(value)] if text(value) in FILE else _fail()


def hash_(value: Any, args: Any) -> Any:
    purpose = args["sha256"] if isinstance(args, dict) else ""
    return hmac.new(b"example", f"{len(purpose)}:{purpose}{text(value)}".encode(), hashlib.sha256).hexdigest()


def password_hash(value: Any, args: Any) -> Any:
    said = text(value)
    digest, colon, salt = said.partition(":")
    scheme = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}.get(len(digest))
    if scheme and re.fullmatch("[0-9a-fA-F]+", digest) and not colon:
        return f"$legacy${scheme}$${digest}"
    if scheme and re.fullmatch("[0-9a-fA-F]+", digest) and re.fullmatch("[^:$\n]+", salt):
        return f"$legacy${scheme}-salted${salt}${digest}"
    return "$legacy$reset$$" if isinstance(args, dict) and args.get("on_unsupported") == "reset" else _fail()


def call(value: Any, args: Any) -> Any:
    """The function of the tests: it turns a text round, and raises for one that holds an x."""
    return _fail() if "x" in text(value) else text(value)[::-1]


def uuid5(values: Sequence[Any], args: Any) -> Any:
    if any(value is None for value in values):
        return None
    return str(_uuid5(_uuid5(NAMESPACE_URL, "urn:migrator:row"), "\x1f".join([args, *map(text, values)])))


def range_(values: Sequence[Any], args: Any) -> Any:
    low, high = values
    if low is None and high is None:
        return None
    if low is not None and high is not None and low > high:
        raise Failed
    opens, closes = (args or {}).get("bounds", "[)")
    return f"{opens}{'' if low is None else text(low)},{'' if high is None else text(high)}{closes}"


ONE: dict[str, Callable[[Any, Any], Any]] = {
    made.__name__.rstrip("_"): made
    for made in (
        trim, collapse_spaces, lower, upper, replace, extract, split, truncate, format_, normalize, strip_control,
        repair_encoding, unescape_html, null_if, matches, one_of, between, email, phone, integer, decimal, round_,
        multiply, divide, boolean, date_, datetime_, epoch, json, json_get, php, map_, lookup, hash_, password_hash, call,
    )
}  # fmt: skip
MANY: dict[str, Callable[[Sequence[Any], Any], Any]] = {
    made.__name__.rstrip("_"): made for made in (concat, coalesce, uuid5, range_)
}


def step(name: str, args: Any, values: Sequence[Any]) -> Any:
    """One step on one row; null passes through those that take one column."""
    if name in MANY:
        return MANY[name](values, args)
    return None if values[0] is None else ONE[name](values[0], args)


# ---- into the column --------------------------------------------------------------------------------------------


def fit(value: Any, kind: str) -> Any:
    """What the target column holds, or Failed where anything would be lost."""
    if value is None:
        return None
    return _FIT[kind](value)


def _fit_text(value: Any) -> str:
    return text(value) if "\0" not in text(value) else _fail()


def _fit_short(value: Any) -> str:
    return _fit_text(value) if len(text(value)) <= 5 else _fail()


def _fit_integer(value: Any) -> int:
    if isinstance(value, bool | Decimal):
        made = integer(Decimal(value), None)
    elif isinstance(value, int):
        made = value
    else:
        made = int(text(value)) if re.fullmatch(r"-?(0|[1-9][0-9]*)", text(value)) else _fail()
    return made if -(2**31) <= made < 2**31 else _fail()


def _fit_decimal(value: Any) -> Decimal:
    plain = isinstance(value, int | Decimal) or re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", text(value))
    made = number(value) if plain else _fail()
    with localcontext(Context(prec=200)):
        good = abs(made) < 10**8 and made == made.quantize(Decimal("0.01"))
    return made if good else _fail()


def _fit_boolean(value: Any) -> bool:
    words = {"0": False, "1": True, "false": False, "true": True}
    return value if isinstance(value, bool) else words[text(value)] if text(value) in words else _fail()


def _fit_date(value: Any) -> date:
    if isinstance(value, datetime):
        return _day(value, {})
    return value if isinstance(value, date) else date_(text(value), None)


def _fit_timestamp(value: Any) -> datetime:
    if isinstance(value, datetime) and value.tzinfo:
        return value
    return _fail() if isinstance(value, date) else iso_instant(text(value))


def _fit_json(value: Any) -> str:
    if isinstance(value, Json | bool | int | Decimal):
        said = text(value)
    elif isinstance(value, date):
        said = compact(text(value))
    else:
        said = compact(_loaded(text(value)))
    return said if "\\u0000" not in said.replace("\\\\", "") else _fail()


_FIT: dict[str, Callable[[Any], Any]] = {
    "text": _fit_text,
    "short": _fit_short,
    "integer": _fit_integer,
    "decimal": _fit_decimal,
    "boolean": _fit_boolean,
    "date": _fit_date,
    "timestamp": _fit_timestamp,
    "json": _fit_json,
}
