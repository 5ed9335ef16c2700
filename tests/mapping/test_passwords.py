from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

import bcrypt
import pytest
from argon2 import PasswordHasher
from argon2.low_level import Type
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.mapping import passwords
from tests.mapping.engine import outcome, stepped

FAILED = "FAILED"
PASSWORD = "correct horse, battery; 馬"
_ITOA64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


# ---- how other systems write passwords, from their own sources ------------------------------------------------------


def hexed(name: str, text: str) -> str:
    return hashlib.new(name, text.encode()).hexdigest()


def portable(setting: str, password: bytes, name: str, length: int) -> str:
    """phpass and Drupal 7 (class-phpass.php, password.inc): the digest is stretched and written in their own base 64."""
    rounds, salt = 1 << _ITOA64.index(setting[3]), setting[4:12].encode()
    digest = hashlib.new(name, salt + password).digest()
    for _ in range(rounds):
        digest = hashlib.new(name, digest + password).digest()
    said = ""
    for start in range(0, len(digest), 3):
        part = digest[start : start + 3]
        value = int.from_bytes(part, "little")
        said += "".join(_ITOA64[value >> shift & 63] for shift in range(0, 6 * (len(part) + 1), 6))
    return (setting[:12] + said)[:length]


def django(password: str, salt: str = "seasalt", rounds: int = 1000) -> str:
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), rounds)
    return f"pbkdf2_sha256${rounds}${salt}${base64.b64encode(digest).decode()}"


def werkzeug(password: str, salt: str = "aBcD") -> str:
    return f"scrypt:1024:8:1${salt}${hashlib.scrypt(password.encode(), salt=salt.encode(), n=1024, r=8, p=1).hex()}"


def argon(kind: Type) -> PasswordHasher:
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1, type=kind)


def is_argon(text: str, password: str) -> bool:
    return argon(Type.ID).verify(text, password)


def is_bcrypt(text: str, password: str) -> bool:
    return bcrypt.checkpw(password.encode(), text.encode())


#: How the new sign-in asks, by scheme: (salt, hash, password) -> whether it is the password.
SIGN_IN: dict[str, Callable[[str, str, str], bool]] = {
    "md5": lambda salt, kept, password: kept == hexed("md5", password),
    "sha1": lambda salt, kept, password: kept == hexed("sha1", password),
    "sha256": lambda salt, kept, password: kept == hexed("sha256", password),
    "md5-salted": lambda salt, kept, password: kept == hexed("md5", salt + password),
    "sha256-salted": lambda salt, kept, password: kept == hexed("sha256", salt + password),
    "phpass": lambda salt, kept, password: kept[3:] == portable(kept, password.encode(), "md5", 34)[3:],
    "drupal7": lambda salt, kept, password: kept == portable(kept, password.encode(), "sha512", 55),
    "drupal7-md5": lambda salt, kept, password: (
        kept[1:] == portable(kept[1:], hexed("md5", password).encode(), "sha512", 55)
    ),
    "bcrypt": lambda salt, kept, password: is_bcrypt(kept, password),
    "argon2i": lambda salt, kept, password: is_argon(kept, password),
    "argon2d": lambda salt, kept, password: is_argon(kept, password),
    "argon2id": lambda salt, kept, password: is_argon(kept, password),
    "pbkdf2": lambda salt, kept, password: kept == django(password),
    "scrypt": lambda salt, kept, password: kept == werkzeug(password),
}

WRITTEN = {
    "md5": hexed("md5", PASSWORD),
    "sha1": hexed("sha1", PASSWORD),
    "sha256": hexed("sha256", PASSWORD),
    "md5-salted": hexed("md5", "k3" + PASSWORD) + ":k3",
    "sha256-salted": hexed("sha256", "Zy" + PASSWORD) + ":Zy",
    "phpass": portable("$P$5saltsalt", PASSWORD.encode(), "md5", 34),
    "drupal7": portable("$S$5saltsalt", PASSWORD.encode(), "sha512", 55),
    "drupal7-md5": "U" + portable("$S$5saltsalt", hexed("md5", PASSWORD).encode(), "sha512", 55),
    "bcrypt": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode(),
    "argon2i": argon(Type.I).hash(PASSWORD),
    "argon2d": argon(Type.D).hash(PASSWORD),
    "argon2id": argon(Type.ID).hash(PASSWORD),
    "pbkdf2": django(PASSWORD),
    "scrypt": werkzeug(PASSWORD),
}


@pytest.mark.parametrize("scheme", SIGN_IN)
def test_who_knew_the_password_before_signs_in_after_the_move_and_nobody_else(scheme: str) -> None:
    (carried,) = outcome(stepped("password_hash", None, [WRITTEN[scheme]]))

    nothing, legacy, said, salt, kept = carried.split("$", 4)
    assert (nothing, legacy, said) == ("", "legacy", scheme)
    assert SIGN_IN[scheme](salt, kept, PASSWORD)
    if not said.startswith("argon2"):  # that library raises instead of saying no
        assert not SIGN_IN[scheme](salt, kept, PASSWORD + ".")


def test_the_portable_hashes_of_this_test_are_those_of_phpass_and_drupal() -> None:
    phpass, drupal = "$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0", "$S$C33783772bRXEx1aCsvY.dqgaaSu76XmVlKrW9Qu8IQlvxHlmzLf"

    assert portable(phpass, b"test12345", "md5", 34) == phpass
    assert portable(drupal, b"hashcat", "sha512", 55) == drupal


@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        ("phpass", "$H$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0"),
        ("bcrypt", "$2y$07$BCryptRequires22Chrcte/VlQH0piJtjXl.0t1XkA8pw9dMXTTOq"),
        ("bcrypt", "$2a$05$LhayLxezLhK1LhWvKxCyLOj0j1u.Kj0jZ0pEmm134uzrQlFvQJLF6"),
        ("bcrypt", "bcrypt$$2b$05$LhayLxezLhK1LhWvKxCyLOj0j1u.Kj0jZ0pEmm134uzrQlFvQJLF6"),
        ("bcrypt-sha256", "bcrypt_sha256$$2b$05$LhayLxezLhK1LhWvKxCyLOj0j1u.Kj0jZ0pEmm134uzrQlFvQJLF6"),
        ("bcrypt-wordpress", "$wp$2y$10$LhayLxezLhK1LhWvKxCyLOj0j1u.Kj0jZ0pEmm134uzrQlFvQJLF6"),
        ("argon2i", "$argon2i$v=19$m=1024,t=2,p=2$YzJBSzV4TUhkMzc3d3laeg$zqU/1IN0/AogfP4cmSJI1vc8lpXRW9/S0sYY2i2jHT0"),
        ("argon2id", "argon2$argon2id$v=19$m=102400,t=2,p=8$c29tZXNhbHQ$RdescudvJCsgt3ub+b1dWRWJTmaaJObG"),
        ("pbkdf2", "$pbkdf2-sha256$6400$.6UI/S.nXIk8jcbdHx3Fhg$98jZicV16ODfEsEZeYPGHU3kbrUrvUEXOPimVSQDD44"),
        ("pbkdf2", "pbkdf2:sha256:600000$YmFzZQ$0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        ("scrypt", "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E"),
        ("scrypt", "scrypt$pPn3wC$16384$8$1$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E="),
        ("sha512", "0" * 128),
        ("sha1-salted", "A" * 40 + ":pepper"),
    ],
)
def test_a_form_that_says_itself_is_carried_whole_behind_its_tag(scheme: str, text: str) -> None:
    digest, _, salt = text.partition(":") if scheme == "sha1-salted" else (text, "", "")

    assert outcome(stepped("password_hash", "auto", [text])) == [f"$legacy${scheme}${salt}${digest}"]


UNKNOWN = [
    "",
    "secret123",
    "0" * 31,
    "0" * 33,
    "g" * 32,
    "$1$salt$hash",
    "$2y$10$abc",
    "*" + "A" * 40,
    "0" * 64 + ":salt:1",
]


@pytest.mark.parametrize("text", UNKNOWN)
def test_what_is_not_known_for_certain_is_nobodys_guess(text: str) -> None:
    assert outcome(stepped("password_hash", None, [text])) == [FAILED]


def test_with_reset_an_unknown_hash_becomes_a_mark_that_nobody_can_sign_in_with() -> None:
    made = stepped("password_hash", {"on_unsupported": "reset"}, ["plain text", None, WRITTEN["md5"]])

    assert outcome(made) == ["$legacy$reset$$", None, f"$legacy$md5$${WRITTEN['md5']}"]
    assert made.changed is not None and made.changed.to_list() == [True, False, False]


def test_a_salt_in_a_second_column_belongs_to_a_bare_digest_and_to_nothing_else() -> None:
    digests = [WRITTEN["md5"], WRITTEN["md5"], WRITTEN["bcrypt"]]

    made = outcome(stepped("password_hash", None, digests, ["k3", None, "left over"]))

    assert made == [
        f"$legacy$md5-salted$k3${WRITTEN['md5']}",
        f"$legacy$md5$${WRITTEN['md5']}",
        f"$legacy$bcrypt$${WRITTEN['bcrypt']}",
    ]


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(sorted(WRITTEN)), st.integers(0, 200), st.characters(codec="utf-8"))
def test_a_hash_that_was_damaged_is_never_taken_for_something_else_in_silence(
    scheme: str, place: int, letter: str
) -> None:
    text = WRITTEN[scheme]
    damaged = text[: place % len(text)] + letter + text[place % len(text) + 1 :]

    (made,) = outcome(stepped("password_hash", None, [damaged]))

    if made != FAILED:
        said, _, kept = made.removeprefix("$legacy$").split("$", 2)
        assert said in (scheme, scheme.removesuffix("-salted"), "phpass")
        assert damaged.startswith(kept) or damaged == kept


def test_each_form_is_known_by_one_scheme_alone() -> None:
    for scheme, text in WRITTEN.items():
        made = [
            name
            for name, pattern in passwords.known().items()
            if outcome(stepped("password_hash", {"forms": {name: pattern}}, [text])) != [FAILED]
        ]
        assert made == [scheme]
