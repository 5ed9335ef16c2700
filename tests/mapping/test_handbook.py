"""mappings/README.md says what the engine does: its table is made of the docstrings, and all its examples are run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from migrator.mapping import document, examples, handbook
from migrator.mapping.lint import lint
from migrator.mapping.problems import errors
from migrator.mapping.reading import mappings
from migrator.mapping.registry import TRANSFORMS
from tests.mapping.engine import CODE, PEOPLE, a_set

README = Path(__file__).resolve().parents[2] / "mappings" / "README.md"
TEXT = README.read_text("utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
COUNTRIES = "name,code\nEIRE,IE\n"


def with_table(text: str) -> str:
    """The text with the table as the docstrings say it now."""
    before, _, rest = text.partition(handbook.BEGIN)
    return f"{before}{handbook.BEGIN}\n{handbook.table()}\n{handbook.END}{rest.partition(handbook.END)[2]}"


def test_the_table_of_transforms_is_what_the_docstrings_say() -> None:
    assert with_table(TEXT) == TEXT, "write it again: python -m tests.mapping.test_handbook"


def test_every_transform_is_in_the_table_once() -> None:
    found = re.findall(r"^\| `(\w+)`[ *!]* \|", handbook.table(), re.MULTILINE)

    assert sorted(found) == sorted(TRANSFORMS)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_example_of_a_transform_is_what_it_does(name: str) -> None:
    step, given, made = handbook.example(TRANSFORMS[name])
    values = yaml.safe_load(given)
    columns = [f"c{place}" for place in range(len(values))] if isinstance(values, list) else ["c0"]
    parts = [yaml.safe_dump(value, default_flow_style=True, allow_unicode=True).split("\n")[0] for value in values] \
        if isinstance(values, list) else [given]  # fmt: skip
    rows = ", ".join(f"{column}: {part}" for column, part in zip(columns, parts, strict=True))
    meant = f"expect_review: [{{field: x, rule: {name}}}]" if made == "review" else f"expect: {{x: {made}}}"
    mapping = (
        "mapping: m\nsource: {table: person, key: id, user: id}\ntarget: {table: t, id: {uuid5: id}}\n"
        f"fields:\n  x: {{from: [{', '.join(columns)}], transform: [{step}]}}\n"
        f"examples:\n  - {{name: e, given: {{id: 1, {rows}}}, {meant}}}\n"
    )

    (result,) = examples.run(a_set(mapping, countries_csv=COUNTRIES, names_py=CODE), None, None)

    assert result.passed, result.diff


def test_the_first_example_of_the_readme_is_a_whole_set_whose_rows_come_out_as_written() -> None:
    set_ = document.parse({"set.yaml": BLOCKS[0], "accounts.yaml": BLOCKS[1], "orders.yaml": BLOCKS[2]})

    results = examples.run(set_, None, None)

    assert not errors(lint(set_, None, None))
    assert [result.diff for result in results if not result.passed] == []
    assert len(results) == 3


@pytest.mark.parametrize("block", BLOCKS[3:], ids=lambda block: block[:30].replace("\n", " "))
def test_every_other_piece_of_the_readme_is_read_without_a_mistake(block: str) -> None:
    if block.startswith("set:"):
        rest = "mapping: x\nsource: {table: $users, key: user, user: user}\ntarget: {table: t, id: {uuid5: user}}\nfields: {a: user}\n"
        document.parse({"set.yaml": block, "x.yaml": rest})
        return
    keys = re.findall(r"^(\w+):", block, re.MULTILINE)
    assert set(keys) <= set(mappings.KEYS)
    needed = {
        "source": "source: {table: person, key: id, user: id}\n",
        "target": "target: {table: t, id: {uuid5: id}}\n",
        "fields": "fields: {a: id}\n",
    }
    document.parse(
        {"set.yaml": PEOPLE, "x.yaml": "mapping: x\n" + "".join(needed[k] for k in needed if k not in keys) + block}
    )


def test_every_key_of_a_mapping_and_every_name_of_a_rule_is_explained() -> None:
    from migrator.mapping.reading import rules, sources, targets

    words = (*mappings.KEYS, *rules.SOURCES, *sources.UNNEST, *targets.ACTIONS, *targets.OPERATIONS, *targets.WAYS)
    for word in words:
        assert re.search(rf"\b{word}\b", TEXT), word


def test_links_within_the_readme_lead_somewhere() -> None:
    heads = {
        re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-")
        for head in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    }

    assert set(re.findall(r"\]\(#([\w-]+)\)", TEXT)) <= heads


if __name__ == "__main__":
    README.write_text(with_table(TEXT), "utf-8")
