"""migrator.toml and MIGRATOR_* -> frozen Settings. The only reader of the environment; all mistakes are told at once."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_type_hints

from migrator.errors import SettingWrong

FILE = "migrator.toml"
SOURCE = re.compile(r"[a-z][a-z0-9_]*")  # the name of a legacy database among several
MOST_BYTES = 1_000_000
LONGEST = timedelta(days=36500)  # from any day to one that the calendar has
MOST_WHOLE = 1_000_000_000  # what every database takes for a whole number
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Where a database is. `url` as SQLAlchemy writes it; `schema` where the database has schemas."""

    url: str = ""
    schema: str | None = None


@dataclass(frozen=True, slots=True)
class LegacySettings(DatabaseSettings):
    """Legacy is only read; `write_url` is of an account that may carry back what the new system has changed."""

    write_url: str | None = None


DATABASE = tuple(item.name for item in fields(LegacySettings))


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """Our own memory; SQLite in `.migrator/` unless a URL says otherwise."""

    url: str = "sqlite:///.migrator/control.db"


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Redis. Without a URL a real one is started and stopped by the command line."""

    url: str | None = None


@dataclass(frozen=True, slots=True)
class MappingSettings:
    """The folder of the mapping set; `code`: installed modules whose functions mappings may call."""

    path: Path = Path("mappings")
    code: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """How users are divided into waves, and what happens between them."""

    strategy: str = "tiered"  # tiered | whole
    order: tuple[str, ...] = ("core", "normal", "edge")
    pilot_share: int = 5  # percent of each tier
    pilot_floor: int = 59  # users of each tier, at most half of it
    gray: tuple[int, ...] = (5, 25, 50)  # percent of each tier before the rest
    soak: timedelta = timedelta(hours=24)
    cutover: str = "manual"  # manual | immediate
    on_stop: str = "pause"  # pause | rollback_wave
    salt: str | None = None  # of the buckets; default: the plan's own


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How batches are cut, leased and tried again. `users` is the first size; while they run it goes by `target`."""

    users: int = 1000
    adaptive: bool = True
    target: timedelta = timedelta(seconds=15)  # that a batch should take
    smallest: int = 10
    largest: int = 5000
    memory: int = 600  # megabytes that a worker should hold at most
    lease: timedelta = timedelta(seconds=60)
    grace: timedelta = timedelta(seconds=60)  # the reaper is silent for so long after its own start
    ring_again: timedelta = timedelta(seconds=60)  # a batch whose message was lost
    reap_every: timedelta = timedelta(seconds=10)  # between two looks for leases that ran out
    leader: timedelta = timedelta(seconds=15)  # how long the one who hands out batches leads without a sign of life
    retry_after: timedelta = timedelta(seconds=5)  # the first pause after a failed attempt; it doubles, up to a minute
    attempts: int = 5
    interruptions: int = 3


@dataclass(frozen=True, slots=True)
class CutoverSettings:
    """How users are cut over: some at a time, who can write nothing meanwhile."""

    budget: timedelta = timedelta(seconds=30)  # that a user is frozen at most; then he is served by legacy again
    drain: timedelta = timedelta(seconds=6)  # that an application may act on an old answer of the Router
    users: int = 2000  # frozen at once
    lock: bool = False  # triggers in legacy refuse writes to users who are frozen (`migrator changes install --lock`)


@dataclass(frozen=True, slots=True)
class RollbackSettings:
    """What becomes of what the new system has changed, when users go back after it has served them."""

    policy: str = "block"  # block | carry_back | merge; force is said each time, by two people


@dataclass(frozen=True, slots=True)
class OnDemandSettings:
    """Users who are asked for are moved ahead of their wave."""

    per_minute: int = 60  # at most; 0: nobody
    cut_over: bool = False  # and cut over at once, whoever asked


@dataclass(frozen=True, slots=True)
class SnapshotSettings:
    """Where sealed snapshots and the file of the project's key are."""

    path: Path = Path(".migrator/snapshots")
    url: str | None = None  # instead of path: s3://bucket/prefix, or another place that fsspec knows
    options: Mapping[str, Any] = field(default_factory=dict)  # for that place: endpoint_url, profile, …; no secret
    key: Path = Path(".migrator/project.key")
    keep: timedelta = timedelta(days=30)  # after the last user of a snapshot was settled or put back


@dataclass(frozen=True, slots=True)
class HousekeepingSettings:
    """What is removed by itself: snapshots whose time is over, and rows of the control database that had their day."""

    every: timedelta = timedelta(hours=24)  # how often it is looked for; 0s: only by hand (`migrator store purge`)
    keep: timedelta = timedelta(days=90)  # what notices said of people, requests and approvals that are over


@dataclass(frozen=True, slots=True)
class TierSettings:
    """Windows and thresholds of R, F, M. A threshold is {fixed|quantile|pareto = number} or {mean|median = true}."""

    frequency_window: str = "90d"
    money_window: str = "365d"
    recency: Mapping[str, Any] = field(default_factory=lambda: {"fixed": 30})
    frequency: Mapping[str, Any] = field(default_factory=lambda: {"quantile": 0.8})
    money: Mapping[str, Any] = field(default_factory=lambda: {"quantile": 0.8})
    rates: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Limits of the gates, as shares."""

    max_failed: float = 0.02
    max_held: float = 0.05
    alpha: float = 0.05
    stop_alpha: float = 0.01
    snapshot_check: str = "off"  # off | before gray: some snapshots of the pilot were restored and compared


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """When waves may start batches: "22:00-06:00", in `timezone`; empty = always. Never on the days of `blackouts`."""

    windows: tuple[str, ...] = ()
    blackouts: tuple[str, ...] = ()
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class ChangesSettings:
    """How it is found who changed in legacy after the move."""

    capture: str = "scan"  # scan | updated_at | trigger
    databases: Mapping[str, Any] = field(default_factory=dict)  # of several legacy databases those with another way
    overlap: timedelta = timedelta(minutes=10)  # read again, as what was written may be committed late
    scan_every: timedelta = timedelta(hours=24)  # how often all rows are read again, whatever else tells of changes


@dataclass(frozen=True, slots=True)
class ThrottleSettings:
    """When no batch is handed out: above any one of these limits, or while the flag is there."""

    max_lag: float | None = None  # seconds that a replica is behind
    max_sessions: int | None = None  # at work in legacy or target, ours among them
    max_statement: float | None = None  # seconds that somebody else's transaction runs
    replicas: tuple[str, ...] = ()  # URLs
    sql: Mapping[str, Any] = field(default_factory=dict)  # database -> {query, above}
    flag: Path | None = None  # a file


@dataclass(frozen=True, slots=True)
class NoticeSettings:
    """How users are told. Nothing is queued while `sender` is not set."""

    sender: str | None = None  # file | smtp
    path: Path = Path(".migrator/outbox")  # file sender
    smtp: str = "smtp://localhost:25"  # smtp://user@host:port, smtps://
    smtp_password: str | None = None
    from_: str = "migration@localhost"
    product: str = "our service"
    locale: str = "en"
    templates: Path = Path("templates")
    events: tuple[str, ...] = ("before", "done", "delayed", "rolled_back")


@dataclass(frozen=True, slots=True)
class SupportSettings:
    """Whom users may ask."""

    contact: str = "support@localhost"


@dataclass(frozen=True, slots=True)
class SecuritySettings:
    """Who may do what: operators are in the control database. And where the project's key comes from."""

    operators_required: bool = False  # nothing is done for anybody before there is an operator
    token: str | None = field(default=None, repr=False)  # only in the environment: MIGRATOR_TOKEN
    token_file: Path | None = None  # also MIGRATOR_TOKEN_FILE
    token_lasts: timedelta = timedelta(days=90)
    anchors: Path = Path(".migrator/journal.anchors")  # where the journal's head is written down, beside the database
    key: str | None = None  # file:PATH | env:NAME | command:ARGV; none: the file of [snapshots] key


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How logs are written to standard error: one line per event."""

    format: str = "text"  # text | json
    level: str = "warning"  # the least that is said


@dataclass(frozen=True, slots=True)
class Settings:
    """All sections; `root` is the folder of the settings file, against which relative paths were resolved."""

    root: Path
    file: Path
    legacy: LegacySettings = LegacySettings()
    sources: Mapping[str, LegacySettings] = field(default_factory=dict)  # [legacy.NAME], where there are several
    target: DatabaseSettings = DatabaseSettings()
    control: ControlSettings = ControlSettings()
    broker: BrokerSettings = BrokerSettings()
    mappings: MappingSettings = MappingSettings()
    plan: PlanSettings = PlanSettings()
    batches: BatchSettings = BatchSettings()
    snapshots: SnapshotSettings = field(default_factory=SnapshotSettings)
    housekeeping: HousekeepingSettings = HousekeepingSettings()
    cutover: CutoverSettings = CutoverSettings()
    rollback: RollbackSettings = RollbackSettings()
    on_demand: OnDemandSettings = OnDemandSettings()
    tiers: TierSettings = field(default_factory=TierSettings)
    gates: GateSettings = GateSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    changes: ChangesSettings = field(default_factory=ChangesSettings)
    throttle: ThrottleSettings = field(default_factory=ThrottleSettings)
    notices: NoticeSettings = NoticeSettings()
    support: SupportSettings = SupportSettings()
    security: SecuritySettings = field(default_factory=SecuritySettings)
    logs: LogSettings = LogSettings()

    @property
    def state(self) -> Path:
        """The folder for what a project keeps beside its settings."""
        return self.root / ".migrator"

    @property
    def legacies(self) -> Mapping[str, LegacySettings]:
        """The legacy databases by name; one alone is called "legacy"."""
        return self.sources or {"legacy": self.legacy}


CAPTURES = ("scan", "updated_at", "trigger")
SECTIONS: dict[str, type] = {
    name: kind for name, kind in get_type_hints(Settings).items() if name not in ("root", "file", "sources")
}
CHOICES = {
    ("plan", "strategy"): ("tiered", "whole"),
    ("plan", "cutover"): ("manual", "immediate"),
    ("plan", "on_stop"): ("pause", "rollback_wave"),
    ("changes", "capture"): CAPTURES,
    ("rollback", "policy"): ("block", "carry_back", "merge"),
    ("notices", "sender"): ("file", "smtp"),
    ("logs", "format"): ("text", "json"),
    ("logs", "level"): ("debug", "info", "warning", "error"),
    ("gates", "snapshot_check"): ("off", "before gray"),
}
#: Below these nothing would ever be moved.
LEAST: dict[tuple[str, str], Any] = {
    ("batches", "users"): 1,
    ("batches", "smallest"): 1,
    ("batches", "memory"): 100,
    ("batches", "target"): timedelta(seconds=1),
    ("batches", "attempts"): 1,
    ("batches", "interruptions"): 1,
    ("batches", "lease"): timedelta(seconds=5),
    ("batches", "ring_again"): timedelta(seconds=1),
    ("batches", "leader"): timedelta(seconds=2),
    ("cutover", "budget"): timedelta(seconds=2),
    ("cutover", "users"): 1,
}
#: Above these a batch would be taken for one that hangs.
MOST: dict[tuple[str, str], timedelta] = {("batches", "target"): timedelta(seconds=100)}
#: What runs in other people's databases is written where it can be reviewed.
ONLY_IN_FILE = (("throttle", "sql"),)
#: What proves who somebody is stands in no file that others read.
ONLY_IN_ENVIRONMENT = (("security", "token"),)
#: Each of these is also known by a shorter name: an operator types it every day.
SHORT = {"MIGRATOR_TOKEN": "MIGRATOR_SECURITY_TOKEN", "MIGRATOR_TOKEN_FILE": "MIGRATOR_SECURITY_TOKEN_FILE"}


#: Shares that a proof is made of: with 0 or 1, or next to 0, nothing can be proved.
BETWEEN: dict[tuple[str, str], tuple[float, float]] = {
    ("gates", "max_failed"): (1e-9, 0.9),
    ("gates", "alpha"): (1e-9, 1.0),
    ("gates", "stop_alpha"): (1e-9, 1.0),
}


def environment() -> dict[str, str]:
    """All of the environment, for what takes a secret from it."""
    return dict(os.environ)


def duration(text: str) -> timedelta:
    """Read "0s", "90s", "15m", "24h", "30d"; ValueError otherwise."""
    found = re.fullmatch(r"(\d+)\s*([smhdw])", text.strip())
    if not found:
        raise ValueError(f'"{text}" is not a duration such as 30s, 15m, 24h or 7d')
    try:
        told = timedelta(seconds=int(found[1]) * UNITS[found[2]])
    except (OverflowError, ValueError):
        told = timedelta.max
    if told > LONGEST:
        raise ValueError(f'"{text[:20]}" is longer than anybody waits: at most {LONGEST.days}d')
    return told


def load(file: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """
    Read the settings file and what the environment says over it.

    Args:
        file: The file or its folder; without one `MIGRATOR_SETTINGS`, else `migrator.toml` here or in a folder above.

    Raises:
        SettingWrong: with every problem, not just the first.
    """
    environment = os.environ if environment is None else environment
    environment = {SHORT.get(name, name): value for name, value in environment.items()}
    path = _find(file, environment)
    document = _read(path)
    problems: list[str] = []
    sources = _sources(document, environment, path, problems)
    sections = {name: _section(name, kind, document, environment, path, problems) for name, kind in SECTIONS.items()}
    problems += _unknown(path, "section", document, SECTIONS)
    problems += _at_odds(path, sections, sources)
    if problems:
        raise SettingWrong(*problems)
    return Settings(root=path.parent, file=path, sources=sources, **sections)


def _find(file: Path | None, environment: Mapping[str, str]) -> Path:
    named = file or (Path(environment["MIGRATOR_SETTINGS"]) if "MIGRATOR_SETTINGS" in environment else None)
    if named is not None:
        path = (named / FILE if named.is_dir() else named).resolve()
        if not path.is_file():
            raise SettingWrong(f"there is no settings file {path}; `migrator init {path.parent}` makes one")
        return path
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / FILE).is_file():
            return folder / FILE
    raise SettingWrong(f"there is no {FILE} in {here} or above; `migrator init .` makes one")


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise SettingWrong(f"{path}: larger than {MOST_BYTES // 1_000_000} MB; that is no settings file")
        return tomllib.loads(content.decode())
    except RecursionError:
        raise SettingWrong(f"{path}: not TOML: nested too deeply") from None
    except ValueError as exc:  # of TOML, of UTF-8, of a number with too many digits
        raise SettingWrong(f"{path}: not TOML: {exc}") from exc
    except OSError as exc:
        raise SettingWrong(f"{path}: cannot be read: {exc.strerror}") from exc


def _section(
    name: str, kind: type, document: dict[str, Any], environment: Mapping[str, str], path: Path, problems: list[str]
) -> Any:
    given = document.get(name, {})
    if not isinstance(given, dict):
        problems.append(f"{path}: [{name}] must be a section, not {given!r}")
        return kind()
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for item in fields(kind):
        key = item.name.rstrip("_")
        variable = f"MIGRATOR_{name.replace('.', '_')}_{key}".upper()
        raw, where = (
            (environment[variable], variable)
            if variable in environment
            else (given.get(key), f"{path}: [{name}] {key}")
        )
        if raw is None:
            continue
        misplaced = _misplaced(name, key, variable, path, told=variable in environment)
        if misplaced:
            problems.append(misplaced)
            continue
        try:
            values[item.name] = _convert(raw, hints[item.name], path.parent)
            _check(name, key, values[item.name])
        except (ValueError, TypeError) as exc:
            problems.append(f"{where}: {exc}")
    problems += _unknown(path, f"key in [{name}]", given, [item.name.rstrip("_") for item in fields(kind)])
    built = kind(**values)
    if name not in document or any(item.name not in values for item in fields(kind)):
        built = _anchored(built, path.parent)
    return built


def _misplaced(section: str, key: str, variable: str, path: Path, *, told: bool) -> str | None:
    """Why a value may not be given where it is given; *told*: in the environment."""
    if told and (section, key) in ONLY_IN_FILE:
        return f"{variable}: write it into {path}: [{section}] {key}; it is not taken from the environment"
    if not told and (section, key) in ONLY_IN_ENVIRONMENT:
        short = next((name for name, long in SHORT.items() if long == variable), variable)
        return f"{path}: [{section}] {key}: not in a file that others read; set {short}"
    return None


def _sources(
    document: dict[str, Any], environment: Mapping[str, str], path: Path, problems: list[str]
) -> dict[str, LegacySettings]:
    """
    Take the sections [legacy.NAME], and MIGRATOR_LEGACY_NAME_URL, out of what was said of legacy.

    They stand in the order written; those only in the environment come after them.
    """
    said = document.get("legacy", {})
    written = {name: given for name, given in said.items() if isinstance(given, dict)} if isinstance(said, dict) else {}
    if written:
        document["legacy"] = {key: value for key, value in said.items() if key not in written}
    sources = {**written, **{name: {} for name in _in_environment(environment) if name not in written}}
    single = [key for key in DATABASE if key in said or f"MIGRATOR_LEGACY_{key}".upper() in environment]
    if sources and single:
        problems.append(
            f"{path}: [legacy] {single[0]} stands beside [legacy.{next(iter(sources))}]; "
            "write [legacy] alone, or give each database a name: [legacy.NAME]"
        )
    return {name: _source(name, given, environment, path, problems) for name, given in sources.items()}


def _in_environment(environment: Mapping[str, str]) -> list[str]:
    told = re.compile(f"MIGRATOR_LEGACY_([A-Z0-9_]+?)_({'|'.join(DATABASE)})".upper())
    single = {f"MIGRATOR_LEGACY_{key}".upper() for key in DATABASE}
    found = (told.fullmatch(name) for name in environment if name not in single)
    return sorted({one[1].lower() for one in found if one})


def _source(
    name: str, given: dict[str, Any], environment: Mapping[str, str], path: Path, problems: list[str]
) -> LegacySettings:
    section = f"legacy.{name}"
    if not SOURCE.fullmatch(name):
        problems.append(f"{path}: [{section}]: a name has small letters, digits and _, and begins with a letter")
    made: LegacySettings = _section(section, LegacySettings, {section: given}, environment, path, problems)
    if not made.url:
        problems.append(f"{path}: [{section}] url is not set; say where the database is")
    return made


def _anchored(section: Any, root: Path) -> Any:
    """Defaults that are relative paths also count from the settings file."""
    changes = {
        item.name: root / getattr(section, item.name)
        for item in fields(section)
        if isinstance(getattr(section, item.name), Path) and not getattr(section, item.name).is_absolute()
    }
    for name in ("url", "write_url"):
        url = getattr(section, name, None)
        if isinstance(url, str):
            changes[name] = _anchor_url(url, root)
    return type(section)(**{item.name: getattr(section, item.name) for item in fields(section)} | changes)


def _anchor_url(url: str, root: Path) -> str:
    """sqlite:///relative counts from the settings file; everything else stays."""
    found = re.fullmatch(r"(sqlite(?:\+\w+)?:///)([^/:?][^?]*)(\?.*)?", url)
    return f"{found[1]}{root / found[2]}{found[3] or ''}" if found else url


def _path(raw: Any, root: Path) -> Path:
    return (root / Path(_text(raw)).expanduser()).resolve()


def _text(raw: Any) -> str:
    if not isinstance(raw, str):
        raise TypeError(f"must be text, not {raw!r}")
    return raw


def _whole(raw: Any) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int | str):
        raise TypeError(f"must be a whole number, not {raw!r}")
    number = int(raw)
    if number < 0:
        raise ValueError(f"must not be negative, not {raw}")
    if number > MOST_WHOLE:
        raise ValueError(f"must be at most {MOST_WHOLE}, not {str(raw)[:30]}")
    return number


def _seconds(raw: Any) -> float:
    if isinstance(raw, str):
        try:
            return duration(raw).total_seconds()
        except ValueError:
            raw = float(raw) if re.fullmatch(r"\d+(\.\d+)?", raw.strip()) else raw
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise TypeError(f'must be seconds, such as 5, 0.5 or "5s", not {raw!r}')
    if not raw > 0:
        raise ValueError(f"must be above 0, not {raw}")
    return float(raw)


def _bool(raw: Any) -> bool:
    said = {"true": True, "false": False}.get(raw.lower(), raw) if isinstance(raw, str) else raw
    if not isinstance(said, bool):
        raise TypeError(f"must be true or false, not {raw!r}")
    return said


def _share(raw: Any) -> float:
    number = float(raw)
    if not 0 <= number <= 1:
        raise ValueError(f"must be a share between 0 and 1, not {raw}")
    return number


def _list(raw: Any, one: Callable[[Any], Any]) -> tuple[Any, ...]:
    items = [part.strip() for part in raw.split(",") if part.strip()] if isinstance(raw, str) else raw
    if not isinstance(items, list | tuple):
        raise TypeError(f"must be a list, not {raw!r}")
    return tuple(one(item) for item in items)


def _table(raw: Any) -> Mapping[str, Any]:
    if isinstance(raw, str):  # from the environment
        try:
            raw = tomllib.loads(f"table = {raw}")["table"]
        except tomllib.TOMLDecodeError:
            pass
    if not isinstance(raw, dict):
        raise TypeError(f"must be a table such as {{ quantile = 0.8 }}, not {raw!r}")
    return raw


def _convert(raw: Any, hint: Any, root: Path) -> Any:
    converters: dict[Any, Callable[[Any], Any]] = {
        str: lambda value: _anchor_url(_text(value), root),
        str | None: lambda value: _anchor_url(_text(value), root),
        Path: lambda value: _path(value, root),
        Path | None: lambda value: _path(value, root),
        bool: _bool,
        int: _whole,
        int | None: _whole,
        float: _share,
        float | None: _seconds,
        timedelta: lambda value: duration(_text(value)),
        tuple[str, ...]: lambda value: _list(value, _text),
        tuple[int, ...]: lambda value: _list(value, _whole),
        Mapping[str, Any]: _table,
    }
    return converters[hint](raw)


def _check(section: str, key: str, value: Any) -> None:
    allowed = CHOICES.get((section, key))
    if allowed and value not in allowed:
        raise ValueError(f'must be one of {", ".join(allowed)}, not "{value}"')
    least = LEAST.get((section, key))
    if least is not None and value < least:
        raise ValueError(f"must be at least {least if isinstance(least, int) else f'{least.seconds}s'}")
    most = MOST.get((section, key))
    if most is not None and value > most:
        raise ValueError(f"must be at most {most.seconds}s")
    bounds = BETWEEN.get((section, key))
    if bounds and not bounds[0] < value < bounds[1]:
        raise ValueError(f"must be above {bounds[0]:g} and below {bounds[1]:g}, not {value:g}")


def _at_odds(path: Path, sections: Mapping[str, Any], sources: Mapping[str, DatabaseSettings]) -> list[str]:
    """Mistakes that show only where several keys are looked at together."""
    batches, throttle = sections["batches"], sections["throttle"]
    problems = _captures(path, sections["changes"], sources)
    if batches.smallest > batches.largest:
        problems.append(f"{path}: [batches] smallest ({batches.smallest}) is above largest ({batches.largest})")
    cutover = sections["cutover"]
    if cutover.drain >= cutover.budget:
        problems.append(
            f"{path}: [cutover] drain ({cutover.drain.total_seconds():g} s) must be less than "
            f"budget ({cutover.budget.total_seconds():g} s): nothing could be cut over in time"
        )
    known = [*(f"legacy.{name}" for name in sources), *([] if sources else ["legacy"]), "target"]
    for name, said in throttle.sql.items():
        where = f"{path}: [throttle] sql"
        if name not in known:
            problems.append(f'{where}: there is no database "{name}"; known are {", ".join(known)}')
        wrong = not isinstance(said, dict) or set(said) != {"query", "above"} or not isinstance(said["query"], str)
        if wrong or isinstance(said["above"], bool) or not isinstance(said["above"], int | float):
            problems.append(f'{where}: {name} must be such as {{ query = "…", above = 100 }}')
    return problems


def _captures(path: Path, changes: ChangesSettings, sources: Mapping[str, DatabaseSettings]) -> list[str]:
    where = f"{path}: [changes] databases"
    unknown = [f"{where}: there is no [legacy.{name}]" for name in changes.databases if name not in sources]
    return unknown + [
        f"{where}: {name} must be one of {', '.join(CAPTURES)}, not {how!r}"
        for name, how in changes.databases.items()
        if how not in CAPTURES
    ]


def _unknown(path: Path, noun: str, given: Mapping[str, Any], known: Any) -> list[str]:
    problems = []
    for key in given:
        if key not in known:
            close = get_close_matches(key, list(known), n=1, cutoff=0.72)
            hint = f'did you mean "{close[0]}"?' if close else f"known are {', '.join(sorted(known))}"
            problems.append(f'{path}: unknown {noun} "{key}"; {hint}')
    return problems
