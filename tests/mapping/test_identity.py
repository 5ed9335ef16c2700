"""Who is who over several sources: every record is one user or doubtful, whatever the order of rows."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.mapping import identity
from migrator.mapping.identity import Claims, Identity, Silo

NOBODY_SAID = identity.DECISIONS.to_frame()


def people(*rows: dict[str, Any]) -> pl.DataFrame:
    """Records; what is not said is unknown, not excluded and not verified."""
    schema = {
        **dict.fromkeys(("key", "email", "name", "locale"), pl.String),
        **dict.fromkeys(("excluded", "verified"), pl.Boolean),
    }
    whole: list[dict[str, Any]] = [
        {"email": None, "name": None, "locale": None, "excluded": False, "verified": False, **row} for row in rows
    ]
    return pl.DataFrame(whole, schema=schema)


def pairs(*told: tuple[str, str]) -> pl.DataFrame:
    """(record, other)."""
    return pl.DataFrame(told, schema={"record": pl.String, "other": pl.String}, orient="row")


def said(*decisions: tuple[str, str, str | None]) -> pl.DataFrame:
    """What people decided: source, record, user or None."""
    return pl.DataFrame(decisions, schema=identity.DECISIONS, orient="row")


def a_shop(*rows: dict[str, Any]) -> Silo:
    return Silo("shop", people(*rows))


def whose(found: Identity, source: str = "crm") -> dict[str, tuple[str, str]]:
    """record -> (user, rule) of one source."""
    assert found.records is not None
    mine = found.records.filter(pl.col("source") == source)
    return {row["record_key"]: (row["user_key"], row["rule"]) for row in mine.iter_rows(named=True)}


def doubts(found: Identity) -> dict[str, tuple[str, list[str]]]:
    """record -> (why, who else it may be)."""
    return {row["record_key"]: (row["why"], row["users"]) for row in found.doubts.iter_rows(named=True)}


ANN, BOB = ({"key": key, "email": f"{key}@x.example", "verified": True} for key in ("ann", "bob"))


def test_a_record_that_nobody_else_knows_is_a_user_of_its_own() -> None:
    found = identity.decide([a_shop(ANN), Silo("crm", people({"key": "7"}))], NOBODY_SAID)

    assert whose(found) == {"7": ("crm:7", "own")}
    assert found.users["key"].to_list() == ["ann", "crm:7"]


def test_the_same_id_says_who_a_record_is() -> None:
    crm = Silo("crm", people({"key": "7"}, {"key": "8"}), (Claims("id", "shop", pairs(("7", "ann"), ("8", "nobody"))),))

    found = identity.decide([a_shop(ANN, BOB), crm], NOBODY_SAID)

    assert whose(found) == {"7": ("ann", "id"), "8": ("crm:8", "own")}


def test_a_link_to_a_record_of_another_source_leads_to_the_user_of_that_record() -> None:
    crm = Silo("crm", people({"key": "7"}), (Claims("id", "shop", pairs(("7", "bob"))),))
    news = Silo("news", people({"key": "1"}), (Claims("link", "crm", pairs(("1", "7"))),))

    found = identity.decide([a_shop(ANN, BOB), crm, news], NOBODY_SAID)

    assert whose(found, "news") == {"1": ("bob", "link")}


def test_an_address_that_is_verified_on_both_sides_says_who_a_record_is() -> None:
    crm = Silo("crm", people({"key": "7", "email": " ANN@X.example ", "verified": True}), (Claims("email"),))

    found = identity.decide([a_shop(ANN, BOB), crm], NOBODY_SAID)

    assert whose(found) == {"7": ("ann", "email")}


def test_an_address_that_is_not_verified_on_one_side_is_a_doubt() -> None:
    crm = Silo("crm", people({"key": "7", "email": "ann@x.example"}), (Claims("email"),))

    found = identity.decide([a_shop(ANN, BOB), crm], NOBODY_SAID)

    assert whose(found) == {"7": ("crm:7", "doubtful")}
    assert doubts(found) == {"7": ("unverified e-mail", ["ann"])}


def test_an_unverified_address_is_no_doubt_about_a_record_whose_id_is_known() -> None:
    crm = Silo(
        "crm",
        people({"key": "7", "email": "ann@x.example"}),
        (Claims("id", "shop", pairs(("7", "bob"))), Claims("email")),
    )

    assert whose(identity.decide([a_shop(ANN, BOB), crm], NOBODY_SAID)) == {"7": ("bob", "id")}


def test_an_address_that_two_users_verified_is_a_doubt_that_names_both() -> None:
    twin = {**ANN, "key": "ann2"}
    crm = Silo("crm", people({"key": "7", "email": "ann@x.example", "verified": True}), (Claims("email"),))

    found = identity.decide([a_shop(ANN, twin), crm], NOBODY_SAID)

    assert doubts(found) == {"7": ("several users", ["ann", "ann2"])}


def test_two_ways_that_contradict_each_other_are_a_doubt() -> None:
    crm = Silo(
        "crm",
        people({"key": "7", "email": "ann@x.example", "verified": True}),
        (Claims("id", "shop", pairs(("7", "bob"))), Claims("email")),
    )

    found = identity.decide([a_shop(ANN, BOB), crm], NOBODY_SAID)

    assert doubts(found) == {"7": ("contradiction", ["ann", "bob"])}


def test_several_records_of_one_source_for_one_user_are_a_doubt_unless_the_source_says_so() -> None:
    records = people({"key": "7"}, {"key": "8"})
    claims = (Claims("id", "shop", pairs(("7", "ann"), ("8", "ann"))),)

    one = identity.decide([a_shop(ANN), Silo("crm", records, claims)], NOBODY_SAID)
    many = identity.decide([a_shop(ANN), Silo("crm", records, claims, several=True)], NOBODY_SAID)

    assert doubts(one) == {"7": ("several records", ["ann"]), "8": ("several records", ["ann"])}
    assert whose(many) == {"7": ("ann", "id"), "8": ("ann", "id")}


def test_what_a_person_said_counts_more_than_any_way() -> None:
    crm = Silo(
        "crm",
        people({"key": "7", "email": "ann@x.example"}, {"key": "8", "email": "bob@x.example"}),
        (Claims("email"),),
    )

    found = identity.decide([a_shop(ANN, BOB), crm], said(("crm", "7", "ann"), ("crm", "8", None)))

    assert whose(found) == {"7": ("ann", "person"), "8": ("crm:8", "person")}
    assert doubts(found) == {}


def test_a_decision_for_somebody_who_is_gone_is_no_decision() -> None:
    crm = Silo("crm", people({"key": "7", "email": "ann@x.example"}), (Claims("email"),))

    found = identity.decide([a_shop(ANN), crm], said(("crm", "7", "zoe")))

    assert whose(found) == {"7": ("crm:7", "doubtful")}


def test_a_record_that_does_not_count_is_excluded_and_an_excluded_user_keeps_his_records() -> None:
    gone = {**ANN, "excluded": True}
    crm = Silo(
        "crm",
        people({"key": "7", "excluded": True}, {"key": "8"}),
        (Claims("id", "shop", pairs(("7", "bob"), ("8", "ann"))),),
    )

    found = identity.decide([a_shop(gone, BOB), crm], NOBODY_SAID)

    assert whose(found) == {"7": ("crm:7", "excluded"), "8": ("ann", "id")}
    assert dict(found.users.select("key", "excluded").iter_rows()) == {"ann": True, "bob": False, "crm:7": True}


def test_what_the_first_source_knows_of_a_user_counts() -> None:
    crm = Silo(
        "crm",
        people({"key": "7", "email": "work@x.example", "name": "Ann A.", "locale": "de"}),
        (Claims("id", "shop", pairs(("7", "ann"))),),
    )

    found = identity.decide([a_shop(ANN), crm], NOBODY_SAID)

    assert found.users.row(0, named=True) == {
        "key": "ann", "email": "ann@x.example", "name": "Ann A.", "locale": "de", "excluded": False,
    }  # fmt: skip


# ---- against a plain reference, over everything ---------------------------------------------------------------------

KEYS = [f"k{n}" for n in range(6)]
MAILS = [None, "", "a@x", " A@X ", "b@x", "c@x"]
WAYS = (("id", "shop"), ("link", "crm"), ("email", ""))


@dataclass(frozen=True)
class World:
    """Three sources, and what people said."""

    silos: list[Silo]
    decisions: pl.DataFrame


def some_people() -> st.SearchStrategy[pl.DataFrame]:
    one = st.fixed_dictionaries(
        {"key": st.sampled_from(KEYS), "email": st.sampled_from(MAILS), "verified": st.booleans(),
         "excluded": st.sampled_from([False, False, False, True])}
    )  # fmt: skip
    return st.lists(one, unique_by=lambda row: row["key"], max_size=len(KEYS)).map(lambda rows: people(*rows))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    silos = [Silo("shop", draw(some_people()))]
    for name in ("crm", "news"):
        claims = []
        for how, of in WAYS:
            if of == name or not draw(st.booleans()):
                continue
            told = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(KEYS)), max_size=5, unique=True)
            fits = of in [silo.name for silo in silos]
            claims.append(Claims(how, of, pairs(*draw(told))) if fits else Claims("email"))
        silos.append(Silo(name, draw(some_people()), tuple(claims), draw(st.booleans())))
    users = st.sampled_from([None, *KEYS, *(f"crm:{key}" for key in KEYS)])
    told = st.tuples(st.sampled_from(["crm", "news"]), st.sampled_from(KEYS), users)
    return World(silos, said(*draw(st.lists(told, max_size=3, unique_by=lambda one: one[:2]))))


@settings(max_examples=40)
@given(worlds())
def test_every_record_is_exactly_one_user_or_doubtful(world: World) -> None:
    found = identity.decide(world.silos, world.decisions)

    assert found.records is not None
    records = found.records.select("source", "record_key").rows()
    assert Counter(records) == Counter((silo.name, key) for silo in world.silos for key in silo.people["key"])
    assert sorted(found.users["key"]) == sorted(set(found.records["user_key"]))
    doubtful = found.records.filter(pl.col("rule") == "doubtful").select("source", "record_key").rows()
    assert sorted(doubtful) == sorted(found.doubts.select("source", "record_key").rows())
    everybody = set(found.users["key"])
    for doubt in found.doubts.iter_rows(named=True):
        assert doubt["user_key"] == f"{doubt['source']}:{doubt['record_key']}"
        assert doubt["users"] and set(doubt["users"]) <= everybody - {doubt["user_key"]}


@settings(max_examples=40)
@given(worlds())
def test_the_figures_of_a_source_add_up_to_its_records(world: World) -> None:
    figures = identity.decide(world.silos, world.decisions).figures()

    for silo in world.silos:
        told = figures.get(silo.name, {"records": 0})
        assert told["records"] == silo.people.height == sum(told.values()) - told["records"]


@settings(max_examples=40)
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_rows_means_nothing(world: World, chance: random.Random) -> None:
    def shuffled(frame: pl.DataFrame) -> pl.DataFrame:
        return frame[chance.sample(range(frame.height), frame.height)]

    silos = [
        Silo(
            silo.name,
            shuffled(silo.people),
            tuple(Claims(c.how, c.of, None if c.pairs is None else shuffled(c.pairs)) for c in silo.claims),
            silo.several,
        )
        for silo in world.silos
    ]

    one, other = identity.decide(world.silos, world.decisions), identity.decide(silos, shuffled(world.decisions))

    assert one.records is not None and other.records is not None
    assert one.records.equals(other.records)
    assert one.users.equals(other.users)
    assert one.doubts.equals(other.doubts)


@settings(max_examples=40)
@given(worlds())
def test_who_is_who_is_what_a_plain_reading_of_the_rules_says(world: World) -> None:
    found = identity.decide(world.silos, world.decisions)

    assert found.records is not None
    told = {(r["source"], r["record_key"]): (r["user_key"], r["rule"]) for r in found.records.iter_rows(named=True)}
    assert told == plainly(world.silos, world.decisions.rows())


def plainly(silos: Sequence[Silo], decisions: Sequence[tuple[Any, ...]]) -> dict[tuple[str, str], tuple[str, str]]:
    """The rules once more, record by record."""
    known: dict[tuple[str, str], tuple[str, str]] = {}
    mails: list[tuple[str, bool, str]] = []  # address, verified, user
    for place, silo in enumerate(silos):
        rows = {row["key"]: row for row in silo.people.iter_rows(named=True)}
        found: dict[str, tuple[str, str]] = {}
        for key, row in rows.items():
            own = key if place == 0 else f"{silo.name}:{key}"
            mail = (row["email"] or "").strip().lower()
            if row["excluded"]:
                found[key] = (own, "excluded")
                continue
            named = [user for source, record, user in decisions if (source, record) == (silo.name, key)]
            if place and named and (named[0] is None or named[0] in {user for user, _ in known.values()}):
                found[key] = (named[0] or own, "person")
                continue
            sure: list[tuple[str, str]] = []
            unsure = False
            for claims in silo.claims:
                if claims.pairs is None:
                    met = [(user, ok) for other, ok, user in mails if mail and other == mail]
                    sure += [("email", user) for user, ok in met if ok and row["verified"]]
                    unsure = unsure or bool(met)
                else:
                    theirs = [other for record, other in claims.pairs.rows() if record == key]
                    sure += [
                        (claims.how, known[claims.of, other][0]) for other in theirs if (claims.of, other) in known
                    ]
            users = {user for _, user in sure}
            if len(users) == 1:
                found[key] = (users.pop(), sure[0][0])
            else:
                found[key] = (own, "doubtful" if users or unsure else "own")
        if place and not silo.several:
            count = Counter(user for user, rule in found.values() if rule in ("id", "link", "email", "person"))
            for key, (user, rule) in list(found.items()):
                if rule in ("id", "link", "email") and count[user] > 1:
                    found[key] = (f"{silo.name}:{key}", "doubtful")
        known |= {(silo.name, key): told for key, told in found.items()}
        mails += [
            ((rows[key]["email"] or "").strip().lower(), rows[key]["verified"], user)
            for key, (user, _) in found.items()
        ]
    return known
