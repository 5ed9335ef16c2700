"""No wave starts over a schema that is not the one that was approved; and there is a way on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from migrator.errors import MappingInvalid, Refused, SchemaChanged
from migrator.flows.checking import verify
from migrator.flows.drafting import schema_changes
from migrator.flows.parts import Parts
from migrator.flows.plans import planning
from migrator.flows.steering import waves
from migrator.mapping import document
from migrator.rollout.states import Wave
from migrator.store import plans
from tests.flows.bakery import Bakery


def anew(bakery: Bakery) -> Parts:
    """The parts of a process that is started now: it has looked at no schema before."""
    return replace(bakery.parts)


def add_a_column(bakery: Bakery) -> None:
    with bakery.legacy() as legacy:
        legacy.execute("alter table customer add column birthday date")


def said_where_it_is_ignored(bakery: Bakery) -> Parts:
    """The mappings with a word about the new column."""
    parts = anew(bakery)
    set_ = parts.load_set()
    texts = {
        name: text + "ignore: {birthday: the new shop asks again}\n" if "mapping: accounts" in text else text
        for name, text in set_.texts.items()
    }
    return replace(parts, load_set=lambda: document.parse(texts))


def test_a_column_that_came_after_approval_holds_the_wave_until_the_plan_is_revised(
    planned: Bakery, tmp_path: Path
) -> None:
    bakery = planned.copy(tmp_path / "b")
    add_a_column(bakery)

    with pytest.raises(
        SchemaChanged, match=r"(?s)wave whole is not started.*E801.*customer\.birthday was added.*plan revise"
    ):
        waves.start(anew(bakery), "whole")

    assert bakery.wave().status is Wave.APPROVED
    with pytest.raises(MappingInvalid, match="E202"):
        planning.revise(anew(bakery))
    parts = said_where_it_is_ignored(bakery)
    planning.revise(parts)
    planning.approve(parts)
    waves.start(parts, "whole")
    assert bakery.wave().status is Wave.RUNNING


def test_a_schema_that_changed_under_the_same_mappings_can_be_approved_anew(planned: Bakery, tmp_path: Path) -> None:
    bakery = planned.copy(tmp_path / "b")
    with bakery.legacy() as legacy:
        legacy.execute("alter table customer rename to customer_old")
        legacy.execute("create table customer (id integer primary key, email varchar(200) not null, name text, status integer not null, closed integer not null)")  # fmt: skip
        legacy.execute("insert into customer select * from customer_old")
        legacy.execute("drop table customer_old")
    with pytest.raises(SchemaChanged, match=r"customer\.email was text, and is text\(200\)"):
        waves.start(anew(bakery), "whole")

    planning.revise(anew(bakery))
    planning.approve(anew(bakery))

    waves.start(anew(bakery), "whole")
    assert bakery.wave().status is Wave.RUNNING


def test_a_table_that_nobody_uses_may_change(planned: Bakery, tmp_path: Path) -> None:
    bakery = planned.copy(tmp_path / "b")
    with bakery.target() as target:
        target.execute("alter table notes add column colour text")
    with bakery.legacy() as legacy:
        legacy.execute("create table flyer (id integer primary key)")

    waves.start(anew(bakery), "whole")

    assert bakery.wave().status is Wave.RUNNING


def test_without_any_change_there_is_nothing_to_revise(planned: Bakery, tmp_path: Path) -> None:
    bakery = planned.copy(tmp_path / "b")

    with pytest.raises(Refused, match="nothing to revise"):
        planning.revise(anew(bakery))


def test_verify_tells_a_schema_change_apart_from_differences_and_drift(planned: Bakery, tmp_path: Path) -> None:
    bakery = planned.copy(tmp_path / "b")
    bakery.run()
    add_a_column(bakery)
    parts = anew(bakery)

    found = verify.verify(parts, verify.scope(parts))

    assert found.schema_changes == [
        "legacy: customer.birthday was added (date), and nobody has said what becomes of it"
    ]
    assert (found.difference_count, found.drift_count) == (0, 0)


def test_a_plan_of_before_has_nothing_to_compare_with(planned: Bakery) -> None:
    with planned.parts.control.read() as db:
        plan = plans.require(db)

    assert schema_changes.found(planned.parts, replace(plan, schemas=None)) == []
    assert set(plan.schemas or {}) == {"legacy", "target"}


def test_a_plan_is_refused_when_a_column_left_behind_as_empty_is_not(tmp_path: Path) -> None:
    bakery = Bakery(tmp_path / "b")
    with bakery.legacy() as legacy:
        legacy.execute("alter table customer add column fax text")
        legacy.execute("update customer set fax = '1' where id = 3")
    parts = said_where_it_is_ignored(bakery)
    texts = dict(parts.load_set().texts)
    for name, text in texts.items():
        texts[name] = text.replace("birthday: the new shop asks again", "fax: {reason: never filled, expect: empty}")
    bakery.parts = replace(parts, load_set=lambda: document.parse(texts))

    with pytest.raises(MappingInvalid, match=r"(?s)E206.*customer\.fax has a value in 1 of 30"):
        bakery.plan()
