"""A set that can be read is held against both schemas; each mistake has its code and stands under the right word."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.errors import MappingInvalid
from migrator.mapping import document, problems
from migrator.mapping.lint import lint
from migrator.mapping.problems import Problem
from migrator.mapping.schema import Column, ForeignKey, Kind, Schema, Table

MAGENTO = Path(__file__).parents[2] / "mappings" / "magento1"

TEXTS = {
    "set.yaml": """\
set: shop
users: {table: t_user, key: user_id, email: mail}
activity:
  - {table: t_order, user: user_id, at: ordered}
tables:
  t_cache: {reason: can be computed again}
""",
    "accounts.yaml": """\
mapping: accounts
source:
  table: t_user
  key: user_id
  user: user_id
  join:
    meta: {table: t_meta, match: {user_id: user_id}, pivot: {names: name, values: value}}
    logins: {table: t_login, match: {user_id: user_id}, many: {order: login_id}}
target:
  table: accounts
  id: {uuid5: user_id}
vars:
  first: {from: logins.at, aggregate: min}
fields:
  name: {from: nick, transform: [trim], required: true}
  email: {from: mail, transform: [email], required: true, sensitive: true}
  tier: {from: level, transform: [{map: {0: basic, 1: gold}}], default: basic}
  joined: {from: [born, $first], transform: [coalesce, {datetime: {timezone: UTC}}]}
ignore:
  bak1: nobody knows what it was
  logins.ip: not kept
examples:
  - name: plain
    given: {user_id: 7, nick: ann, mail: ann@example.com, level: 1, meta: {theme: dark}, logins: [{at: '2020-01-01 00:00:00'}]}
    expect: {name: ann, tier: gold}
  - name: a beginner
    given: {user_id: 8, nick: bob, mail: bob@example.com, level: 0}
    expect: {tier: basic}
""",
    "orders.yaml": """\
mapping: orders
source:
  table: t_order
  key: order_id
  user: user_id
  without_user: {leave: orders of guests stay}
target:
  table: orders
  id: {uuid5: order_id}
fields:
  account_id: {lookup: accounts, by: user_id, required: true}
  total: {from: total, transform: [decimal], required: true}
  at: {from: ordered, transform: [{datetime: {timezone: UTC}}]}
checks:
  sums: {total: total}
""",
    "lines.yaml": """\
mapping: lines
source:
  table: t_line
  key: line_id
  user: {through: t_order, on: order_id, take: user_id}
target:
  table: lines
  id: {uuid5: line_id}
fields:
  order_id: {lookup: orders, by: order_id, required: true}
  count: {from: num, default: 1}
""",
}


def table(name: str, *columns: Column, key: str = "", uniques: tuple[str, ...] = (), points: str = "") -> Table:
    """A table; `points` names another that one foreign key points at."""
    keys = (ForeignKey((columns[0].name,), points, ("id",)),) if points else ()
    indexes = tuple((column.name,) for column in columns if column.name.endswith("_id"))
    return Table(name, {c.name: c for c in columns}, (key,) if key else (), tuple((u,) for u in uniques), keys, indexes)


def integer(name: str) -> Column:
    return Column(name, Kind.INTEGER, nullable=False)


def text(name: str, *, nullable: bool = True) -> Column:
    return Column(name, Kind.TEXT, nullable=nullable)


def legacy(*more: Table) -> Schema:
    tables = (
        table(
            "t_user",
            integer("user_id"),
            text("nick"),
            text("mail"),
            Column("level", Kind.INTEGER),
            Column("born", Kind.DATETIME),
            text("bak1"),
            key="user_id",
        ),
        table("t_meta", integer("meta_id"), integer("user_id"), text("name"), text("value"), key="meta_id"),
        table(
            "t_login", integer("login_id"), integer("user_id"), Column("at", Kind.DATETIME), text("ip"), key="login_id"
        ),
        table(
            "t_order",
            integer("order_id"),
            Column("user_id", Kind.INTEGER),
            Column("total", Kind.DECIMAL),
            Column("ordered", Kind.DATETIME),
            key="order_id",
        ),
        table("t_line", integer("line_id"), integer("order_id"), Column("num", Kind.INTEGER), key="line_id"),
        table("t_cache", integer("id")),
        *more,
    )
    return Schema("mysql", {one.name: one for one in tables})


def target(*more: Table) -> Schema:
    identity = Column("id", Kind.UUID, nullable=False)
    tables = (
        table(
            "accounts",
            identity,
            text("name", nullable=False),
            text("email", nullable=False),
            Column("tier", Kind.ENUM, nullable=False, values=("basic", "silver", "gold")),
            Column("joined", Kind.TIMESTAMP),
            Column("label", Kind.TEXT, generated=True),
            key="id",
            uniques=("email",),
        ),
        table(
            "orders",
            identity,
            Column("account_id", Kind.UUID, nullable=False),
            Column("total", Kind.DECIMAL, nullable=False),
            Column("at", Kind.TIMESTAMP),
            key="id",
        ),
        table(
            "lines", identity, Column("order_id", Kind.UUID, nullable=False), Column("count", Kind.INTEGER), key="id"
        ),
        *more,
    )
    return Schema("postgresql", {one.name: one for one in tables})


def changed(file: str, old: str, new: str) -> dict[str, str]:
    """The texts of the sound set with one thing changed."""
    assert TEXTS[file].count(old) == 1, f"{old!r} must stand once in {file}"
    return TEXTS | {file: TEXTS[file].replace(old, new)}


def found(texts: dict[str, str], old: Schema | None = None, new: Schema | None = None) -> list[Problem]:
    return lint(document.parse(texts), old or legacy(), new or target())


def only(texts: dict[str, str], old: Schema | None = None, new: Schema | None = None) -> tuple[str, str, str]:
    """The code of the one problem there is, the text under its carets, and what it says with its help."""
    (problem,) = found(texts, old, new)
    return problem.code, under(problem, texts), f"{problem.text}; {problem.help}"


def of(texts: dict[str, str], code: str) -> list[str]:
    """The words under which *code* is noted."""
    return [under(problem, texts) for problem in found(texts) if problem.code == code]


def under(problem: Problem, texts: dict[str, str]) -> str:
    """What stands over the carets."""
    line = texts[problem.place.file].splitlines()[problem.place.line - 1]
    return line[problem.place.column - 1 :][: problem.place.length]


def codes(texts: dict[str, str]) -> set[str]:
    return {problem.code for problem in found(texts)}


def test_a_sound_set_has_no_problems() -> None:
    assert found(TEXTS) == []


def test_the_magento_set_has_no_mistakes_of_its_own() -> None:
    assert lint(document.load(MAGENTO), None, None) == []


# ---- legacy columns ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "old", "new", "word"),
    [
        ("accounts.yaml", "from: nick", "from: nik", "nik"),
        ("accounts.yaml", "key: user_id\n", "key: user_idd\n", "user_idd"),
        ("accounts.yaml", "from: logins.at", "from: logins.att", "logins.att"),
        ("accounts.yaml", "from: logins.at", "from: login.at", "login.at"),
        ("accounts.yaml", "$first]", "$frist]", "$frist"),
        ("accounts.yaml", "{order: login_id}", "{order: logn_id}", "logn_id"),
        ("accounts.yaml", "names: name", "names: nam", "nam"),
        ("accounts.yaml", "id: {uuid5: user_id}", "id: {uuid5: usr_id}", "usr_id"),
        ("orders.yaml", "sums: {total: total}", "sums: {total: totl}", "totl"),
        ("orders.yaml", "user: user_id", "user: user_id\n  where: {totale: {gt: 0}}", "totale"),
        ("lines.yaml", "take: user_id", "take: usr_id", "usr_id"),
        ("set.yaml", "at: ordered", "at: orderd", "orderd"),
        ("set.yaml", "email: mail", "email: mial", "mial"),
        ("set.yaml", "{table: t_order,", "{table: t_ordr,", "t_ordr"),
    ],
)
def test_a_column_that_is_not_there_is_told_under_its_name(file: str, old: str, new: str, word: str) -> None:
    assert word in of(changed(file, old, new), "E201")


def test_a_misspelt_column_is_told_with_the_near_one() -> None:
    texts = changed("orders.yaml", "from: ordered", "from: orderd")
    problem = next(problem for problem in found(texts) if problem.code == "E201")

    assert problems.render([problem], texts) == (
        "orders.yaml:13:14  error E201 unknown-source-column\n"
        "    13 |   at: {from: orderd, transform: [{datetime: {timezone: UTC}}]}\n"
        '       |              ^^^^^^ t_order has no column "orderd"\n'
        '  help: did you mean "ordered"?'
    )


def test_the_plan_has_only_an_id_and_a_date() -> None:
    def said(name: str) -> list[str]:
        return of(changed("lines.yaml", "{from: num,", f"{{from: [num, {name}], transform: [coalesce],"), "E201")

    assert said("$plan.name") == ["$plan.name"]
    assert said("$plan.id") == said("$plan.as_of") == []


def test_names_that_stand_in_rows_are_not_asked_of_the_schema() -> None:
    texts = changed("accounts.yaml", "from: nick", "from: [nick, meta.first_name]")
    texts["accounts.yaml"] = texts["accounts.yaml"].replace("transform: [trim]", "transform: [coalesce, trim]")

    assert found(texts) == []


def test_many_rows_need_an_aggregate_or_a_collect() -> None:
    code, word, said = only(changed("accounts.yaml", "[born, $first]", "[born, $first, logins.at]"))

    assert (code, word) == ("E112", "logins.at")
    assert "aggregate" in said


def test_an_aggregate_of_one_value_is_a_mistake() -> None:
    code, word, _ = only(changed("orders.yaml", "{from: total,", "{from: total, aggregate: sum,"))

    assert (code, word) == ("E112", "total")


# ---- coverage ---------------------------------------------------------------------------------------------------


def test_a_column_that_is_neither_mapped_nor_ignored_is_told_with_the_block_to_paste() -> None:
    texts = changed("accounts.yaml", "  bak1: nobody knows what it was\n", "")
    (problem,) = found(texts)

    assert problems.render([problem], texts) == (
        "accounts.yaml:3:10  error E202 source-column-not-covered\n"
        "     3 |   table: t_user\n"
        "       |          ^^^^^^ 1 column(s) of t_user are neither mapped nor ignored: bak1\n"
        "  help: paste and give a reason:\n"
        "        ignore:\n"
        "          bak1: ???"
    )


def test_columns_of_a_joined_table_are_asked_for_under_the_name_of_the_join() -> None:
    code, _, said = only(changed("accounts.yaml", "  logins.ip: not kept\n", ""))

    assert code == "E202"
    assert "logins.ip: ???" in said


def test_a_column_counts_as_covered_when_any_mapping_reads_it() -> None:
    texts = changed("accounts.yaml", "  bak1: nobody knows what it was\n", "")
    extra = TEXTS["orders.yaml"].replace("mapping: orders", "mapping: others").replace("t_order\n", "t_user\n")
    extra = extra.replace("order_id", "user_id").replace("from: total", "from: level").replace("ordered", "born")
    extra = extra.replace("sums: {total: total}", "sums: {total: level}")
    extra = extra.replace("{lookup: accounts, by: user_id, required: true}", "{from: bak1, required: true}")

    assert "E202" in codes(texts)
    assert "E202" not in codes(texts | {"others.yaml": extra})


@pytest.mark.parametrize(("pattern", "covers"), [("'bak*'", True), ("'*'", True), ("'*z*'", False), ("'bak'", False)])
def test_an_ignore_may_be_a_pattern_with_stars(pattern: str, covers: bool) -> None:
    texts = changed("accounts.yaml", "  bak1: nobody", f"  {pattern}: nobody")

    assert ("E202" not in codes(texts)) is covers
    assert ("E203" not in codes(texts)) is covers


def test_a_pattern_without_a_join_does_not_reach_into_joins() -> None:
    texts = changed(
        "accounts.yaml", "  bak1: nobody knows what it was\n  logins.ip: not kept\n", "  '*': nobody knows\n"
    )

    assert codes(texts) == {"E202"}


def test_a_reason_for_a_column_that_is_gone_is_stale() -> None:
    texts = changed("accounts.yaml", "  bak1: nobody", "  bak2: gone\n  bak1: nobody")

    assert only(texts)[:2] == ("E203", "bak2")


def test_a_legacy_table_that_nobody_reads_or_names_is_told_with_the_block_to_paste() -> None:
    code, word, said = only(TEXTS, old=legacy(table("t_secret", integer("id"))))

    assert (code, word) == ("E207", "shop")
    assert "tables:\n  t_secret: ???" in said


def test_a_reason_for_a_table_that_is_gone_is_stale() -> None:
    assert only(changed("set.yaml", "  t_cache:", "  t_gone: gone\n  t_cache:"))[:2] == ("E203", "t_gone")


def test_coverage_is_left_out_on_demand() -> None:
    texts = changed("accounts.yaml", "  bak1: nobody knows what it was\n", "")

    assert lint(document.parse(texts), legacy(), target(), covering=False) == []


# ---- target columns ---------------------------------------------------------------------------------------------


def test_a_target_column_that_is_not_there_is_told_with_the_near_one() -> None:
    texts = changed("lines.yaml", "count:", "counts:")

    assert of(texts, "E301") == ["counts"]
    assert 'did you mean "count"?' in [problem.help for problem in found(texts)]


def test_a_sum_is_of_a_column_that_this_mapping_sets() -> None:
    assert only(changed("orders.yaml", "sums: {total: total}", "sums: {totale: total}"))[1] == "totale"


@pytest.mark.parametrize(
    ("lookup", "word"),
    [
        ("{table: product, match: {old: num}, take: id}", "product"),
        ("{table: products, match: {od: num}, take: id}", "od"),
        ("{table: products, match: {old: num}, take: ids}", "ids"),
    ],
)
def test_a_reference_table_and_its_columns_are_there(lookup: str, word: str) -> None:
    texts = changed("lines.yaml", "{from: num, default: 1}", f"{{lookup: {lookup}}}")
    products = table("products", integer("id"), integer("old"))
    told = [problem for problem in found(texts, new=target(products)) if problem.code == "E301"]

    assert [under(problem, texts) for problem in told] == [word]


def test_a_target_table_that_is_not_there_is_told() -> None:
    code, word, said = only(changed("lines.yaml", "table: lines", "table: line"))

    assert (code, word) == ("E301", "line")
    assert 'did you mean "lines"?' in said


def test_a_column_that_may_not_be_null_and_is_not_set_is_told_with_the_block_to_paste() -> None:
    code, word, said = only(
        changed("orders.yaml", "  account_id: {lookup: accounts, by: user_id, required: true}\n", "")
    )

    assert (code, word) == ("E302", "orders")
    assert "account_id: {from: ???, required: true}" in said


def test_a_column_set_by_the_id_and_by_a_field_is_set_twice() -> None:
    assert only(changed("lines.yaml", "  count:", "  id: {from: line_id, transform: [{uuid5: x}]}\n  count:"))[:2] == (
        "E303",
        "id",
    )


def test_a_generated_column_cannot_be_set() -> None:
    assert only(changed("accounts.yaml", "  name: {", "  label: {value: x}\n  name: {"))[:2] == ("E304", "label")


def test_an_id_needs_a_column() -> None:
    lines = table("lines", Column("order_id", Kind.UUID, nullable=False), Column("count", Kind.INTEGER))

    assert only(TEXTS, new=target(lines))[0] == "E305"


def test_the_column_of_an_id_is_there() -> None:
    texts = changed("lines.yaml", "id: {uuid5: line_id}", "id: {uuid5: line_id, as: uid}")

    assert of(texts, "E301") == ["uid"]


def test_an_id_made_of_fields_needs_those_fields_and_such_a_key() -> None:
    texts = changed("lines.yaml", "id: {uuid5: line_id}", "id: {fields: [order_id, position]}")
    said = [problem.text for problem in found(texts) if problem.code == "E305"]

    assert any('no field sets "position"' in text for text in said)
    assert any("has no key of (order_id, position)" in text for text in said)


@pytest.mark.parametrize("name", ["a.b", "__row"])
def test_a_column_that_cannot_be_named_is_for_a_view(name: str) -> None:
    known = legacy()
    known.tables["t_user"].columns[name] = Column(name, Kind.TEXT)
    texts = changed("accounts.yaml", "name: {from: nick,", f"name: {{from: {name},")

    told = [problem for problem in found(texts, old=known) if problem.code == "E215"]

    assert [under(problem, texts) for problem in told] == [name]
    assert told[0].text.startswith(f'"{name}"')
    assert "view" in told[0].help


def test_a_column_that_is_called_like_one_of_ours_cannot_be_written() -> None:
    new = target()
    new.tables["accounts"].columns["__user"] = Column("__user", Kind.TEXT)
    texts = changed("accounts.yaml", "  name: {from: nick", "  __user: {from: nick}\n  name: {from: nick")

    assert [under(problem, texts) for problem in found(texts, new=new) if problem.code == "E215"] == ["__user"]


def test_a_table_whose_rows_we_could_not_tell_from_ours_is_not_written() -> None:
    new = target()
    new.tables["accounts"].columns["__key"] = Column("__key", Kind.TEXT)

    assert [under(one, TEXTS) for one in found(TEXTS, new=new) if one.code == "E215"] == ["accounts"]


def test_a_nullable_column_that_nobody_sets_is_a_warning() -> None:
    code, word, said = only(changed("lines.yaml", "  count: {from: num, default: 1}\n", "ignore: {num: not wanted}\n"))

    assert (code, word) == ("W306", "lines")
    assert " count " in said


# ---- types ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["{from: ordered}", "{from: total}", "{choose: [{else: {from: total}}]}"])
def test_an_instant_needs_a_step_that_makes_one(field: str) -> None:
    texts = changed("orders.yaml", "{from: ordered, transform: [{datetime: {timezone: UTC}}]}", field)
    (problem,) = (problem for problem in found(texts) if problem.code == "E402")

    assert "takes a" in problem.text


def test_a_value_that_may_be_null_needs_required_or_a_default_where_null_is_not_allowed() -> None:
    code, word, _ = only(changed("accounts.yaml", "transform: [trim], required: true", "transform: [trim]"))

    assert (code, word) == ("W403", "name")


def test_null_on_error_where_null_is_not_allowed_is_a_warning() -> None:
    texts = changed("accounts.yaml", "[trim], required: true", "[trim], on_error: {use: null}")

    assert only(texts)[:2] == ("W603", "name")


def test_both_sides_of_a_declared_sum_are_in_one_unit() -> None:
    code, word, said = only(changed("orders.yaml", "transform: [decimal]", "transform: [decimal, {divide: 100}]"))

    assert (code, word) == ("W605", "total")
    assert "`divide`" in said


def test_a_map_gives_only_what_the_target_takes() -> None:
    code, word, said = only(changed("accounts.yaml", "1: gold", "1: golden"))

    assert (code, word) == ("E405", "map")
    assert 'did you mean "gold"?' in said


def test_a_default_is_one_of_the_values_that_the_target_takes() -> None:
    assert only(changed("accounts.yaml", "default: basic", "default: none"))[:2] == ("E405", "tier")


# ---- lookups ----------------------------------------------------------------------------------------------------


def test_a_lookup_goes_to_a_mapping_that_there_is() -> None:
    code, word, said = only(changed("lines.yaml", "lookup: orders", "lookup: order"))

    assert (code, word) == ("E501", "order")
    assert 'did you mean "orders"?' in said


def test_rows_whose_key_is_made_of_fields_are_no_parents() -> None:
    texts = changed("orders.yaml", "id: {uuid5: order_id}", "id: {fields: [account_id]}")

    assert of(texts, "E501") == ["orders"]


def test_mappings_that_wait_for_each_other_are_a_circle() -> None:
    texts = changed("orders.yaml", "  total: {", "  line_id: {lookup: lines, by: order_id}\n  total: {")
    (problem,) = (problem for problem in found(texts) if problem.code == "E502")

    assert problem.text in (
        "these mappings wait for each other: lines -> orders -> lines",
        "these mappings wait for each other: orders -> lines -> orders",
    )


def test_values_that_are_made_of_each_other_are_a_circle() -> None:
    texts = changed("accounts.yaml", "{from: logins.at, aggregate: min}", "{from: $joined}")

    assert of(texts, "E502") in (["first"], ["joined"])


def test_a_key_of_two_columns_is_not_found_by_one() -> None:
    texts = changed("orders.yaml", "id: {uuid5: order_id}", "id: {uuid5: [order_id, user_id]}")

    assert of(texts, "E503") == ["orders"]


def test_a_number_is_not_looked_up_by_a_time() -> None:
    texts = changed("orders.yaml", "id: {uuid5: order_id}", "id: {uuid5: ordered}")

    assert of(texts, "E503") == ["orders"]


@pytest.mark.parametrize(("by", "right"), [("user_id", True), ("order_id", False), ("$who", True), ("$other", False)])
def test_the_row_of_a_user_is_found_only_by_the_user_of_the_row(by: str, right: bool) -> None:
    texts = changed("orders.yaml", "lookup: accounts, by: user_id", f"lookup: accounts, by: {by}")
    texts["orders.yaml"] = texts["orders.yaml"].replace("fields:\n", "vars: {who: user_id, other: order_id}\nfields:\n")

    assert ("E507" not in codes(texts)) is right


def test_rows_are_merged_only_within_one_user() -> None:
    merge = "merge_duplicates: {match: [$at], keep: {oldest: order_id}}\nchecks:"
    assert codes(changed("orders.yaml", "checks:", merge)) == {"E508"}
    assert codes(changed("orders.yaml", "checks:", merge.replace("$at", "$account_id, $at"))) == set()


def test_users_are_merged_by_the_mapping_of_their_own_rows() -> None:
    texts = changed("accounts.yaml", "ignore:", "merge_duplicates: {match: [$email], keep: {oldest: born}}\nignore:")

    assert {code for code in codes(texts) if code.startswith("E")} == set()


# ---- rows that are there already ---------------------------------------------------------------------------------


def _conflict(rule: str, id_: str = "uuid5: user_id") -> dict[str, str]:
    return changed("accounts.yaml", "id: {uuid5: user_id}", f"id: {{{id_}}}\n  on_conflict: {rule}")


@pytest.mark.parametrize(
    ("rule", "codes_"),
    [
        ("{match: [id], action: update}", set()),
        (
            "{match: [email], action: fill_nulls, leave: {name: {email: root@x.org}, '*': {id: {is_null: false}}}}",
            set(),
        ),
        ("{match: [nobody], action: update}", {"E301"}),
        ("{match: [email], action: update, leave: [nobody]}", {"E301"}),
        ("{match: [email], action: update, leave: {name: {nobody: 1}}}", {"E301"}),
        ("{match: [email], action: update_if_newer, newer: nobody}", {"E301"}),
        ("{match: [hidden], action: update}", {"E307"}),
        ("{match: [email], action: update, leave: [hidden]}", {"E307"}),
    ],
)
def test_what_is_said_about_rows_that_are_there_names_columns_that_are_set(rule: str, codes_: set[str]) -> None:
    schema = target()
    table = schema.tables["accounts"]
    columns = {**table.columns, "hidden": Column("hidden", Kind.TEXT, has_default=True)}
    schema.tables["accounts"] = replace(table, columns=columns)

    problems = {problem.code for problem in found(_conflict(rule), new=schema)}

    assert problems & {"E301", "E305", "E307", "W604"} == codes_


@pytest.mark.parametrize("made", [{"view": True}, {"transactional": False}])
def test_rows_are_only_written_where_they_can_be_taken_back(made: dict[str, bool]) -> None:
    schema = target()
    schema.tables["accounts"] = replace(schema.tables["accounts"], **made)

    [problem] = [one for one in found(TEXTS, new=schema) if one.code == "E308"]

    assert "accounts" in problem.text


def test_the_rows_of_a_view_are_those_of_tables_and_need_no_word() -> None:
    view = replace(table("named", integer("id")), view=True)

    assert found(TEXTS, old=legacy(view)) == []


def test_an_update_of_a_table_that_others_write_is_a_warning() -> None:
    texts = _conflict("{match: [id], action: update}")
    more = texts["accounts.yaml"].replace("mapping: accounts", "mapping: more_accounts")

    assert of(texts | {"more.yaml": more}, "W604") == ["accounts", "accounts"]
    assert "W604" not in codes(texts)


def test_numbers_need_a_column_that_counts() -> None:
    schema = target()
    table = schema.tables["accounts"]
    texts = changed("accounts.yaml", "id: {uuid5: user_id}", "id: {sequence: true}")

    def told(**column: object) -> bool:
        counted = Column("id", **column)  # type: ignore[arg-type]
        schema.tables["accounts"] = replace(table, columns={**table.columns, "id": counted})
        return "E305" in {problem.code for problem in found(texts, new=schema)}

    assert told(kind=Kind.UUID, has_default=True)
    assert told(kind=Kind.INTEGER)
    assert not told(kind=Kind.INTEGER, has_default=True)


def test_a_number_is_looked_up_by_the_key_of_the_source_row() -> None:
    texts = changed("orders.yaml", "id: {uuid5: order_id}", "id: {sequence: true}")
    wrong = texts | {"lines.yaml": TEXTS["lines.yaml"].replace("by: order_id", "by: [order_id, line_id]")}

    assert "E503" not in codes(texts)
    assert "E503" in codes(wrong)


@pytest.mark.parametrize(
    ("more", "right"),
    [(", required: true", True), ("", False), (", on_missing: skip", True), (", on_missing: null", False)],
)
def test_a_row_that_may_be_missing_is_not_put_where_null_is_not_allowed(more: str, right: bool) -> None:
    texts = changed("orders.yaml", "by: user_id, required: true", f"by: user_id{more}")

    assert ("E505" not in codes(texts)) is right


@pytest.mark.parametrize(
    ("null_if", "where", "right"),
    [
        ("[0]", "{closed: 0}", False), ("[0]", "{closed: [0, 2]}", False), ("[0]", "{closed: {not: 0}}", False),
        ("[1]", "{closed: 0}", True), ("[0]", "{closed: {gt: 0}}", True), ("['']", "{closed: 0}", True),
        ("[0]", "{any: [{closed: 1}, {closed: 0}]}", False), ("[0]", "{closed: {is_null: true}}", True),
    ],
)  # fmt: skip
def test_a_condition_on_a_value_that_null_if_takes_away_is_a_warning(null_if: str, where: str, right: bool) -> None:
    mapping = (
        "mapping: m\nsource: {table: t, key: id, user: id%s}\ntarget: {table: m, id: {uuid5: id}}\nfields: {a: a}\n"
    )
    users = "set: s\nusers: {table: t, key: id%s}\n%s"
    told = f", where: {where}, null_if: {null_if}"
    for texts in (
        {"set.yaml": users % ("", ""), "m.yaml": mapping % told},
        {"set.yaml": users % (f", where: {where}", f"null_if: {null_if}\n"), "m.yaml": mapping % ""},
    ):
        problems = lint(document.parse(texts), None, None)
        assert ([problem.code for problem in problems if problem.code == "W214"] == []) is right


@pytest.mark.parametrize("deferrable", [True, False])
def test_tables_that_point_at_each_other_need_a_deferrable_key(deferrable: bool) -> None:
    schema = target()
    for one, other in (("orders", "lines"), ("lines", "orders")):
        key = ForeignKey(("id",), other, ("id",), deferrable=deferrable and one == "orders")
        old = schema.tables[one]
        schema.tables[one] = Table(one, old.columns, old.key, old.uniques, (key,))

    assert ("E509" in {problem.code for problem in found(TEXTS, new=schema)}) is not deferrable


# ---- people and examples ----------------------------------------------------------------------------------------


def test_personal_data_that_is_not_sensitive_is_a_warning() -> None:
    assert only(changed("accounts.yaml", ", sensitive: true", ""))[:2] == ("W602", "email")


def test_a_flag_about_mail_is_not_personal() -> None:
    texts = changed("accounts.yaml", "  name: {", "  by_mail: {from: level, transform: [boolean]}\n  name: {")

    assert "W602" not in codes(texts)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("nick: ann,", "nik: ann,", '"nik"'),
        ("expect: {name: ann", "expect: {nam: ann", '"nam"'),
        ("logins: [{at:", "logins: [{att:", '"att"'),
        ("meta: {theme: dark}", "meta: [{theme: dark}]", '"meta"'),
        ("expect: {name: ann, tier: gold}", "expect_review: [{field: teir, rule: map}]", '"teir"'),
    ],
)
def test_an_example_speaks_of_columns_and_fields_that_there_are(old: str, new: str, word: str) -> None:
    (problem,) = found(changed("accounts.yaml", old, new))

    assert problem.code == "E703"
    assert word in problem.text


def test_without_schemas_only_what_needs_none_is_checked() -> None:
    texts = changed("accounts.yaml", "from: nick", "from: nik") | {
        "lines.yaml": TEXTS["lines.yaml"].replace("lookup: orders", "lookup: order")
    }

    assert [problem.code for problem in lint(document.parse(texts), None, None)] == ["E501"]


# ---- whatever can be read ---------------------------------------------------------------------------------------


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, str]:
    """The sound set with one word of one file put in the place of another."""
    name = draw(st.sampled_from(sorted(TEXTS)))
    words = sorted({word for text in TEXTS.values() for word in re.findall(r"[\w$.]+", text)})
    spots = list(re.finditer(r"[\w$.]+", TEXTS[name]))
    spot = draw(st.sampled_from(spots))
    return TEXTS | {name: TEXTS[name][: spot.start()] + draw(st.sampled_from(words)) + TEXTS[name][spot.end() :]}


@settings(max_examples=200, deadline=None)
@given(damaged())
def test_whatever_can_be_read_can_be_linted_and_every_problem_stands_in_a_file(texts: dict[str, str]) -> None:
    try:
        made = document.parse(texts)
    except MappingInvalid:
        return
    for problem in lint(made, legacy(), target()):
        assert 1 <= problem.place.line <= len(texts[problem.place.file].splitlines())
        assert problem.text


# ---- rows of nobody that move ----


def moving(lines: str) -> dict[str, str]:
    """The set with orders of nobody that move, and these lines."""
    orders = TEXTS["orders.yaml"].replace("{leave: orders of guests stay}", "move")
    return TEXTS | {"orders.yaml": orders, "lines.yaml": lines}


def test_rows_of_nobody_find_what_they_hang_on_by_columns_of_the_source() -> None:
    lines = TEXTS["lines.yaml"].replace("target:", "  without_user: move\ntarget:")
    assert not [one for one in found(moving(lines)) if one.level == "error"]

    computed = lines.replace(
        "{lookup: orders, by: order_id,", "{from: order_id, transform: [{multiply: 1}, {lookup: orders}],"
    )
    copied = lines.replace("by: order_id,", "by: $its,").replace("fields:", "vars: {its: {from: order_id}}\nfields:")

    (told,) = [one for one in found(moving(computed)) if one.level == "error"]
    assert (told.code, under(told, moving(computed))) == ("E213", "lookup")
    assert told.text == "rows of nobody find their orders by order_id, which is computed"
    assert not [one for one in found(moving(copied)) if one.level == "error"]


def test_rows_of_nobody_are_known_by_a_column_of_their_table() -> None:
    lines = (
        TEXTS["lines.yaml"]
        .replace("line_id", "part")
        .replace("target:", "  without_user: move\n  unnest: {column: num, separator: ',', as: part}\ntarget:")
    )

    assert ("E212", "t_line") in [(one.code, under(one, moving(lines))) for one in found(moving(lines))]
