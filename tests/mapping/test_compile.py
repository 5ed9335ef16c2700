from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.errors import Refused, WrongInput
from migrator.mapping import compile as compiler
from migrator.mapping.outcome import Context, Mapped, Override, SourceRows
from migrator.mapping.schema import Column, Kind
from tests.mapping.engine import PLAN, a_legacy, a_schema, a_set, a_table, findings, mapped, rows_of, sources

PERSON = a_table("person", id="integer", mail="text", name="text", level="text", born="text", extra="text")
ORDER = a_table("orders_old", id="integer", person="integer", total="text", state="text", at="text")
LINE = a_table("line", id="integer", bill="integer", person="integer", sku="text", qty="text")
ACCOUNT = a_table(
    "account", uniques=[["mail"]], id="uuid not null", mail="text", name="text", level="text", born="date", extra="json"
)
BILL = a_table("bill", id="uuid", account_id="uuid", total="decimal", state="text", at="timestamp")
ITEM = a_table("item", id="uuid", bill_id="uuid", account_id="uuid", sku="text", qty="integer")
TARGET = a_schema(ACCOUNT, BILL, ITEM)


def accounts(fields: str, more: str = "") -> str:
    return (
        "mapping: accounts\nsource: {table: person, key: id, user: id}\ntarget: {table: account, id: {uuid5: id}}\n"
        f"fields:\n{fields}\n{more}"
    )


def mapping_of(
    fields: str, rows: list[dict[str, Any]], more: str = "", context: Context = PLAN, **files: str
) -> Mapped:
    """Map persons 1, 2, … by these fields of accounts."""
    legacy = a_legacy(PERSON, person=[{"id": place} | row for place, row in enumerate(rows, start=1)])
    return mapped(a_set(accounts(fields, more), **files), legacy, TARGET, context=context)


def ids_of(made: Mapped) -> list[str]:
    return [str(user) for user in rows_of(made, "accounts", "__user")]


# ---- one rule -----------------------------------------------------------------------------------------------------


def test_every_failing_field_of_a_row_reports_its_first_failing_step() -> None:
    made = mapping_of(
        "  mail: {from: mail, transform: [trim, email, {truncate: 3}]}\n  born: {from: born, transform: [date]}",
        [{"mail": " nobody ", "born": "0000-00-00"}, {"mail": "a@b.co", "born": "1980-01-02"}],
    )

    assert findings(made, "user", "field", "rule", "value", "outcome") == [
        ("1", "born", "date", "0000-00-00", "review"),
        ("1", "mail", "email", "nobody", "review"),
        ("2", "mail", "truncate", "a@b.co", "warning"),
    ]
    assert made.held == {"1"}
    assert ids_of(made) == ["2"]


def test_a_finding_says_where_the_rule_stands() -> None:
    made = mapping_of("  mail: {from: mail, transform: [trim, email]}", [{"mail": "x"}])

    assert findings(made, "mapping", "key", "file", "line", "column") == [("accounts", "1", "m0.yaml", 5, 40)]


def test_default_comes_after_the_steps_and_required_after_default() -> None:
    made = mapping_of(
        "  name: {from: name, transform: [{null_if: '-'}], default: nobody, required: true}\n"
        "  mail: {from: mail, transform: [trim, {null_if: ''}], required: true}",
        [{"name": "-", "mail": "a"}, {"name": None, "mail": " "}],
    )

    assert rows_of(made, "accounts", "name", "mail") == [("nobody", "a")]
    assert findings(made, "user", "field", "rule", "value") == [("2", "mail", "required", None)]


def test_a_field_that_failed_is_not_reported_again_as_required() -> None:
    made = mapping_of("  mail: {from: mail, transform: [email], required: true}", [{"mail": "x"}])

    assert findings(made, "field", "rule") == [("mail", "email")]


def test_use_puts_its_literal_in_with_a_warning_and_default_comes_after_it() -> None:
    made = mapping_of(
        "  born: {from: born, transform: [date], on_error: {use: null}}\n"
        "  level: {from: level, transform: [{map: {1: low}}], on_error: {use: null}, default: none}\n"
        "  name: {from: name, transform: [{one_of: [a]}], on_error: {use: other}}",
        [{"born": "soon", "level": "9", "name": "b"}],
    )

    assert rows_of(made, "accounts", "born", "level", "name") == [(None, "none", "other")]
    assert findings(made, "field", "rule", "value", "after", "outcome") == [
        ("born", "date", "soon", None, "warning"),
        ("level", "map", "9", None, "warning"),
        ("name", "one_of", "b", "other", "warning"),
    ]


def test_a_row_that_is_not_wanted_is_skipped_and_needs_no_person() -> None:
    made = mapping_of(
        "  mail: {from: mail, transform: [email], on_error: skip}\n  born: {from: born, transform: [date]}",
        [{"mail": "x", "born": "soon"}, {"mail": "a@b.co"}],
    )

    assert made.books["accounts"].skipped == 1
    assert made.held == frozenset() and made.findings.is_empty()


def test_abort_holds_the_row_and_says_so_to_whoever_runs_it() -> None:
    made = mapping_of("  mail: {from: mail, transform: [email], on_error: abort}", [{"mail": "x"}])

    assert "accounts.mail" in made.abort and "m0.yaml:5" in made.abort
    assert made.held == {"1"}


def test_names_are_used_in_any_order_before_fit_and_a_failing_var_is_a_failing_field() -> None:
    made = mapping_of(
        "  name: {from: $mail, transform: [{format: 'to {}'}]}\n  mail: {from: $clean, transform: [lower]}",
        [{"mail": "A@B.co"}, {"mail": "x"}],
        "vars:\n  clean: {from: mail, transform: [email], required: true}\n",
    )

    assert rows_of(made, "accounts", "name", "mail") == [("to a@b.co", "a@b.co")]
    assert findings(made, "field", "rule") == [("clean", "email")]


def test_a_var_made_of_itself_is_refused_and_not_a_deep_recursion() -> None:
    from migrator.errors import MappingInvalid

    with pytest.raises((WrongInput, MappingInvalid)):
        mapping_of("  name: {from: $a}", [{}], "vars:\n  a: {from: $b}\n  b: {from: $a}\n")


def test_the_plan_is_all_a_mapping_knows_of_its_run() -> None:
    made = mapping_of("  name: {from: $plan.id}\n  mail: {from: $plan.as_of}", [{}])

    assert rows_of(made, "accounts", "name", "mail") == [("plan-1", "2024-01-01T00:00:00Z")]


def test_a_column_that_was_not_read_is_named() -> None:
    set_ = a_set(accounts("  name: name"))
    frame = pl.DataFrame({"__user": ["1"], "__key": ["1"], "id": [1]})

    with pytest.raises(Refused, match='no column "name"'):
        compiler.apply(set_, TARGET, {"accounts": SourceRows(frame, 1)}, PLAN)


def test_a_table_or_column_that_the_target_lacks_is_named() -> None:
    with pytest.raises(Refused, match=r"account\.nick"):
        mapping_of("  nick: name", [{}])
    set_, legacy = a_set(accounts("  name: name")), a_legacy(PERSON, person=[{"id": 1}])
    with pytest.raises(Refused, match="no table account"):
        mapped(set_, legacy, a_schema())


# ---- choose, object, collect --------------------------------------------------------------------------------------


def test_a_choice_takes_the_first_branch_and_only_its_errors_count() -> None:
    fields = """  level:
    choose:
      - {when: {level: '1'}, value: low}
      - {when: {level: ['1', '2']}, from: name, transform: [{one_of: [fine]}]}
      - {when: {level: '3'}, review: three is for people}
      - {when: {level: '4'}, warn: four is odd, value: four}
"""
    rows = [{"level": "1", "name": "bad"}, {"level": "2", "name": "fine"}, {"level": "2", "name": "bad"}]
    made = mapping_of(fields, [*rows, {"level": "3"}, {"level": "4"}, {"level": "5"}])

    assert rows_of(made, "accounts", "__user", "level") == [("1", "low"), ("2", "fine"), ("5", "four"), ("6", None)]
    assert findings(made, "user", "rule", "outcome", "note")[0][:3] == ("3", "one_of", "review")
    assert findings(made, "user", "rule", "outcome", "note")[1:] == [
        ("4", "choose", "review", "three is for people"),
        ("5", "choose", "warning", "four is odd"),
    ]


def test_an_object_names_the_failing_part_and_keeps_digits_and_kinds() -> None:
    fields = """  extra:
    object:
      n: {from: level, transform: [decimal], required: true}
      t: {from: name}
      deep: {object: {b: {from: born, transform: [boolean]}, j: {from: extra, transform: [json]}}, omit_nulls: true}
"""
    rows = [
        {"level": "1.50", "name": 'a"b', "born": "yes", "extra": '{"x": 1.10}'},
        {"level": "2", "name": None},
        {"level": "x"},
    ]
    made = mapping_of(fields, rows)

    assert rows_of(made, "accounts", "extra") == [
        '{"n":1.5,"t":"a\\"b","deep":{"b":true,"j":{"x":1.10}}}',
        '{"n":2,"t":null,"deep":{}}',
    ]
    assert findings(made, "user", "field", "rule") == [("3", "extra.n", "decimal")]


def many_lines(more: str = "") -> str:
    return (
        "mapping: accounts\nsource:\n  table: person\n  key: id\n  user: id\n"
        "  join: {lines: {table: line, match: {person: id}, many: {order: id, item_key: id}}}\n"
        "target: {table: account, id: {uuid5: id}}\nfields:\n  extra:\n    of: lines\n    collect:\n"
        "      sku: {from: sku, required: true}\n      qty: {from: qty, transform: [integer]}\n" + more
    )


LINES = [
    {"id": 2, "person": 1, "sku": "b", "qty": "2"},
    {"id": 1, "person": 1, "sku": "a", "qty": "1"},
    {"id": 3, "person": 2, "sku": None, "qty": "x"},
    {"id": 4, "person": 2, "sku": "d", "qty": "4"},
]


def test_a_collect_is_a_list_in_order_and_no_rows_are_null() -> None:
    legacy = a_legacy(PERSON, LINE, person=[{"id": 1}, {"id": 3}], line=LINES)

    made = mapped(a_set(many_lines()), legacy, TARGET)

    assert rows_of(made, "accounts", "extra") == ['[{"sku":"a","qty":1},{"sku":"b","qty":2}]', None]


def test_a_bad_item_holds_its_row_or_only_itself_and_is_named_by_its_key() -> None:
    legacy = a_legacy(PERSON, LINE, person=[{"id": 1}, {"id": 2}], line=LINES)

    whole = mapped(a_set(many_lines()), legacy, TARGET)
    alone = mapped(a_set(many_lines("    on_item_error: review_item\n")), legacy, TARGET)

    told = [("3", "extra.qty", "integer", "x", "review"), ("3", "extra.sku", "required", None, "review")]
    assert findings(whole, "item_key", "field", "rule", "value", "outcome") == told
    assert findings(alone, "item_key", "field", "rule", "value", "outcome") == told
    assert (whole.held, alone.held) == ({"2"}, frozenset())
    assert rows_of(alone, "accounts", "extra")[1] == '[{"sku":"d","qty":4}]'


def test_aggregates_skip_nulls_and_count_of_none_is_zero() -> None:
    text = (
        "mapping: accounts\nsource:\n  table: person\n  key: id\n  user: id\n  null_if: ['-']\n"
        "  join: {o: {table: orders_old, match: {person: id}, many: {order: id, item_key: id}}}\n"
        "target: {table: account, id: {uuid5: id}}\nfields:\n  extra:\n    object:\n"
        + "".join(
            f"      {how}: {{from: o.total, aggregate: {how}}}\n" for how in ("min", "max", "count", "first", "last")
        )
        + "      sum: {from: o.total, aggregate: sum, on_error: {use: null}}\n"
    )
    orders = [
        {"id": i, "person": p, "total": t}
        for i, p, t in [(1, 1, "-"), (2, 1, "0.10"), (3, 1, "0.2"), (4, 3, "9" * 20), (5, 3, "1")]
    ]
    legacy = a_legacy(PERSON, ORDER, person=[{"id": 1}, {"id": 2}, {"id": 3}], orders_old=orders)

    made = mapped(a_set(text), legacy, TARGET)

    assert rows_of(made, "accounts", "extra") == [
        '{"min":"0.10","max":"0.2","count":2,"first":"0.10","last":"0.2","sum":0.3}',
        '{"min":null,"max":null,"count":0,"first":null,"last":null,"sum":null}',
        '{"min":"1","max":"99999999999999999999","count":2,"first":"99999999999999999999","last":"1","sum":null}',
    ]
    assert findings(made, "user", "field", "rule", "outcome") == [("3", "extra.sum", "sum", "warning")]


def test_a_number_is_the_position_among_the_rows_read_whatever_fails_later() -> None:
    text = (
        "mapping: items\nsource: {table: line, key: id, user: person}\ntarget: {table: item, id: {uuid5: id}}\non_reject: hold_row\n"
        "fields:\n  qty: {number: {within: person, order: sku, start: 1}}\n  sku: {from: sku, required: true}\n"
    )
    legacy = a_legacy(PERSON, LINE, person=[{"id": 1}, {"id": 2}], line=LINES)

    made = mapped(a_set(text), legacy, TARGET)

    assert rows_of(made, "items", "__key", "qty") == [("1", 1), ("2", 2), ("4", 1)]


# ---- parents and children -----------------------------------------------------------------------------------------

BILLS = """mapping: bills
source: {table: orders_old, key: id, user: person}
target: {table: bill, id: {uuid5: id}}
on_reject: hold_row
fields:
  account_id: {lookup: accounts, by: person, required: true}
  state: {from: state, transform: [{map: {1: paid}}]}
"""
ITEMS = """mapping: items
source: {table: line, key: id, user: person}
target: {table: item, id: {uuid5: id}}
on_reject: hold_row
fields:
  bill_id: {lookup: bills, by: bill, required: true}
  account_id: {lookup: accounts, by: person}
  sku: {from: sku}
"""
FAMILY = a_set(accounts("  mail: {from: mail, transform: [email]}"), BILLS, ITEMS)


def family(people: list[dict[str, Any]], bills: list[dict[str, Any]], lines: list[dict[str, Any]]) -> Mapped:
    return mapped(FAMILY, a_legacy(PERSON, ORDER, LINE, person=people, orders_old=bills, line=lines), TARGET)


def test_a_child_computes_the_id_of_its_parent() -> None:
    made = family([{"id": 1}], [{"id": 7, "person": 1}], [{"id": 9, "bill": 7, "person": 1}])

    (account,), (bill,) = rows_of(made, "accounts", "id"), rows_of(made, "bills", "id")
    assert rows_of(made, "bills", "account_id") == [account]
    assert rows_of(made, "items", "bill_id", "account_id") == [(bill, account)]


def test_a_child_of_a_rejected_parent_is_blocked_with_one_entry_per_user_and_not_failed() -> None:
    bills = [{"id": 7, "person": 1, "state": "9"}, {"id": 8, "person": 1, "state": "1"}]
    lines = [{"id": n, "bill": 7 if n < 3 else 8, "person": 1} for n in range(4)]

    made = family([{"id": 1}], bills, lines)

    assert made.held == frozenset()
    assert rows_of(made, "items", "__key") == ["3"]
    assert made.books["items"].blocked == 3
    assert findings(made, "mapping", "field", "rule", "outcome", "waits_for", "note") == [
        ("bills", "state", "map", "review", None, "it has no entry in map, and the map has no else"),
        ("items", "bill_id", "lookup", "blocked", "bills", "rows that wait: 3"),
    ]


def test_all_rows_of_a_held_user_wait_and_nobody_elses() -> None:
    people = [{"id": 1, "mail": "x"}, {"id": 2, "mail": "a@b.co"}]
    bills = [{"id": n, "person": person} for n, person in enumerate([1, 1, 2])]

    made = family(people, bills, [])

    assert made.held == {"1"}
    assert (made.books["bills"].blocked, made.books["bills"].written) == (2, 1)
    assert rows_of(made, "bills", "__user") == ["2"]


def test_the_row_of_another_user_is_not_a_parent() -> None:
    made = family([{"id": 1}, {"id": 2}], [{"id": 7, "person": 1}], [{"id": 9, "bill": 7, "person": 2}])

    assert findings(made, "user", "field", "rule", "value", "note") == [
        ("2", "bill_id", "lookup", "7", "there is no such row, or it is somebody else's")
    ]
    assert made.books["items"].review == 1


def test_a_missing_parent_goes_the_way_of_on_missing() -> None:
    text = "mapping: items\nsource: {{table: line, key: id, user: person}}\ntarget: {{table: item, id: {{uuid5: id}}}}\nfields:\n  bill_id: {{lookup: bills, by: bill, on_missing: {how}}}\n"
    legacy = a_legacy(PERSON, ORDER, LINE, person=[{"id": 1}], orders_old=[{"id": 7, "person": 1}], line=[
        {"id": 1, "bill": 7, "person": 1}, {"id": 2, "bill": 8, "person": 1}, {"id": 3, "bill": None, "person": 1},
    ])  # fmt: skip

    null, skip = (
        mapped(a_set(accounts("  name: name"), BILLS, text.format(how=how)), legacy, TARGET) for how in ("null", "skip")
    )

    assert [bill is None for bill in rows_of(null, "items", "bill_id")] == [False, True, True]
    assert findings(null, "field", "rule", "value", "outcome") == [("bill_id", "lookup", "8", "warning")]
    assert rows_of(skip, "items", "__key") == ["1", "3"]
    assert skip.books["items"].skipped == 1


def test_a_parent_that_was_skipped_is_absent() -> None:
    bills = BILLS.replace("{from: state, transform", "{from: state, on_error: skip, transform")
    legacy = a_legacy(
        PERSON,
        ORDER,
        LINE,
        person=[{"id": 1}],
        orders_old=[{"id": 7, "person": 1, "state": "9"}],
        line=[{"id": 1, "bill": 7, "person": 1}],
    )

    made = mapped(a_set(accounts("  name: name"), bills, ITEMS), legacy, TARGET)

    assert findings(made, "mapping", "rule", "outcome") == [("items", "lookup", "review")]


def test_one_row_per_parent_takes_the_parents_id() -> None:
    profile = a_table("profile", primary="account_id", account_id="uuid", name="text")
    text = "mapping: profiles\nsource: {table: person, key: id, user: id}\ntarget: {table: profile, id: {lookup: accounts, by: id, as: account_id}}\nfields: {name: name}\n"
    legacy = a_legacy(PERSON, person=[{"id": 1, "mail": "x"}, {"id": 2, "mail": "a@b.co"}])

    made = mapped(a_set(accounts("  mail: {from: mail, transform: [email]}"), text), legacy, a_schema(ACCOUNT, profile))

    assert rows_of(made, "profiles", "account_id") == rows_of(made, "accounts", "id")
    assert made.books["profiles"].blocked == 1


def test_a_step_looks_up_a_parent_a_file_or_a_reference_table() -> None:
    text = """mapping: items
source: {table: line, key: id, user: person}
target: {table: item, id: {keep: id, as: qty}}
on_reject: hold_row
fields:
  account_id: {from: person, transform: [{lookup: accounts}]}
  bill_id: {from: sku, transform: [{lookup: {table: product, match: code, take: id}}]}
  sku: {from: sku, transform: [{lookup: {file: skus.csv, match: old, take: new}}], on_error: {use: null}}
"""
    legacy = a_legacy(PERSON, LINE, person=[{"id": 1}], line=[
        {"id": n, "person": 1, "sku": sku} for n, sku in enumerate(["a", "b", "c", None])
    ])  # fmt: skip
    uuids = [f"00000000-0000-0000-0000-00000000000{n}" for n in range(3)]
    products = pl.DataFrame({"code": ["a", "b", "b"], "id": uuids})
    set_ = a_set(accounts("  name: name"), text, skus_csv="old,new\na,A\nc,C\n")
    item = a_table("item", primary="qty", bill_id="uuid", account_id="uuid", sku="text", qty="integer")

    made = mapped(
        set_, legacy, a_schema(ACCOUNT, item), context=Context("p", PLAN.as_of, references={"product": products})
    )

    assert rows_of(made, "items", "qty", "bill_id", "sku") == [(0, uuids[0], "A"), (3, None, None)]
    assert findings(made, "key", "field", "rule", "value", "outcome") == [
        ("1", "bill_id", "lookup", "b", "review"),
        ("1", "sku", "lookup", "b", "warning"),
        ("2", "bill_id", "lookup", "c", "review"),
    ]


# ---- rows that meet -----------------------------------------------------------------------------------------------


def test_two_rows_with_one_target_key_are_both_for_a_person() -> None:
    text = "mapping: items\nsource: {table: line, key: id, user: person}\ntarget: {table: item, id: {fields: [sku]}}\non_reject: hold_row\nfields: {sku: sku}\n"
    item = a_table("item", primary="sku", sku="text")
    legacy = a_legacy(
        PERSON, LINE, person=[{"id": 1}], line=[{"id": n, "person": 1, "sku": sku} for n, sku in enumerate("aab")]
    )

    made = mapped(a_set(text), legacy, a_schema(item))

    assert rows_of(made, "items", "sku") == ["b"]
    assert findings(made, "key", "field", "rule", "value") == [
        ("0", "sku", "target_key", "a"),
        ("1", "sku", "target_key", "a"),
    ]


def test_two_users_who_share_what_must_be_unique_are_both_held_and_null_is_never_shared() -> None:
    made = mapping_of(
        "  mail: {from: mail, transform: [lower]}",
        [{"mail": "A@b.co"}, {"mail": "a@B.co"}, {"mail": None}, {"mail": None}],
    )

    assert made.held == {"1", "2"}
    assert findings(made, "user", "field", "rule", "value", "note") == [
        (user, "mail", "unique", "a@b.co", "the same mail in rows of: 1, 2") for user in ("1", "2")
    ]
    assert ids_of(made) == ["3", "4"]


def test_rows_of_two_mappings_for_one_table_meet_too() -> None:
    other = accounts("  mail: {from: name}").replace("mapping: accounts", "mapping: others")
    legacy = a_legacy(PERSON, person=[{"id": 1, "mail": "x", "name": "y"}, {"id": 2, "mail": "y", "name": "z"}])

    made = mapped(a_set(accounts("  mail: mail"), other), legacy, TARGET)

    assert findings(made, "mapping", "user", "rule") == [("accounts", "2", "unique"), ("others", "1", "unique")]
    assert made.held == {"1", "2"}


# ---- decisions of people ------------------------------------------------------------------------------------------


def decided(action: str, value: str | None = None, key: str | None = "1", field: str = "level") -> Context:
    return Context("p", PLAN.as_of, overrides=(Override("accounts", "1", key, field, action, value),))


LEVEL = "  level: {from: level, transform: [{map: {1: low}}], required: true}\n  name: name"


def test_a_decision_puts_a_value_or_null_or_drops_the_row_on_every_later_run() -> None:
    rows = [{"level": "9", "name": "a"}, {"level": "9", "name": "b"}]

    used = mapping_of(LEVEL, rows, context=decided("use", "high"))
    null = mapping_of(LEVEL, rows, context=decided("null", key=None))
    gone = mapping_of(LEVEL, rows, context=decided("skip"))

    assert rows_of(used, "accounts", "level") == ["high"]
    assert rows_of(null, "accounts", "level") == [None]
    assert (rows_of(gone, "accounts", "level"), gone.books["accounts"].skipped) == ([], 1)
    assert all(made.held == {"2"} for made in (used, null, gone))


def test_a_decision_about_a_typed_value_must_fit_like_any_other() -> None:
    fields = "  born: {from: born, transform: [date]}"

    good = mapping_of(fields, [{"born": "soon"}], context=decided("use", "1980-02-03", field="born"))
    bad = mapping_of(fields, [{"born": "soon"}], context=decided("use", "later", field="born"))

    assert [str(born) for born in rows_of(good, "accounts", "born")] == ["1980-02-03"]
    assert findings(bad, "field", "rule", "value") == [("born", "fit", "later")]


def test_a_shared_value_can_be_decided() -> None:
    rows = [{"mail": "a@b.co"}, {"mail": "a@b.co"}]

    made = mapping_of("  mail: mail", rows, context=decided("use", "other@b.co", field="mail"))

    assert rows_of(made, "accounts", "mail") == ["other@b.co", "a@b.co"]


def test_a_decision_about_a_part_of_an_object_or_an_item_reaches_it() -> None:
    fields = "  extra: {object: {n: {from: level, transform: [integer]}}}"
    made = mapping_of(fields, [{"level": "x"}], context=decided("use", "5", field="extra.n"))
    assert rows_of(made, "accounts", "extra") == ['{"n":5}']

    legacy = a_legacy(PERSON, LINE, person=[{"id": 2}], line=LINES)
    overrides = tuple(Override("accounts", "2", "2", field, "skip") for field in ("extra.sku", "extra.qty"))
    dropped = mapped(a_set(many_lines()), legacy, TARGET, context=Context("p", PLAN.as_of, overrides))
    assert rows_of(dropped, "accounts", "extra") == ['[{"sku":"d","qty":4}]']


# ---- books --------------------------------------------------------------------------------------------------------


def test_no_rows_at_all_give_empty_frames_with_all_columns() -> None:
    made = family([], [], [])

    assert {name: frame.height for name, frame in made.rows.items()} == {"accounts": 0, "bills": 0, "items": 0}
    assert made.rows["bills"].columns == ["__user", "__key", "id", "account_id", "state"]


def test_times_are_written_in_the_type_of_their_column() -> None:
    text = BILLS.replace(
        "  state: {from: state, transform: [{map: {1: paid}}]}",
        "  at: {from: at, transform: [{datetime: {timezone: UTC}}]}",
    )
    legacy = a_legacy(
        PERSON, ORDER, person=[{"id": 1}], orders_old=[{"id": 1, "person": 1, "at": "2020-01-02 03:04:05"}]
    )

    made = mapped(a_set(accounts("  name: name"), text), legacy, TARGET)

    assert rows_of(made, "bills", "at") == [datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)]
    assert made.rows["bills"].schema["at"] == pl.Datetime("us", "UTC")


_PERSONS = st.lists(
    st.fixed_dictionaries(
        {
            "mail": st.sampled_from(["a@b.co", "c@d.co", "x", None]),
            "born": st.sampled_from(["1980-01-01", "soon", None]),
        }
    ),
    max_size=5,
)
_BILLS = st.lists(st.tuples(st.integers(1, 6), st.sampled_from(["1", "9", None])), max_size=8)
_LINES = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 9), st.sampled_from(["a", "b", None])), max_size=10)
_NASTY = a_set(
    accounts("  mail: {from: mail, transform: [email], on_error: skip}\n  born: {from: born, transform: [date]}"),
    BILLS,
    ITEMS.replace("  sku: {from: sku}\n", "  sku: {from: sku, required: true, on_error: skip}\n")
    + "merge_duplicates: {match: [$bill_id, $sku], keep: {oldest: id}, fields: {}}\n",
)


@settings(max_examples=25, deadline=None)
@given(_PERSONS, _BILLS, _LINES)
def test_whatever_comes_the_books_balance_and_no_row_of_a_held_user_or_without_its_parent_is_written(
    persons: list[dict[str, Any]], bills: list[tuple[int, Any]], lines: list[tuple[int, int, Any]]
) -> None:
    legacy = a_legacy(
        PERSON, ORDER, LINE,
        person=[{"id": n} | person for n, person in enumerate(persons, start=1)],
        orders_old=[{"id": n, "person": person, "state": state} for n, (person, state) in enumerate(bills)],
        line=[{"id": n, "person": person, "bill": bill, "sku": sku} for n, (person, bill, sku) in enumerate(lines)],
    )  # fmt: skip

    made = mapped(_NASTY, legacy, TARGET)

    for frame in made.rows.values():
        assert not set(frame["__user"]) & made.held
    assert set(made.rows["bills"]["account_id"]) <= set(made.rows["accounts"]["id"])
    assert set(made.rows["items"]["bill_id"]) <= set(made.rows["bills"]["id"])
    assert set(made.rows["accounts"]["__user"]) & made.held == set()


@settings(max_examples=15, deadline=None)
@given(_PERSONS, _BILLS, _LINES, st.randoms(use_true_random=False))
def test_in_which_batch_a_user_travels_and_in_what_order_changes_no_row(
    persons: list[dict[str, Any]], bills: list[tuple[int, Any]], lines: list[tuple[int, int, Any]], chance: Any
) -> None:
    legacy = a_legacy(
        PERSON, ORDER, LINE,
        person=[{"id": n} | person | {"mail": f"{n}@b.co"} for n, person in enumerate(persons, start=1)],
        orders_old=[{"id": n, "person": person, "state": state} for n, (person, state) in enumerate(bills)],
        line=[{"id": n, "person": person, "bill": bill, "sku": sku} for n, (person, bill, sku) in enumerate(lines)],
    )  # fmt: skip
    users = [str(n) for n in range(1, len(persons) + 1)]
    whole = mapped(_NASTY, legacy, TARGET, users)
    chance.shuffle(users)
    cut = len(users) // 2

    parts = [mapped(_NASTY, legacy, TARGET, part) for part in (users[:cut], users[cut:])]

    for name, frame in whole.rows.items():
        together = pl.concat([part.rows[name] for part in parts])
        assert together.sort(together.columns).equals(frame.sort(frame.columns))
    assert parts[0].held | parts[1].held == whole.held


def test_the_same_frames_map_to_the_same_rows_again() -> None:
    legacy = a_legacy(PERSON, LINE, person=[{"id": 1}, {"id": 2}], line=LINES)
    set_ = a_set(many_lines("    on_item_error: review_item\n"))
    read = sources(set_, legacy, ["1", "2"])
    again = {name: SourceRows(source.frame, source.frame.height) for name, source in read.items()}

    first, second = (compiler.apply(set_, TARGET, source, PLAN) for source in (read, again))

    assert first.rows["accounts"].equals(second.rows["accounts"])
    assert first.findings.equals(second.findings)


def test_a_fault_of_the_source_rejects_the_row_and_is_a_finding() -> None:
    legacy = a_legacy(PERSON, LINE, person=[{"id": 1}, {"id": 2}], line=LINES)
    text = accounts("  name: {from: l.sku}").replace(
        "user: id}", "user: id, join: {l: {table: line, match: {person: id}}}}"
    )

    made = mapped(a_set(text), legacy, TARGET)

    assert findings(made, "user", "field", "rule", "value") == [("1", "l", "join", "1"), ("2", "l", "join", "2")]
    assert made.books["accounts"].review == 2


def test_a_null_in_a_column_that_takes_none_is_a_finding_and_not_an_error_of_the_database() -> None:
    target = a_schema(a_table("account", id="uuid not null", name=Column("name", Kind.TEXT, nullable=False)))
    set_, legacy = (
        a_set(accounts("  name: {from: name, transform: [{one_of: [a]}]}")),
        a_legacy(PERSON, person=[{"id": 1}, {"id": 2, "name": "b"}]),
    )

    made = mapped(set_, legacy, target)

    assert findings(made, "user", "field", "rule", "note") == [
        ("1", "name", "fit", "it is null, and the column takes no null"),
        ("2", "name", "one_of", "it is not in the list"),
    ]


def test_secrets_are_marked() -> None:
    made = mapping_of(
        "  name: {from: name, sensitive: true, transform: [{one_of: [a]}]}\n  mail: {from: mail, transform: [{password_hash: {scheme: md5}}]}",
        [{"name": "b", "mail": "x"}],
    )

    assert findings(made, "field", "sensitive") == [("mail", True), ("name", True)]


@pytest.mark.parametrize(
    ("rule", "given", "made"),
    [
        ("{from: note, default: {}}", '{"a": 1}', '{"a":1}'),
        ("{choose: [{when: {id: 2}, from: note, transform: [json]}, {else: {value: light}}]}", None, '"light"'),
        ("{choose: [{when: {id: 1}, from: id}, {else: {from: note, transform: [json]}}]}", None, "1"),
    ],
)
def test_a_value_is_of_one_kind_whoever_else_is_in_the_batch(rule: str, given: str | None, made: str) -> None:
    set_ = a_set(
        "mapping: people\nsource: {table: person, key: id, user: id}\ntarget: {table: people, id: {uuid5: id}}\n"
        f"fields:\n  doc: {rule}\n"
    )
    target = a_schema(a_table("people", id="uuid not null", doc="json"))
    people = [{"id": 1, "note": given}, {"id": 2, "note": None}, {"id": 3, "note": "[7]"}]
    legacy = a_legacy(a_table("person", id="integer", note="text"), person=people)

    alone, together = (mapped(set_, legacy, target, users) for users in (["1"], ["1", "2", "3"]))

    assert rows_of(alone, "people", "doc") == [made]
    assert made in rows_of(together, "people", "doc")
