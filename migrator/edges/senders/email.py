"""Hands messages to a mail server over SMTP. One conversation for many messages; addresses never get into errors."""

from __future__ import annotations

import smtplib
import ssl
from urllib.parse import unquote, urlsplit

from migrator.edges.senders.base import Outgoing, ReceiverRefused, compose, plain
from migrator.errors import Refused, SettingWrong, Transient, Unreachable

HERE = {"localhost", "127.0.0.1", "::1"}
PATIENCE = 30.0  # seconds for each answer of the server


class SmtpSender:
    """A mail server under smtp:// (TLS as soon as the server offers it) or smtps:// (TLS from the first byte)."""

    repeatable = False  # two hand-overs may become two mails

    def __init__(self, url: str, from_: str, password: str | None = None) -> None:
        self.from_, self.sender = from_, plain(from_)
        self.secure, self.host, self.port, self.user, inside = _parts(url)
        self.password = password or inside
        self._smtp: smtplib.SMTP | None = None

    def send(self, message: Outgoing) -> None:
        """Hand one message over; it is sent once the server has said so."""
        mail = compose(message, self.from_)
        options = () if message.to.isascii() else ("SMTPUTF8", "BODY=8BITMIME")
        try:
            if self._smtp is None:
                self._smtp = self._connect()
            self._smtp.sendmail(self.sender, [message.to], mail, options)
        except (smtplib.SMTPException, OSError) as exc:
            self._forget()
            # not chained: a server's words often repeat the address
            raise self._told(exc) from None
        except UnicodeEncodeError:
            raise ReceiverRefused("the e-mail address has signs that no header can carry") from None

    def close(self) -> None:
        """Say goodbye to the server."""
        if self._smtp is not None:
            try:
                self._smtp.quit()
            except (smtplib.SMTPException, OSError):
                self._smtp.close()  # it has gone already; what was sent is sent
            self._smtp = None

    def _connect(self) -> smtplib.SMTP:
        if self.secure:
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=PATIENCE, context=_tls())
        else:
            smtp = smtplib.SMTP(self.host, self.port, timeout=PATIENCE)
        try:
            self._greet(smtp)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _greet(self, smtp: smtplib.SMTP) -> None:
        smtp.ehlo_or_helo_if_needed()
        covered = self.secure or self.host in HERE  # what stays on this machine needs no cover
        if not covered and smtp.has_extn("starttls"):
            smtp.starttls(context=_tls())
            smtp.ehlo()
            covered = True
        if self.user and self.password:
            if not covered:
                raise SettingWrong(
                    f"the mail server {self.host} offers no TLS; the password was not sent: use smtps://"
                )
            smtp.login(self.user, self.password)

    def _forget(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None

    def _told(self, exc: Exception) -> Exception:
        where = f"the mail server {self.host}:{self.port}"
        if isinstance(exc, smtplib.SMTPRecipientsRefused):
            code = next(iter(exc.recipients.values()))[0]
            return (
                _later(where, code) if 400 <= code < 500 else ReceiverRefused(f"{where} refused the receiver ({code})")
            )
        if isinstance(exc, smtplib.SMTPNotSupportedError):
            return ReceiverRefused(f"{where} cannot take this receiver's address")
        if isinstance(exc, smtplib.SMTPAuthenticationError):
            return Unreachable(f"{where} refused the login ({exc.smtp_code}); see [notices] smtp and smtp_password")
        if isinstance(exc, smtplib.SMTPResponseException) and not isinstance(exc, smtplib.SMTPConnectError):
            code = exc.smtp_code
            return _later(where, code) if 400 <= code < 500 else Refused(f"{where} refused the message ({code})")
        words = exc.strerror if isinstance(exc, OSError) and exc.strerror else type(exc).__name__
        return Unreachable(f"cannot reach {where}: {words}")


def _later(where: str, code: int) -> Transient:
    return Transient(f"{where} asks to come later ({code})")


def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _parts(url: str) -> tuple[bool, str, int, str | None, str | None]:
    """Secure, host, port, user and password of an SMTP URL."""
    try:
        found = urlsplit(url)
        port = found.port
    except ValueError as exc:
        raise SettingWrong(f"[notices] smtp is no URL such as smtps://user@mail.example.org:465 ({exc})") from None
    if found.scheme not in ("smtp", "smtps") or not found.hostname:
        raise SettingWrong(
            "[notices] smtp must be a URL such as smtp://localhost:25 or smtps://user@mail.example.org:465"
        )
    secure = found.scheme == "smtps"
    user, password = (unquote(part) if part else None for part in (found.username, found.password))
    return secure, found.hostname, port or (465 if secure else 587 if user else 25), user, password
