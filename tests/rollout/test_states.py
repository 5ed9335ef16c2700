from __future__ import annotations

import pickle
import re
from itertools import pairwise, product
from pathlib import Path

import pytest

from migrator.errors import NotAllowed
from migrator.rollout import states

NOUNS = ("user", "wave", "batch", "case", "notice")
EVERY_PAIR = [
    (noun, status, event)
    for noun in NOUNS
    for status, event in product(states.STATUSES[noun], sorted({event for _, event in states.TABLES[noun]}))
]
STATUSES_OF_THE_DESIGN = {
    "user": "planned moving moved live settled held excluded failed rolling_back rolled_back erased",
    "wave": "draft approved running pausing paused held checking passed cancelling cancelled rolling_back rolled_back",
    "batch": "ready running done split failed",
    "case": "open resolved replayed",
    "notice": "queued claimed sent delivered bounced failed suppressed deferred expired cancelled unknown",
}


@pytest.mark.parametrize("noun, status, event", EVERY_PAIR)
def test_a_thing_follows_its_table_and_nothing_else(noun, status, event):
    allowed = states.TABLES[noun].get((status, event))

    if allowed is None:
        with pytest.raises(NotAllowed) as refused:
            states.step(noun, status, event, "7")
        possible = [one for one in states.events(noun, status) if one not in states.BY_ITSELF]
        assert list(refused.value.allowed) == possible or all(one.startswith("wait") for one in refused.value.allowed)
    else:
        assert states.step(noun, status.value, event, "7") is allowed


@pytest.mark.parametrize("noun", NOUNS)
def test_the_statuses_are_those_of_the_design(noun):
    assert [status.value for status in states.STATUSES[noun]] == STATUSES_OF_THE_DESIGN[noun].split()


@pytest.mark.parametrize("noun", NOUNS)
def test_every_status_can_be_reached_from_the_first(noun):
    first = next(iter(states.STATUSES[noun]))
    reached = {first}
    while True:
        more = {after for (before, _), after in states.TABLES[noun].items() if before in reached} - reached
        if not more:
            break
        reached |= more

    assert reached == set(states.STATUSES[noun])


@pytest.mark.parametrize(
    "noun, final",
    [
        ("user", {"erased"}),
        ("wave", set()),
        ("batch", {"done", "split"}),
        ("case", set()),
        ("notice", {"delivered", "bounced", "suppressed", "expired", "cancelled"}),
    ],
)
def test_only_these_are_final(noun, final):
    assert {status.value for status in states.STATUSES[noun] if not states.events(noun, status)} == final


def test_every_status_and_every_edge_carries_its_sentence():
    lines = Path(states.__file__).read_text().splitlines()
    members = re.compile(r'    [A-Z_]+ = "')
    edges = re.compile(r'    \(\w+\.[A-Z_]+, "')

    bare = [
        line
        for above, line in pairwise(lines)
        if (members.match(line) and not above.startswith("    #: "))
        or (edges.match(line) and not above.startswith("    # "))
    ]

    assert bare == []


def test_a_user_whom_a_batch_has_is_neither_erased_nor_planned_twice():
    for status in (states.User.MOVING, states.User.ROLLING_BACK):
        assert not {"erase", "claim", "retry", "replay"} & set(states.events("user", status))


def test_a_refusal_says_what_is_possible_now_and_survives_a_worker():
    with pytest.raises(NotAllowed) as refused:
        states.step("wave", "draft", "start", "W12")

    assert str(refused.value) == "cannot start wave W12: it is draft. Possible now: approve, cancel."
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)


@pytest.mark.parametrize(
    ("status", "possible"),
    [
        ("running", "pause, hold, cancel"),
        ("cancelling", "wait until it is cancelled"),
        ("rolling_back", "wait until it is rolled_back"),
    ],
)
def test_what_comes_about_by_itself_is_no_order_that_anybody_could_give(status: str, possible: str):
    with pytest.raises(NotAllowed, match=f"Possible now: {possible}[.]"):
        states.step("wave", status, "start", "W12")


def test_a_status_that_does_not_exist_is_an_error_and_not_a_refusal():
    with pytest.raises(ValueError, match="is not a valid Wave"):
        states.step("wave", "waiting", "start", "W12")


def test_the_diagram_draws_one_arrow_between_two_statuses():
    assert states.diagram("case").splitlines() == [
        "stateDiagram-v2",
        "    [*] --> open",
        "    open --> resolved: resolve",
        "    open --> replayed: lapse",
        "    resolved --> replayed: replay",
        "    resolved --> open: reopen",
        "    replayed --> open: reopen",
    ]
    assert "    held --> running: resume / retry" in states.diagram("wave").splitlines()
