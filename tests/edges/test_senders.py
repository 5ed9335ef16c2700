"""Messages reach a folder and a real mail server; nothing gets into a header that was not meant to be there."""

from __future__ import annotations

import pickle
import socket
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import pytest
from aiosmtpd.controller import Controller
from hypothesis import example, given
from hypothesis import strategies as st

from migrator.edges.senders.base import Outgoing, ReceiverRefused, address, compose
from migrator.edges.senders.email import SmtpSender
from migrator.edges.senders.file import FileSender
from migrator.errors import Refused, SettingWrong, Transient, Unreachable

FROM = "Shop <news@shop.example>"
A_MESSAGE = Outgoing(
    id="0123456789abcdef",
    to="ada@example.org",
    subject="您的账户已完成迁移",
    text="Hello Ada,\nschön.\n",
    html="<p>Hello Ada</p>\n",
    locale="zh-CN",
    at=datetime(2030, 1, 31, 9, 30, tzinfo=UTC),
)


class Postbox:
    """A mail server's memory; says what it is told to say to receivers and messages."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.envelopes: list[tuple[str, list[str]]] = []
        self.to_receivers, self.to_messages = "250 OK", "250 OK"
        self.greetings = 0

    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, host: str, answers: list[str]) -> list[str]:
        self.greetings += 1
        session.host_name = host
        return answers

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, to: str, options: list[str]) -> str:
        if self.to_receivers.startswith("250"):
            envelope.rcpt_tos.append(to)
        return self.to_receivers

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.to_messages.startswith("250"):
            self.mails.append(read(envelope.content))
            self.envelopes.append((envelope.mail_from, envelope.rcpt_tos))
        return self.to_messages


def read(content: bytes) -> EmailMessage:
    return cast(EmailMessage, message_from_bytes(content, policy=policy.default))


def words(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


@pytest.fixture
def postbox() -> Iterator[tuple[Postbox, str]]:
    """A real SMTP server on a free port, and its URL."""
    box = Postbox()
    server = Controller(box, hostname="127.0.0.1", port=free_port())
    server.start()
    yield box, f"smtp://127.0.0.1:{server.port}"
    server.stop()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_a_message_arrives_as_it_was_composed(postbox: tuple[Postbox, str]) -> None:
    box, url = postbox
    sender = SmtpSender(url, FROM)

    sender.send(A_MESSAGE)
    sender.close()

    (mail,) = box.mails
    assert mail["Subject"] == "您的账户已完成迁移"
    assert mail["To"] == "ada@example.org"
    assert mail["Message-ID"] == "<0123456789abcdef@shop.example>"
    assert words(mail, "plain") == "Hello Ada,\nschön.\n"
    assert words(mail, "html") == "<p>Hello Ada</p>\n"
    assert box.envelopes == [("news@shop.example", ["ada@example.org"])]


def test_many_messages_need_one_conversation(postbox: tuple[Postbox, str]) -> None:
    box, url = postbox
    sender = SmtpSender(url, FROM)

    for number in range(3):
        sender.send(replace(A_MESSAGE, id=f"m{number}"))
    sender.close()

    assert len(box.mails) == 3
    assert box.greetings == 1


def test_a_sender_that_was_closed_begins_anew(postbox: tuple[Postbox, str]) -> None:
    box, url = postbox
    sender = SmtpSender(url, FROM)

    sender.send(A_MESSAGE)
    sender.close()
    sender.send(A_MESSAGE)
    sender.close()

    assert [mail["Message-ID"] for mail in box.mails] == ["<0123456789abcdef@shop.example>"] * 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [("550 5.1.1 ada@example.org unknown", ReceiverRefused), ("451 4.7.1 greylisted", Transient)],
)
def test_a_refused_receiver_is_told_without_the_address(
    postbox: tuple[Postbox, str], answer: str, error: type[Exception]
) -> None:
    box, url = postbox
    box.to_receivers = answer
    sender = SmtpSender(url, FROM)

    with pytest.raises(error) as told:
        sender.send(A_MESSAGE)

    assert answer[:3] in str(told.value)
    assert "ada" not in str(told.value)
    assert told.value.__cause__ is None


@pytest.mark.parametrize(("answer", "error"), [("554 5.7.1 spam", Refused), ("452 4.3.1 full", Transient)])
def test_a_refused_message_is_not_the_receivers_fault(
    postbox: tuple[Postbox, str], answer: str, error: type[Exception]
) -> None:
    box, url = postbox
    box.to_messages = answer
    sender = SmtpSender(url, FROM)

    with pytest.raises(error) as told:
        sender.send(A_MESSAGE)

    assert not isinstance(told.value, ReceiverRefused)


def test_after_a_refusal_the_next_message_goes_out(postbox: tuple[Postbox, str]) -> None:
    box, url = postbox
    sender = SmtpSender(url, FROM)
    box.to_receivers = "550 no"
    with pytest.raises(ReceiverRefused):
        sender.send(A_MESSAGE)

    box.to_receivers = "250 OK"
    sender.send(A_MESSAGE)
    sender.close()

    assert len(box.mails) == 1


def test_nobody_at_the_port_is_unreachable() -> None:
    sender = SmtpSender(f"smtp://127.0.0.1:{free_port()}", FROM)

    with pytest.raises(Unreachable, match=r"cannot reach the mail server 127.0.0.1:\d+: Connection refused"):
        sender.send(A_MESSAGE)


@pytest.mark.parametrize("url", ["localhost:25", "http://mail.example.org", "smtp://", "smtp://host:many"])
def test_what_is_no_smtp_url_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(SettingWrong, match="smtp"):
        SmtpSender(url, FROM)


def test_ports_and_users_follow_the_url() -> None:
    plain, secure = SmtpSender("smtp://mail.example", FROM), SmtpSender("smtps://ad%40min:s3cret@mail.example", FROM)

    assert (plain.port, plain.secure, plain.user) == (25, False, None)
    assert (secure.port, secure.secure, secure.user, secure.password) == (465, True, "ad@min", "s3cret")


def test_a_file_is_a_mail_that_only_its_owner_reads(tmp_path: Path) -> None:
    FileSender(tmp_path / "outbox", FROM).send(A_MESSAGE)

    (file,) = (tmp_path / "outbox").iterdir()
    assert file.name == "0123456789abcdef.eml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert words(read(file.read_bytes()), "plain") == "Hello Ada,\nschön.\n"


def test_sending_twice_leaves_one_file_with_equal_bytes(tmp_path: Path) -> None:
    sender = FileSender(tmp_path, FROM)
    sender.send(A_MESSAGE)
    first = (tmp_path / "0123456789abcdef.eml").read_bytes()

    sender.send(A_MESSAGE)

    assert [file.name for file in tmp_path.iterdir()] == ["0123456789abcdef.eml"]
    assert (tmp_path / "0123456789abcdef.eml").read_bytes() == first


def test_a_folder_that_cannot_be_made_is_worth_another_attempt(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file is in the way")

    with pytest.raises(Transient, match="cannot write a notice"):
        FileSender(tmp_path / "outbox", FROM).send(A_MESSAGE)


def test_an_id_never_leaves_the_folder(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        FileSender(tmp_path / "outbox", FROM).send(replace(A_MESSAGE, id="../escaped"))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("field", ["subject", "id", "locale"])
@pytest.mark.parametrize("said", ["x\r\nBcc: eve@example.org", "x\n", "x\r", "x\x0bBcc: eve@example.org"])
def test_a_line_break_in_a_header_is_refused(field: str, said: str) -> None:
    smuggled: dict[str, Any] = {field: said}

    with pytest.raises(Refused):
        compose(replace(A_MESSAGE, **smuggled), FROM)


@pytest.mark.parametrize(
    "to",
    ["", "ada", "@example.org", "ada@", "ada@example.org, eve@example.org", "ada@example.org\nBcc: eve@example.org",
     "Ada <ada@example.org>", "ada @example.org"],
)  # fmt: skip
def test_what_is_not_one_plain_address_is_refused_without_repeating_it(to: str) -> None:
    with pytest.raises(ReceiverRefused) as told:
        compose(replace(A_MESSAGE, to=to), FROM)

    assert "ada" not in str(told.value)


@given(st.text(max_size=30) | st.text('ab@@..,:;<>"\\() \r\nü=?_', max_size=30))
def test_no_address_is_ever_two_receivers_or_two_headers(text: str) -> None:
    try:
        mail = compose(replace(A_MESSAGE, to=text), FROM)
    except ReceiverRefused:
        return
    again = read(mail)

    assert again.keys() == read(compose(A_MESSAGE, FROM)).keys()
    assert len(again["To"].addresses) == 1


def test_addresses_in_other_scripts_are_addresses() -> None:
    mail = compose(replace(A_MESSAGE, to=address("用户@例子.example")), FROM)

    assert "To: 用户@例子.example\r\n" in mail.decode()


def test_a_message_without_html_is_plain_text() -> None:
    mail = read(compose(replace(A_MESSAGE, html=None), FROM))

    assert mail.get_content_type() == "text/plain"


@given(st.text(max_size=400), st.text(max_size=3000))
@example("a" * 900, "b" * 3000)
def test_whatever_is_said_arrives(subject: str, text: str) -> None:
    said = " ".join("".join(sign if sign.isprintable() else " " for sign in subject).split())
    body = "".join(f"{line}\n" for line in text.splitlines() if line.isprintable())
    mail = compose(replace(A_MESSAGE, subject=said, text=body, html=body), FROM)

    assert all(len(line) <= 998 for line in mail.split(b"\r\n"))
    assert mail.isascii()
    assert b"\n" not in mail.replace(b"\r\n", b"")
    again = read(mail)
    assert again["Subject"] == said
    assert words(again, "plain") == words(again, "html") == body


def test_a_sender_with_a_name_in_another_script_is_readable() -> None:
    mail = read(compose(A_MESSAGE, "小店 <news@shop.example>"))

    assert mail["From"] == "小店 <news@shop.example>"


def test_equal_messages_have_equal_bytes() -> None:
    assert compose(A_MESSAGE, FROM) == compose(A_MESSAGE, FROM)


def test_a_refusal_survives_its_way_through_the_queue() -> None:
    assert str(pickle.loads(pickle.dumps(ReceiverRefused("no")))) == "no"
