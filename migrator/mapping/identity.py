"""
Which records of several sources are one user: by the same id, a link table, the same verified e-mail address.

Pure: frames in, frames out. What is doubtful is left to a person, and says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

OWN, PERSON, DOUBTFUL, EXCLUDED = "own", "person", "doubtful", "excluded"
#: Why a record is doubtful.
UNVERIFIED, SEVERAL_USERS, CONTRADICTION, SEVERAL_RECORDS = (
    "unverified e-mail",
    "several users",
    "contradiction",
    "several records",
)
RECORDS = pl.Schema(
    [("source", pl.String()), ("record_key", pl.String()), ("user_key", pl.String()), ("rule", pl.String())]
)
DOUBTS = pl.Schema(
    [
        ("source", pl.String()),
        ("record_key", pl.String()),
        ("user_key", pl.String()),  # who the record is until somebody decides
        ("why", pl.String()),
        ("users", pl.List(pl.String())),  # who else it may be
    ]
)
DECISIONS = pl.Schema([("source", pl.String()), ("record_key", pl.String()), ("user_key", pl.String())])
_KNOWN = pl.Schema([*RECORDS.items(), ("mail", pl.String()), ("verified", pl.Boolean())])
_EVIDENCE = pl.Schema([("record", pl.String()), ("user", pl.String()), ("rank", pl.Int64()), ("trusted", pl.Boolean())])


@dataclass(frozen=True, slots=True, eq=False)
class Claims:
    """
    What one way says, in the order of trust: `pairs` of `record` (a key of ours) and `other` (a key of `of`).

    how: id · link · email (which has no pairs: the addresses themselves are compared).
    """

    how: str
    of: str = ""
    pairs: pl.DataFrame | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Silo:
    """
    The people of one source.

    `people`: `key`, `email`, `name`, `locale`, `excluded`, `verified`, one row per record. The first silo is that of the
    users themselves and claims nothing. `several`: one user may have several such records.
    """

    name: str
    people: pl.DataFrame
    claims: tuple[Claims, ...] = ()
    several: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Identity:
    """
    Who everybody is.

    `users`: `key`, `email`, `name`, `locale`, `excluded`, one row per user. `records`: whose each record is, by which
    rule, and whether that user is `excluded`; None where there is one source. `doubts`: the records that a person has to decide.
    """

    users: pl.DataFrame
    records: pl.DataFrame | None = None
    doubts: pl.DataFrame = field(default_factory=DOUBTS.to_frame)

    @property
    def in_doubt(self) -> frozenset[str]:
        """Who may turn out to be no user of his own."""
        return frozenset(self.doubts["user_key"])

    def figures(self) -> dict[str, dict[str, int]]:
        """Per source how many records there are, and how many by each rule."""
        if self.records is None:
            return {}
        counted: dict[str, dict[str, int]] = {}
        for source, rule, count in self.records.group_by("source", "rule", maintain_order=True).len().iter_rows():
            counted.setdefault(source, {"records": 0})[rule] = count
            counted[source]["records"] += count
        return counted


def decide(silos: Sequence[Silo], decisions: pl.DataFrame) -> Identity:
    """
    Say which user each record is; every record is exactly one user, or doubtful and for the time being one of its own.

    Args:
        silos: Those of the users first. Where two know different names or addresses, the earlier one counts.
        decisions: What people decided: `source`, `record_key`, and `user_key` or null for somebody else.

    Returns:
        The same whatever the order of rows. A record of nobody else is the user `NAME:KEY`; of the first silo, `KEY`.
    """
    known, doubts = _known(silos[0], _own(silos[0], prefix="")), [DOUBTS.to_frame()]
    for silo in silos[1:]:
        found, doubtful = _matched(silo, known, decisions.filter(pl.col("source") == silo.name))
        known = pl.concat([known, _known(silo, found)])
        doubts.append(doubtful)
    users = _users(silos, known)
    out = users.select(pl.col("key").alias("user_key"), "excluded")
    records = known.select(RECORDS.names()).join(out, on="user_key", how="left", maintain_order="left")
    return Identity(users, records, pl.concat(doubts))


def canonical(email: str) -> pl.Expr:
    """An e-mail address as it is compared."""
    mail = pl.col(email).str.strip_chars().str.to_lowercase()
    return pl.when(mail != "").then(mail)


def _own(silo: Silo, prefix: str) -> pl.DataFrame:
    """Every record as a user of its own."""
    rule = pl.when("excluded").then(pl.lit(EXCLUDED)).otherwise(pl.lit(OWN))
    return silo.people.sort("key").select(
        pl.lit(silo.name).alias("source"),
        pl.col("key").alias("record_key"),
        (pl.lit(prefix) + pl.col("key")).alias("user_key"),
        rule.alias("rule"),
    )


def _known(silo: Silo, found: pl.DataFrame) -> pl.DataFrame:
    told = silo.people.select(pl.col("key").alias("record_key"), canonical("email").alias("mail"), "verified")
    return found.join(told, on="record_key", how="left", maintain_order="left").select(_KNOWN.names())


def _matched(silo: Silo, known: pl.DataFrame, decisions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The records of *silo* as RECORDS, and those in doubt as DOUBTS."""
    own = _own(silo, f"{silo.name}:")
    evidence = _evidence(silo, known)
    sure, doubtful = _weighed(evidence, [claims.how for claims in silo.claims])
    person = _decided(decisions, known, own)
    sure = pl.concat([person, sure.join(person, on="record_key", how="anti", maintain_order="left")])
    if not silo.several:
        crowded = sure.filter(pl.col("user").is_duplicated() & (pl.col("rule") != PERSON))
        sure = sure.join(crowded, on="record_key", how="anti", maintain_order="left")
        several = crowded.select(
            "record_key", pl.lit(SEVERAL_RECORDS).alias("why"), pl.concat_list("user").alias("users")
        )
        doubtful = pl.concat([doubtful, several])
    doubtful = doubtful.join(person, on="record_key", how="anti", maintain_order="left")
    found = own.join(sure.rename({"rule": "__rule"}), on="record_key", how="left", maintain_order="left")
    found = found.join(doubtful.select("record_key", "why"), on="record_key", how="left", maintain_order="left")
    rule = pl.when(pl.col("why").is_not_null()).then(pl.lit(DOUBTFUL)).otherwise(pl.coalesce("__rule", "rule"))
    placed = found.select(
        "source", "record_key", pl.coalesce("user", "user_key").alias("user_key"), rule.alias("rule"), "why"
    )
    waiting = placed.filter(pl.col("why").is_not_null()).join(doubtful.drop("why"), on="record_key", how="left")
    return placed.select(RECORDS.names()), waiting.select(DOUBTS.names()).sort("record_key")


def _evidence(silo: Silo, known: pl.DataFrame) -> pl.DataFrame:
    """Every (record, user) that some way speaks for; not `trusted` where it is an address that may be another's."""
    some = silo.people.filter(~pl.col("excluded"))
    found = [_EVIDENCE.to_frame()]
    for rank, claims in enumerate(silo.claims):
        if claims.pairs is None:
            told = some.select(pl.col("key").alias("record"), canonical("email").alias("mail"), "verified")
            met = told.join(known.select("mail", "user_key", their="verified"), on="mail", how="inner")
            trusted = pl.col("verified") & pl.col("their")
        else:
            theirs = known.filter(pl.col("source") == claims.of).select("record_key", "user_key")
            mine = claims.pairs.join(some.select(pl.col("key").alias("record")), on="record", how="semi")
            met = mine.join(theirs, left_on="other", right_on="record_key", how="inner")
            trusted = pl.lit(True)
        found.append(
            met.select(
                "record",
                pl.col("user_key").alias("user"),
                pl.lit(rank, dtype=pl.Int64).alias("rank"),
                trusted.alias("trusted"),
            )
        )
    # an address that one record has verified and another has not is verified
    return (
        pl.concat(found).group_by("record", "user", "rank").agg(pl.col("trusted").any()).sort("record", "rank", "user")
    )


def _weighed(evidence: pl.DataFrame, ways: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(`record_key`, `user`, `rule`) of who is known for sure, (`record_key`, `why`, `users`) of who is not."""
    trusted = evidence.filter("trusted")
    first = pl.col("rank") == pl.col("rank").min()
    said = trusted.group_by("record", maintain_order=True).agg(
        pl.col("user").unique().sort().alias("users"),
        pl.col("user").filter(first).n_unique().alias("first"),
        pl.col("rank").min(),
    )
    one = pl.col("users").list.len() == 1
    names = pl.DataFrame({"rank": range(len(ways)), "rule": list(ways)}, schema={"rank": pl.Int64, "rule": pl.String})
    sure = said.filter(one).join(names, on="rank", how="left", maintain_order="left")
    why = pl.when(pl.col("first") > 1).then(pl.lit(SEVERAL_USERS)).otherwise(pl.lit(CONTRADICTION))
    split = said.filter(~one).select(pl.col("record").alias("record_key"), why.alias("why"), "users")
    guessed = evidence.join(said, on="record", how="anti").group_by("record", maintain_order=True)
    unsure = guessed.agg(pl.col("user").unique().sort().alias("users")).select(
        pl.col("record").alias("record_key"), pl.lit(UNVERIFIED).alias("why"), "users"
    )
    known = sure.select(pl.col("record").alias("record_key"), pl.col("users").list.first().alias("user"), "rule")
    return known, pl.concat([split, unsure])


def _decided(decisions: pl.DataFrame, known: pl.DataFrame, own: pl.DataFrame) -> pl.DataFrame:
    """(`record_key`, `user`, `rule`) of the decisions that still speak of somebody."""
    mine = own.filter(pl.col("rule") != EXCLUDED).select("record_key", "user_key")
    named = decisions.select("record_key", pl.col("user_key").alias("named")).join(mine, on="record_key", how="inner")
    there = pl.col("named").is_null() | pl.col("named").is_in(known["user_key"].implode())
    user = pl.coalesce("named", "user_key").alias("user")
    return named.filter(there).select("record_key", user, pl.lit(PERSON).alias("rule")).sort("record_key")


def _users(silos: Sequence[Silo], known: pl.DataFrame) -> pl.DataFrame:
    """One row per user, with what the first source that knows it says of him."""
    told = pl.concat(
        silo.people.select(
            pl.lit(silo.name).alias("source"), pl.col("key").alias("record_key"), "email", "name", "locale", "excluded"
        )
        for silo in silos
    )
    rows = known.select("source", "record_key", "user_key").join(
        told, on=["source", "record_key"], how="left", maintain_order="left"
    )
    facts = [pl.col(name).drop_nulls().first() for name in ("email", "name", "locale")]
    users = rows.group_by("user_key", maintain_order=True).agg(*facts, pl.col("excluded").any())
    return users.rename({"user_key": "key"})
