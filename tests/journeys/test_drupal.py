"""Drupal 7 accounts to Drupal 11: three languages that fall back differently, roles by name, PHP texts, account 1."""

from __future__ import annotations

import uuid

import pytest

from tests.journeys.products import Product

LEGACY = """
create table users (
  uid int unsigned not null primary key, name varchar(60) not null unique, pass varchar(128) not null, mail varchar(254),
  theme varchar(255) not null default '', signature varchar(255) not null default '', signature_format varchar(255),
  created int not null, access int not null, login int not null, status tinyint not null, timezone varchar(32),
  language varchar(12) not null, picture int not null default 0, init varchar(254), data longblob);
create table role (rid integer primary key, name varchar(64) not null unique, weight int not null);
create table users_roles (uid int unsigned not null, rid int unsigned not null, primary key (uid, rid));
create table role_permission (rid int unsigned not null, permission varchar(128) not null, primary key (rid, permission));
create table sessions (uid int unsigned not null, sid varchar(128) not null primary key);
insert into role values (1, 'anonymous user', 0), (2, 'authenticated user', 1), (3, 'administrator', 2), (4, 'Content Editor (DE)', 3);
"""
TARGET = """
create table users (
  uid integer primary key, uuid varchar(128) not null unique, langcode varchar(12) not null);
create table users_field_data (
  uid int unsigned not null, langcode varchar(12) not null, preferred_langcode varchar(12), preferred_admin_langcode varchar(12),
  name varchar(60) not null, pass varchar(255), mail varchar(254), timezone varchar(32), status tinyint, created int not null,
  changed int, access int not null, login int, init varchar(254), default_langcode tinyint not null,
  primary key (uid, langcode), unique (name, langcode));
create table user__roles (
  bundle varchar(128) not null default '', deleted tinyint not null default 0, entity_id int unsigned not null,
  revision_id int unsigned not null, langcode varchar(32) not null default '', delta int unsigned not null,
  roles_target_id varchar(255) not null, primary key (entity_id, deleted, delta, langcode));
create table users_data (
  uid int unsigned not null default 0, module varchar(50) not null default '', name varchar(128) not null default '',
  value longtext, serialized tinyint unsigned default 0, primary key (uid, module, name));
insert into users values (0, '00000000-0000-0000-0000-000000000000', 'en'), (1, '11111111-1111-1111-1111-111111111111', 'de');
insert into users_field_data values
  (1, 'de', 'de', null, 'root', '$2y$10$thenewsitesownpassword', 'root@new.example', 'UTC', 1, 1700000000, 1700000000, 0, 0, 'root@new.example', 1);
"""
S = "$S$DcRrFmQkTmUNi6xfSzGYyGkSMcnLTo5gFmA5fhjMnE8vvMvFYFpT"


def account(uid: int, language: str = "de", **more: object) -> tuple[object, ...]:
    """One row of D7's users, with one thing changed."""
    values: dict[str, object] = {
        "uid": uid, "name": f"user{uid}", "pass": S, "mail": f"u{uid}@old.example", "theme": "", "signature": "",
        "signature_format": None, "created": 1_300_000_000 + uid, "access": 0, "login": 0, "status": 1, "timezone": "",
        "language": language, "picture": 0, "init": f"u{uid}@old.example", "data": None,
    }  # fmt: skip
    return tuple({**values, **more}.values())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Product:
    """A site whose accounts hold each oddity once; moved, with two held."""
    site = Product.create(tmp_path_factory.mktemp("drupal") / "site", "drupal7", LEGACY, TARGET)
    site.add(
        "users",
        account(0, "", name="", status=0),
        account(1, "de", name="root", mail="root@old.example"),
        account(2, ""),  # of before the language module
        account(3, "nl"),  # a language that was dropped
        account(4, "fr", timezone="Europe/Paris", data=b'a:2:{s:7:"contact";i:1;s:7:"overlay";i:1;}'),
        account(5, "en", data=b'a:1:{s:7:"contact";i:0;}', **{"pass": "U" + S}),
        account(6, data=b'a:1:{s:7:"cont'),  # cut off
        account(7, data=b'a:1:{s:7:"contact";a:1:{i:0;i:1;}}'),  # nothing writes PHP text
        account(8, status=0, data=b"b:0;"),
    )
    site.add("users_roles", (1, 3), (4, 4), (4, 3), (5, 2))
    with site.legacy() as db:
        db.execute("insert into sessions values (4, 'abc')")
    before = site.dump()
    site.move(code=4)
    (site.project.folder / "before.sql").write_text(before, encoding="utf-8")
    return site


def test_whose_data_cannot_be_read_is_held_and_nobody_else(site: Product) -> None:
    assert {user: {rule for _, _, rule in cases} for user, cases in site.held().items()} == {
        "6": {"unnest"}, "7": {"one_of"},
    }  # fmt: skip
    assert site.project.users() == {"live": 6, "held": 2, "excluded": 1}
    assert all(book["even"] for book in site.books())


def test_the_empty_language_is_english_for_the_account_and_the_sites_for_what_the_user_reads(site: Product) -> None:
    found = site.table("users_field_data", "uid")

    columns = ("langcode", "preferred_langcode", "preferred_admin_langcode")
    assert {uid: tuple(row[name] for name in columns) for uid, row in found.items()} == {
        1: ("de", "de", "de"), 2: ("en", "de", "de"), 3: ("de", "de", "de"), 4: ("fr", "fr", "fr"), 5: ("en", "en", "en"),
        8: ("de", "de", "de"),
    }  # fmt: skip
    assert {row["timezone"] for uid, row in found.items() if uid != 4} == {"Europe/Berlin"}
    assert found[4]["timezone"] == "Europe/Paris"


def test_the_first_account_keeps_password_and_uuid_of_the_new_site_and_gets_the_rest(site: Product) -> None:
    data, base = site.table("users_field_data", "uid"), site.table("users", "uid")

    assert data[1]["pass"] == "$2y$10$thenewsitesownpassword"
    assert (data[1]["mail"], data[1]["created"]) == ("root@old.example", 1_300_000_001)
    assert (base[1]["uuid"], base[1]["langcode"]) == ("11111111-1111-1111-1111-111111111111", "de")
    assert base[0] == {"uid": 0, "uuid": "00000000-0000-0000-0000-000000000000", "langcode": "en"}
    assert (data[2]["pass"], data[5]["pass"]) == (S, "U" + S)
    assert uuid.UUID(base[2]["uuid"]).version == 5


def test_roles_are_machine_names_counted_from_nought_and_implied_ones_are_left_out(site: Product) -> None:
    found = site.rows("select entity_id, delta, roles_target_id from user__roles order by 1, 2")

    assert found == [(1, 0, "administrator"), (4, 0, "administrator"), (4, 1, "content_editor_de_")]


def test_of_the_serialized_settings_only_those_of_modules_that_are_there_move(site: Product) -> None:
    assert site.rows("select uid, module, name, value, serialized from users_data order by uid") == [
        (4, "contact", "enabled", "1", 0),
        (5, "contact", "enabled", "0", 0),
    ]


def test_taking_everybody_back_leaves_the_new_site_as_it_was(site: Product) -> None:
    site.project.do("verify")

    site.project.do("rollback", "all", "--yes")

    assert site.dump() == (site.project.folder / "before.sql").read_text(encoding="utf-8")
