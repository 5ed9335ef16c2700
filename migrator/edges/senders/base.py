"""What a sender must be able to do, and the message as every sender builds it. Nothing here knows users or plans."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import datetime
from email import utils
from email.header import Header
from typing import Protocol

from migrator.errors import Refused

LONGEST_ADDRESS = 254
LONGEST_LINE = 900  # servers may cut at 998
_WORD = r"[^\s()<>\[\]:;@\\,.\"]+"
ADDRESS = re.compile(rf"{_WORD}(\.{_WORD})*@[\w-]+(\.[\w-]+)*")


class ReceiverRefused(Refused):
    """The other side will never take a message for this receiver."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """
    One message to one receiver.

    `id` is the same whenever the same notice is sent: a receiver's side that sees it twice can drop one. `at` is when
    the message was composed.
    """

    id: str
    to: str
    subject: str
    text: str
    html: str | None
    locale: str
    at: datetime


class Sender(Protocol):
    """Hands messages over. `repeatable`: sending the same message again leaves one message, not two."""

    repeatable: bool

    def send(self, message: Outgoing) -> None:
        """
        Hand one message over.

        Raises:
            Unreachable: nobody was there; worth another attempt.
            Transient: somebody was, and asked to come later.
            ReceiverRefused: never for this receiver.
            Refused: never this message.
        """

    def close(self) -> None:
        """End the conversation; the next `send` begins a new one."""


def compose(message: Outgoing, from_: str) -> bytes:
    """
    Write the e-mail: plain text, with HTML beside it where there is some. Equal messages give equal bytes.

    Written by hand because the library's own e-mails cost five times as much, and thousands are sent.

    Raises:
        ReceiverRefused: the address is not one address.
        Refused: a line break in a header, which could smuggle in another header.
    """
    headers = {
        "From": _sender(from_),
        "To": address(message.to),
        "Subject": Header(_one_line("subject", message.subject), _charset(message.subject)).encode(linesep="\r\n"),
        "Date": utils.format_datetime(message.at),
        "Message-ID": f"<{_one_line('id', message.id)}@{domain(from_)}>",
        "Content-Language": _one_line("locale", message.locale),
        "Auto-Submitted": "auto-generated",
        "MIME-Version": "1.0",
    }
    body = _part("plain", message.text)
    if message.html is not None:
        line = f"={message.id}="
        headers["Content-Type"] = f'multipart/alternative; boundary="{line}"'
        parts = [f"--{line}\r\n{part}\r\n" for part in (body, _part("html", message.html))]
        body = "\r\n" + "".join(parts) + f"--{line}--\r\n"
    return ("".join(f"{name}: {value}\r\n" for name, value in headers.items()) + body).encode()


def address(text: str) -> str:
    """
    Make sure that this is one plain address such as `ada@example.org`, and give it back.

    Stricter than the mail standards, which allow comments, quotes and blanks that nobody's mailbox has.

    Raises:
        ReceiverRefused: it is none, or more than one. The words do not repeat it.
    """
    if len(text) > LONGEST_ADDRESS or not text.isprintable() or not ADDRESS.fullmatch(text):
        raise ReceiverRefused("the e-mail address is not one address such as name@example.org")
    return text


def domain(from_: str) -> str:
    """The domain of the sender's address, also of `Shop <mail@shop.example>`."""
    return plain(from_).rpartition("@")[2]


def plain(from_: str) -> str:
    """The bare address of `Shop <mail@shop.example>`."""
    return address(utils.parseaddr(from_)[1])


def _part(kind: str, text: str) -> str:
    """One body with its own headers. What a server could break or cut goes as base64."""
    lines = text.splitlines()
    safe = text.isascii() and all(len(line) <= LONGEST_LINE for line in lines)
    body = "".join(f"{line}\r\n" for line in lines) if safe else _base64("\r\n".join([*lines, ""]))
    return (
        f'Content-Type: text/{kind}; charset="utf-8"\r\n'
        f"Content-Transfer-Encoding: {'7bit' if safe else 'base64'}\r\n\r\n{body}"
    )


def _base64(text: str) -> str:
    return base64.encodebytes(text.encode()).decode("ascii").replace("\n", "\r\n")


def _sender(from_: str) -> str:
    name, _ = utils.parseaddr(_one_line("sender", from_))
    return utils.formataddr((name, plain(from_)))


def _charset(text: str) -> str:
    return "us-ascii" if text.isascii() else "utf-8"


def _one_line(what: str, text: str) -> str:
    if len(text.splitlines()) > 1 or "\r" in text or "\n" in text:
        raise Refused(f"the {what} of a notice holds a line break; nothing was sent")
    return text
