"""Notices: written with the change they tell of, frozen, sent once, and honest about what became of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from migrator.edges.senders.base import Outgoing, ReceiverRefused
from migrator.edges.senders.file import FileSender
from migrator.errors import NotFound, Refused, Transient, Unreachable
from migrator.flows.parts import Parts
from migrator.flows.telling import delivery, notices
from migrator.flows.telling.notices import Templates
from migrator.rollout.states import Notice as Status
from migrator.store import outbox, plans, users
from migrator.store.control import Control
from tests.flows.memory import NOW, Clock, a_control, a_plan, a_project, a_user, a_wave


class Postbox:
    """A sender that keeps what it is given, unless it is told to fail."""

    repeatable = False

    def __init__(self, *troubles: BaseException | None) -> None:
        self.sent: list[Outgoing] = []
        self.troubles = list(troubles)
        self.closed = 0

    def send(self, message: Outgoing) -> None:
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble is not None:
            raise trouble
        self.sent.append(message)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    """An empty control database."""
    control = a_control(tmp_path)
    yield control
    control.close()


@pytest.fixture
def parts(control: Control, tmp_path: Path) -> Parts:
    """A project that tells its users; its clock stands still until a test moves it."""
    return a_project(tmp_path, control)


def a_reader(parts: Parts, db: Any, plan: plans.Plan, key: str, email: str | None = "", **changes: Any) -> users.User:
    """A user with an e-mail address of his own."""
    contact = {"email": f"{key}@example.org" if email == "" else email, "name": changes.pop("name", "Ada")}
    return a_user(db, plan, key, contact=parts.key.seal(json.dumps(contact)), **changes)


def queued(parts: Parts, event: str = "done", *keys: str, **changes: Any) -> plans.Plan:
    """A plan with users to whom one notice each is queued."""
    with parts.control.write() as db:
        plan = plans.current(db) or a_plan(db)
        wave = a_wave(db, plan)
        readers = [a_reader(parts, db, plan, key, wave_id=wave.id, **changes) for key in keys or ("1",)]
        notices.queue(db, parts, plan.id, wave, event, readers, NOW)
    return plan


def statuses(parts: Parts) -> dict[str, str]:
    with parts.control.read() as db:
        return {n.user_key: n.status.value for n in outbox.select(db, plans.require(db).id)}


def only(parts: Parts) -> outbox.Notice:
    with parts.control.read() as db:
        (notice,) = outbox.select(db, plans.require(db).id)
    return notice


def clock(parts: Parts) -> Clock:
    assert isinstance(parts.now, Clock)
    return parts.now


def test_a_notice_says_what_happened_to_whom(parts: Parts) -> None:
    queued(parts, locale="zh-CN", tier="core", name="Ada")
    sender = Postbox()

    sent = notices.deliver(parts, sender, 10)

    (message,) = sender.sent
    assert sent == 1
    assert (message.to, message.locale, message.at) == ("1@example.org", "zh-CN", NOW)
    assert message.subject == "您的Shop账户已完成迁移"
    assert "Ada，您好！" in message.text
    assert "我们会优先处理您的消息" in message.text
    assert "help@shop.example" in message.text
    assert only(parts).status is Status.SENT
    assert only(parts).sent_at == NOW
    assert sender.closed == 1


def test_what_was_queued_is_gone_with_the_change_that_it_told_of(parts: Parts) -> None:
    class Mishap(Exception):
        pass

    with pytest.raises(Mishap), parts.control.write() as db:
        plan = a_plan(db)
        assert notices.queue(db, parts, plan.id, None, "done", [a_reader(parts, db, plan, "1")], NOW) == 1
        raise Mishap

    assert notices.deliver(parts, Postbox(), 10) == 0


@pytest.mark.parametrize(
    "telling", [{"sender": None}, {"events": ("before",)}], ids=["there is no sender", "the event is not told"]
)
def test_nothing_is_queued_where(parts: Parts, telling: dict[str, Any]) -> None:
    silent = replace(parts, telling=replace(parts.telling, **telling))

    queued(silent, "done", "1")

    assert statuses(parts) == {}


def test_a_template_changed_after_queueing_changes_nothing_that_was_queued(parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "templates" / "done").mkdir(parents=True)
    file = tmp_path / "templates" / "done" / "en.email.j2"
    file.write_text("{% block subject %}old{% endblock %}{% block text %}old{% endblock %}")
    changing = replace(parts, telling=replace(parts.telling, templates=Templates(tmp_path / "templates")))
    queued(changing)
    file.write_text("{% block subject %}new{% endblock %}{% block text %}new{% endblock %}")
    sender = Postbox()

    later = replace(parts, telling=replace(parts.telling, templates=Templates(tmp_path / "templates")))
    notices.deliver(later, sender, 10)

    assert [message.subject for message in sender.sent] == ["old"]


@pytest.mark.parametrize(
    "email", [None, " ", "no address", "a@b.example, c@d.example", "a@b.example\nBcc: c@d.example"]
)
def test_whoever_cannot_be_reached_is_suppressed_with_the_reason(parts: Parts, email: str | None) -> None:
    queued(parts, "done", "1", email=email)

    assert only(parts).status is Status.SUPPRESSED
    assert "e-mail address" in (only(parts).error or "")
    assert notices.deliver(parts, Postbox(), 10) == 0


def test_nothing_personal_stands_open_in_the_outbox(parts: Parts) -> None:
    queued(parts, "done", "1", name="Ada Lovelace")

    stored = repr(only(parts))

    assert "Lovelace" not in stored
    assert "example.org" not in stored


def test_a_name_cannot_add_a_header_or_a_line(parts: Parts) -> None:
    queued(parts, "done", "1", name="Ada\r\nBcc: eve@example.org\x00" + "x" * 500)
    sender = Postbox()

    notices.deliver(parts, sender, 10)

    assert "Hello Ada Bcc: eve@example.org xxx" in sender.sent[0].text
    assert len(sender.sent[0].text.splitlines()[0]) < 230


def test_the_same_event_is_told_once(parts: Parts) -> None:
    with parts.control.write() as db:
        plan = a_plan(db)
        wave, reader = a_wave(db, plan), a_reader(parts, db, plan, "1")

        counts = [notices.queue(db, parts, plan.id, wave, "done", [reader], NOW) for _ in range(2)]

    assert counts == [1, 0]


def test_a_second_move_is_told_again_and_a_second_announcement_is_not(parts: Parts) -> None:
    with parts.control.write() as db:
        plan = a_plan(db)
        wave, reader = a_wave(db, plan), a_reader(parts, db, plan, "1", generation=1)
        again = replace(reader, generation=3)

        done = [notices.queue(db, parts, plan.id, wave, "done", [user], NOW) for user in (reader, again)]
        before = [notices.queue(db, parts, plan.id, wave, "before", [user], NOW) for user in (reader, again)]

    assert (done, before) == ([1, 1], [1, 0])


def test_a_broken_template_does_not_stop_the_move_and_can_be_repaired(parts: Parts, tmp_path: Path) -> None:
    folder = tmp_path / "templates"
    (folder / "done").mkdir(parents=True)
    (folder / "done" / "en.email.j2").write_text("{% block subject %}{{ wrong }}{% endblock %}")
    plan = queued(replace(parts, telling=replace(parts.telling, templates=Templates(folder))))
    assert only(parts).status is Status.FAILED
    assert "en.email.j2:1" in (only(parts).error or "")

    again = delivery.send_failed_again(parts, plan.id)
    sender = Postbox()
    notices.deliver(parts, sender, 10)

    assert again == 1
    assert [message.subject for message in sender.sent] == ["Your Shop account has moved"]


def test_variables_nobody_knows_are_a_mistake_of_the_caller(parts: Parts) -> None:
    with parts.control.write() as db:
        plan = a_plan(db)
        reader = a_reader(parts, db, plan, "1")
        with pytest.raises(NotFound, match="no variable shoe_size"):
            notices.queue(db, parts, plan.id, None, "done", [reader], NOW, shoe_size="43")


def test_a_server_that_is_away_ends_the_round_and_uses_up_no_attempt(parts: Parts) -> None:
    queued(parts, "done", "1", "2", "3")

    done = delivery.send(parts, Postbox(Unreachable("the mail server is away")), 10)

    assert (done.sent, done.later, done.trouble) == (0, 3, "the mail server is away")
    with parts.control.read() as db:
        assert {notice.attempts for notice in outbox.select(db, plans.require(db).id)} == {0}
    clock(parts).after(minutes=2)
    assert notices.deliver(parts, Postbox(), 10) == 3


def test_a_receiver_who_is_refused_bounces_and_the_others_get_theirs(parts: Parts) -> None:
    queued(parts, "done", "1", "2", "3")

    done = delivery.send(parts, Postbox(None, ReceiverRefused("refused (550)")), 10)

    assert (done.sent, done.bounced) == (2, 1)
    assert statuses(parts) == {"1": "sent", "2": "bounced", "3": "sent"}


def test_a_message_that_is_refused_fails(parts: Parts) -> None:
    queued(parts)

    delivery.send(parts, Postbox(Refused("refused the message (554)")), 10)

    assert (only(parts).status, only(parts).error) == (Status.FAILED, "refused the message (554)")


def test_who_is_asked_to_come_later_waits_longer_each_time_and_gives_up_in_the_end(parts: Parts) -> None:
    queued(parts)
    waits = []
    for _ in range(delivery.ATTEMPTS):
        delivery.send(parts, Postbox(Transient("come later (451)")), 10)
        notice = only(parts)
        if notice.status is Status.QUEUED:
            assert notice.not_before is not None
            waits.append((notice.not_before - clock(parts).now).total_seconds())
            clock(parts).now = notice.not_before

    assert waits == [60, 120, 240, 480, 960, 1920, 3600]
    assert only(parts).status is Status.FAILED


def test_a_notice_is_not_sent_before_its_time(parts: Parts) -> None:
    queued(parts)
    delivery.send(parts, Postbox(Transient("come later (451)")), 10)

    assert notices.deliver(parts, Postbox(), 10) == 0


def test_what_a_dead_sender_held_is_sent_once_more_under_the_same_id_and_then_unknown(parts: Parts) -> None:
    class Killed(BaseException):
        pass

    queued(parts)
    first, second = Postbox(), Postbox()
    with pytest.raises(Killed):
        delivery.send(parts, Postbox(Killed()), 10)
    assert notices.deliver(parts, first, 10) == 0  # another may still be at it
    clock(parts).after(minutes=6)
    with pytest.raises(Killed):
        delivery.send(parts, Dying(first, Killed()), 10)
    clock(parts).after(minutes=6)

    done = delivery.send(parts, second, 10)

    assert (done.sent, done.lost) == (0, 1)
    assert only(parts).status is Status.UNKNOWN
    assert len(first.sent) == 1
    assert second.sent == []


class Dying:
    """Hands the message over and dies before anybody knows."""

    repeatable = False

    def __init__(self, postbox: Postbox, death: BaseException) -> None:
        self.postbox, self.death = postbox, death

    def send(self, message: Outgoing) -> None:
        self.postbox.send(message)
        raise self.death

    def close(self) -> None:
        self.postbox.close()


def test_a_second_sending_is_the_same_message(parts: Parts) -> None:
    class Killed(BaseException):
        pass

    queued(parts)
    sender = Postbox()
    with pytest.raises(Killed):
        delivery.send(parts, Dying(sender, Killed()), 10)
    clock(parts).after(minutes=6)

    notices.deliver(parts, sender, 10)

    first, second = sender.sent
    assert first == second
    assert only(parts).status is Status.SENT


def test_a_round_that_takes_too_long_gives_the_rest_back(parts: Parts) -> None:
    queued(parts, "done", "1", "2")

    class Slow(Postbox):
        def send(self, message: Outgoing) -> None:
            clock(parts).after(minutes=3)
            super().send(message)

    done = delivery.send(parts, Slow(), 10)

    assert (done.sent, done.later) == (1, 1)
    assert statuses(parts) == {"1": "sent", "2": "queued"}


def test_a_round_takes_no_more_than_it_may(parts: Parts) -> None:
    queued(parts, "done", "1", "2", "3")

    assert notices.deliver(parts, Postbox(), 2) == 2


def test_the_file_sender_leaves_one_readable_mail_per_user(parts: Parts, tmp_path: Path) -> None:
    queued(parts, "before", *(str(number) for number in range(150)))

    sent = notices.deliver(parts, FileSender(tmp_path / "outbox", "Shop <news@shop.example>"), 1000)

    mails = [message_from_bytes(f.read_bytes(), policy=policy.default) for f in (tmp_path / "outbox").iterdir()]
    assert sent == len(mails) == 150
    assert {mail["Subject"] for mail in mails} == {"Your Shop account moves on 2030-01-31"}
    assert len({mail["To"] for mail in mails}) == 150


def test_the_hash_of_what_was_sent_is_kept(parts: Parts) -> None:
    queued(parts, "done", "1", "2")
    queued(parts, "done", "3", name="Grace")

    notices.deliver(parts, Postbox(), 10)

    with parts.control.read() as db:
        hashes = {n.user_key: n.content_hash for n in outbox.select(db, plans.require(db).id)}
    assert hashes["1"] == hashes["2"]
    assert hashes["1"] != hashes["3"]


def test_who_was_put_back_hears_of_it_only_if_he_heard_of_the_move(parts: Parts) -> None:
    plan = queued(parts, "done", "told")
    notices.deliver(parts, Postbox(), 10)
    queued(parts, "done", "unaware")

    with parts.control.write() as db:
        back = ["told", "unaware"]
        count = notices.take_back(db, parts, plan.id, None, back, NOW, reason="a check was not passed")
    sender = Postbox()
    notices.deliver(parts, sender, 10)

    assert count == 1
    assert [(m.to, m.subject) for m in sender.sent] == [("told@example.org", "Your Shop account is back where it was")]
    assert "a check was not passed" in sender.sent[0].text
    assert "(reference: pilot)" in sender.sent[0].text


def test_a_preview_sends_nothing_and_shows_what_would_be_sent(parts: Parts) -> None:
    with parts.control.write() as db:
        plan = a_plan(db)
        reader = a_reader(parts, db, plan, "1", locale="zh-CN", tier="edge", name="小明")

    own = notices.preview_for(parts, None, "before", reader, NOW)
    anybody = notices.preview(parts.telling, "before", tier="core")

    assert "小明，您好！" in own.text
    assert "账户随时等您回来" in own.text
    assert "You are one of our regulars" in anybody.text
    assert statuses(parts) == {}


def test_the_projects_templates_are_linted_for_the_events_that_are_told(parts: Parts) -> None:
    assert notices.lint(parts.telling) == []
    wanting = replace(parts.telling, events=("done", "survey"))
    assert "survey/en.email.j2" in notices.lint(wanting)[0]
