"""A golden row out of a real one: read, made nobody's, carried out, and added to the mapping's examples."""

from __future__ import annotations

import os
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from migrator.errors import NotFound, Refused
from migrator.flows.drafting import explaining, sampling
from migrator.flows.drafting.sampling import Wanted
from migrator.flows.moving import reading
from migrator.flows.parts import Parts
from migrator.flows.plans import planning
from migrator.mapping import appending, document, examples, goldens, secrecy
from migrator.mapping.model import Mapping, MappingSet
from migrator.mapping.redacting import Redactor, columns_kept, columns_of_documents


@dataclass(frozen=True, slots=True)
class Golden:
    """What was added, and where."""

    mapping: str
    file: str
    name: str
    given: dict[str, Any]
    expect: dict[str, Any] | None
    expect_review: list[dict[str, Any]]
    redacted: bool


def add(
    parts: Parts,
    mapping: str,
    user: str,
    folder: Path,
    *,
    key: str | None = None,
    name: str | None = None,
    redact: bool = True,
    dry_run: bool = False,
) -> Golden:
    """
    Make an example of one legacy row of *user* and add it to the file of *mapping* in *folder*.

    Args:
        key: which row, where the user has several.
        redact: put made-up values of the same shape in the place of personal ones.

    Raises:
        NotFound: there is no such mapping, user or row.
        Refused: several rows and no key; a row that is skipped; a row that would become another when redacted.
    """
    set_ = planning.checked_set(parts)
    found = explaining.mapping_named(set_, mapping)
    row = _row(parts, set_, found, user, key)
    real = goldens.given(found, row)
    given = _redactor(parts, set_, found, str(row["__key"].item()), redact=redact).given(real)
    expect, reviews = told = _outcome(parts, set_, found, given)
    _require_alike(_outcome(parts, set_, found, real), told)
    golden = Golden(
        found.name, found.place.file, _free_name(found, name, expect, reviews), given, expect, reviews, redact
    )
    text = _appended(set_, found, golden)
    _require_passing(parts, set_, found, golden, text)
    if not dry_run:
        _write(folder / _file(found), set_.texts[_file(found)], text)
    return golden


def _row(parts: Parts, set_: MappingSet, mapping: Mapping, user: str, key: str | None) -> pl.DataFrame:
    sample = sampling.choose(parts, set_, Wanted(keys=(user,)))
    if sample.excluded:
        raise Refused(f"user {user} is excluded by `users.where` in set.yaml; nothing of his is mapped")
    context = sampling.context(parts, set_, sample, sample.asked)
    frame = reading.read(parts, set_, sample.asked, context).sources[mapping.name].frame
    keys = frame["__key"].to_list()
    if not keys:
        raise NotFound(f"user {user} has no row in {mapping.name}")
    if key is None and len(keys) > 1:
        some = ", ".join(explaining.shown_key(one) for one in keys[:5])
        raise Refused(f"user {user} has {len(keys)} rows in {mapping.name}; name one with --key, e.g. {some}")
    numbers = explaining.rows_named(keys, key) if key is not None else [0]
    if not numbers:
        raise NotFound(f"user {user} has no row {key} in {mapping.name}; there are {len(keys)}")
    row = frame.slice(numbers[0], 1)
    if "__faults" in row.columns and row["__faults"].list.len().fill_null(0).item():
        raise Refused("what is wrong with this row shows only beside other rows; an example cannot say it")
    return row.drop("__faults", strict=False)


def _outcome(
    parts: Parts, set_: MappingSet, mapping: Mapping, given: MappingOf[str, Any]
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    told = goldens.outcome(set_, mapping, given, parts.legacy_schema, parts.target_schema)
    if told == (None, []):
        raise Refused(f"{mapping.name} skips this row; an example cannot say so yet")
    return told


def _redactor(parts: Parts, set_: MappingSet, mapping: Mapping, key: str, *, redact: bool) -> Redactor:
    """Makes up what is personal; at least passwords, which stand in no file."""
    who = set_.set.users
    own = {str(name) for name in (who.email, who.name) if name and who.table == mapping.source.table}
    secret, sensitive = secrecy.columns(mapping)
    return Redactor(
        seed=parts.key.fingerprint(f"example\x1f{mapping.name}\x1f{key}"),
        kept=columns_kept(mapping) - own,
        sensitive=sensitive | own,
        documents=columns_of_documents(mapping),
        only=None if redact else secret,
    )


def _require_alike(
    real: tuple[dict[str, Any] | None, list[dict[str, Any]]],
    redacted: tuple[dict[str, Any] | None, list[dict[str, Any]]],
) -> None:
    """The made-up row must go the way of the real one: the same fields wait for a person, the same are null."""
    reviews = [sorted((one["field"], one["rule"]) for one in told[1]) for told in (real, redacted)]
    nulls = [{name for name, value in (told[0] or {}).items() if value is None} for told in (real, redacted)]
    other = sorted({field for field, _ in set(reviews[0]) ^ set(reviews[1])} | (nulls[0] ^ nulls[1]))
    if other:
        raise Refused(
            f"with made-up values this row would go another way in: {', '.join(other)}; "
            "write the example by hand, or say --as-is if the file may hold the real values"
        )


def _free_name(mapping: Mapping, name: str | None, expect: dict[str, Any] | None, reviews: list[dict[str, Any]]) -> str:
    taken = {example.name for example in mapping.examples}
    if name is not None:
        if name in taken:
            raise Refused(f'{mapping.name} has an example called "{name}" already; say another --name')
        return name
    wanted = "a real row" if expect is not None else f"a real row whose {reviews[0]['field']} waits for a person"
    number = 2
    found = wanted
    while found in taken:
        found, number = f"{wanted} ({number})", number + 1
    return found


def _file(mapping: Mapping) -> str:
    return Path(mapping.place.file).name


def _appended(set_: MappingSet, mapping: Mapping, golden: Golden) -> str:
    example: dict[str, Any] = {"name": golden.name, "given": golden.given}
    if golden.expect is not None:
        example["expect"] = golden.expect
    else:
        example["expect_review"] = golden.expect_review
    return appending.appended(set_.texts[_file(mapping)], example)


def _require_passing(parts: Parts, set_: MappingSet, mapping: Mapping, golden: Golden, text: str) -> None:
    """What is about to be written is read again and run: it must be an example that holds."""
    again = document.parse({**set_.texts, _file(mapping): text})
    *others, new = again.mappings[mapping.name].examples
    twin = next((one.name for one in others if one.given == new.given), None)
    if twin is not None:
        raise Refused(f'this row is an example of {mapping.name} already: "{twin}"')
    results = examples.run(again, parts.legacy_schema, parts.target_schema)
    mine = next(one for one in results if (one.mapping, one.name) == (mapping.name, golden.name))
    if not mine.passed:
        raise Refused(f"the row cannot be said as an example; it would fail:\n{mine.diff}")


def _write(path: Path, before: str, text: str) -> None:
    """Replace the file at once, unless somebody has written to it meanwhile."""
    if path.read_bytes().decode("utf-8-sig") != before:
        raise Refused(f"{path} was changed meanwhile; try again")
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_text(text, encoding="utf-8")
        os.replace(new, path)
    except OSError as refused:
        raise Refused(f"{path} cannot be written: {refused.strerror}") from refused
