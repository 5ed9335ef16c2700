"""A first mapping set for the real Magento shop, judged by the mappings that people wrote for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from migrator.mapping.proposing.proposal import OPEN
from tests.flows.proposals import ENOUGH, Drafted, drafted

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module", params=["300", pytest.param("full", marks=pytest.mark.slow)])
def shop(
    request: pytest.FixtureRequest,
    real_data: Path,
    magento_legacy: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Drafted:
    new = tmp_path_factory.mktemp("magento") / "target.sqlite"
    with closing(sqlite3.connect(new)) as db:
        db.executescript((real_data / "magento1" / "new_schema.sqlite.sql").read_text())
    return drafted(magento_legacy(request.param), new)


def test_most_columns_find_their_source(shop: Drafted) -> None:
    assert shop.share("magento1") >= ENOUGH


def test_lint_names_only_what_a_person_must_decide(shop: Drafted) -> None:
    assert shop.errors <= OPEN


def test_attributes_are_found_by_the_names_in_their_rows(shop: Drafted) -> None:
    text = shop.proposal.texts["profiles.yaml"]

    assert "names: {from: attribute_id, table: eav_attribute, match: attribute_id, take: attribute_code}" in text
    assert "{from: attr.firstname, transform: [trim], sensitive: true}" in text
    assert "{from: attr.dob, transform: [date], sensitive: true}" in text
