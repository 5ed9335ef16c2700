"""phpBB 3.0 members to Discourse: bans, groups, birthdays with blanks, old hashes, and people who signed up twice."""

from __future__ import annotations

import pytest

from tests.journeys.products import Product

LEGACY = """
create table phpbb_users (
  user_id integer primary key, user_type tinyint not null, group_id int not null, user_ip varchar(40) not null,
  user_regdate int not null, username varchar(255) not null, username_clean varchar(255) not null unique,
  user_password varchar(255) not null, user_email varchar(100) not null, user_birthday varchar(10) not null,
  user_lastvisit int not null, user_posts int not null, user_lang varchar(30) not null, user_timezone decimal(5, 2) not null,
  user_avatar varchar(255) not null, user_avatar_type tinyint not null, user_from varchar(100) not null,
  user_icq varchar(15) not null, user_website varchar(200) not null, user_occ text not null, user_interests text not null,
  user_inactive_reason tinyint not null);
create table phpbb_groups (group_id integer primary key, group_name varchar(255) not null);
create table phpbb_banlist (
  ban_id integer primary key, ban_userid int not null, ban_ip varchar(40) not null, ban_email varchar(100) not null,
  ban_start int not null, ban_end int not null, ban_exclude tinyint not null, ban_reason varchar(255) not null,
  ban_give_reason varchar(255) not null);
create index ban_user on phpbb_banlist (ban_userid, ban_exclude);
create table phpbb_posts (post_id integer primary key, poster_id int not null, post_username varchar(255) not null);
create table phpbb_zebra (user_id int not null, zebra_id int not null, friend tinyint, foe tinyint, primary key (user_id, zebra_id));
insert into phpbb_groups values (2, 'REGISTERED'), (4, 'GLOBAL_MODERATORS'), (5, 'ADMINISTRATORS'), (6, 'BOTS');
"""
TARGET = """
create table users (
  id integer primary key autoincrement, username varchar(60) not null, username_lower varchar(60) not null unique,
  created_at timestamp not null, last_seen_at timestamp, date_of_birth date, registration_ip_address varchar(45),
  active boolean not null default 0, approved boolean not null default 0, trust_level integer not null,
  admin boolean not null default 0, moderator boolean not null default 0, suspended_till timestamp);
create table user_emails (
  id integer primary key autoincrement, user_id integer not null references users (id), email varchar(513) not null unique,
  "primary" boolean not null default 0, created_at timestamp not null);
create table user_profiles (user_id integer primary key references users (id), location varchar(3000), website varchar(3000));
create table user_custom_fields (
  id integer primary key autoincrement, user_id integer not null references users (id), name varchar(256) not null, value text);
insert into users (id, username, username_lower, created_at, trust_level) values (-1, 'system', 'system', '2026-01-01 00:00:00', 4);
insert into users (id, username, username_lower, created_at, trust_level) values (1, 'hobbes', 'hobbes', '2026-01-01 00:00:00', 4);
"""
PHPASS = "$H$9abcdefghijklmnopqrstuvwxyz0123"
BCRYPT = "$2y$10$abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0"
FOR_EVER = "2226-01-01"


def member(user_id: int, **more: object) -> tuple[object, ...]:
    """One row of phpbb_users, with one thing changed."""
    name = more.get("username", f"member{user_id}")
    values: dict[str, object] = {
        "user_id": user_id, "user_type": 0, "group_id": 2, "user_ip": f"10.0.0.{user_id}",
        "user_regdate": 1_200_000_000 + user_id, "username": name, "username_clean": f"clean{user_id}",
        "user_password": PHPASS, "user_email": f"m{user_id}@forum.example", "user_birthday": " 0- 0-   0",
        "user_lastvisit": 1_300_000_000 + user_id, "user_posts": 5, "user_lang": "en", "user_timezone": 0,
        "user_avatar": "", "user_avatar_type": 0, "user_from": "", "user_icq": "", "user_website": "", "user_occ": "",
        "user_interests": "", "user_inactive_reason": 0,
    }  # fmt: skip
    return tuple({**values, **more}.values())


def ban(ban_id: int, user_id: int, end: int, exclude: int = 0) -> tuple[object, ...]:
    """One row of phpbb_banlist."""
    return (ban_id, user_id, "", "", 1_300_000_000, end, exclude, "spam", "")


@pytest.fixture(scope="module")
def forum(tmp_path_factory: pytest.TempPathFactory) -> Product:
    """A forum whose members hold each oddity; moved, with two held."""
    forum = Product.create(tmp_path_factory.mktemp("phpbb") / "forum", "phpbb", LEGACY, TARGET)
    forum.add(
        "phpbb_users",
        member(1, user_type=2, username="Anonymous", user_email="", user_regdate=0, user_lastvisit=0),
        member(2, group_id=5, user_birthday=" 2- 3-1980"),
        member(3, group_id=4, user_birthday="31-12-   0"),
        member(4, group_id=99, user_from="D&uuml;sseldorf"),  # a group that was deleted
        member(5, user_inactive_reason=1, user_posts=0, user_lastvisit=0, user_password=""),
        member(6, user_inactive_reason=3),
        member(7), member(8), member(9),  # banned: for ever, for a while, not any more
        member(10, user_birthday="30- 2-1990", user_ip="not an address", user_password=BCRYPT),
        member(11, user_email=" Twice@Forum.example", user_birthday="1- 1-1970", user_lastvisit=1_250_000_000, user_from="Bonn"),
        member(12, user_email="twice@forum.example", user_lastvisit=1_400_000_000, group_id=4),
        member(13, username="a b!"),
        member(14, user_email="nobody"),
        member(15, user_type=2, username="Googlebot", group_id=6, user_email=""),
        member(16, user_password="5f4dcc3b5aa765d61d8327deb882cf99"),
    )  # fmt: skip
    forum.add(
        "phpbb_banlist", ban(1, 7, 0), ban(2, 8, 4_000_000_000), ban(3, 9, 1_300_000_001), ban(4, 2, 0, exclude=1)
    )
    before = forum.dump()
    forum.move(code=4)
    (forum.project.folder / "before.sql").write_text(before, encoding="utf-8")
    return forum


def user_of(forum: Product, member_id: int) -> dict[str, object]:
    """The Discourse user whom an old member became."""
    rows = forum.rows(f"select user_id from user_custom_fields where name = 'import_id' and value = '{member_id}'")
    return forum.table("users")[rows[0][0]]


def test_who_cannot_be_taken_as_he_is_goes_to_a_person(forum: Product) -> None:
    assert {user: {case[1:] for case in cases} for user, cases in forum.held().items()} == {
        "13": {("username", "matches")},
        "14": {("email", "email")},
    }
    assert forum.project.users() == {"live": 12, "held": 2, "excluded": 2}
    assert all(book["even"] for book in forum.books())


def test_two_members_with_one_address_are_one_user_and_both_numbers_lead_to_him(forum: Product) -> None:
    one, other = user_of(forum, 11), user_of(forum, 12)

    assert one == other
    assert one["username"] == "member12"  # who was here last
    assert one["created_at"] == "2008-01-10 21:20:11"  # since the first sign-up
    assert (one["date_of_birth"], one["moderator"]) == ("1970-01-01", 1)
    assert forum.rows("select count(*) from user_emails where email = 'twice@forum.example'") == [(1,)]
    assert forum.rows(f"select location from user_profiles where user_id = {one['id']}") == [("Bonn",)]
    assert forum.rows(
        f"select count(*) from user_custom_fields where user_id = {one['id']} and name = 'import_pass'"
    ) == [(1,)]
    assert "12" in forum.project.do("user", "find", "11").text


def test_bans_end_on_the_day_that_was_said_or_in_a_time_far_away(forum: Product) -> None:
    till = {number: str(user_of(forum, number)["suspended_till"] or "")[:10] for number in (2, 6, 7, 8, 9)}

    assert till == {2: "", 6: FOR_EVER, 7: FOR_EVER, 8: "2096-10-02", 9: ""}


def test_birthdays_with_blanks_are_read_and_those_that_are_none_are_left_out(forum: Product) -> None:
    assert [user_of(forum, number)["date_of_birth"] for number in (2, 3, 4, 10)] == ["1980-03-02", None, None, None]


def test_groups_make_administrators_and_a_deleted_group_loses_nobody(forum: Product) -> None:
    found = {number: (user_of(forum, number)["admin"], user_of(forum, number)["moderator"]) for number in (2, 3, 4)}

    assert found == {2: (1, 0), 3: (0, 1), 4: (0, 0)}


def test_each_kind_of_old_hash_is_carried_over_for_the_first_sign_in(forum: Product) -> None:
    query = "select value, count(*) from user_custom_fields where name = 'import_pass' group by value"

    assert dict(forum.rows(query)) == {PHPASS: 8, BCRYPT: 1, "5f4dcc3b5aa765d61d8327deb882cf99": 1}


def test_taking_everybody_back_and_moving_again_gives_the_same_numbers(forum: Product) -> None:
    moved = forum.dump()
    forum.project.do("verify")

    forum.project.do("rollback", "all", "--yes")
    assert forum.dump() == (forum.project.folder / "before.sql").read_text(encoding="utf-8")
    forum.project.do("plan", "create")
    forum.project.do("plan", "approve", "--yes")
    forum.project.do("run", "--workers", "1", "--yes", code=4)

    assert forum.dump() == moved
