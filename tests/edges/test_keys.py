from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.edges.keys import ProjectKey
from migrator.errors import KeyWrong, Refused, SettingWrong

KEY, OTHER = ProjectKey(bytes(32)), ProjectKey(bytes([1]) * 32)


@given(st.text(st.characters()))
def test_what_is_sealed_opens_again_and_only_with_its_key(text: str) -> None:
    sealed = KEY.seal(text)

    assert KEY.open(sealed) == text
    with pytest.raises(KeyWrong):
        OTHER.open(sealed)


def test_the_same_value_never_looks_the_same_twice() -> None:
    assert KEY.seal("ann@example.org") != KEY.seal("ann@example.org")


@given(st.integers(0), st.integers(1, 255))
def test_a_changed_byte_anywhere_is_noticed(position: int, change: int) -> None:
    sealed = bytearray(KEY.seal("a value"))
    sealed[position % len(sealed)] ^= change

    with pytest.raises(KeyWrong):
        KEY.open(bytes(sealed))


@pytest.mark.parametrize("blob", [b"", b"\x01", b"\x01short"])
def test_what_is_too_short_was_never_sealed(blob: bytes) -> None:
    with pytest.raises(KeyWrong):
        KEY.open(blob)


def test_a_fingerprint_is_the_same_for_the_same_text_and_key_only() -> None:
    assert KEY.fingerprint("ann") == KEY.fingerprint("ann") != OTHER.fingerprint("ann")
    assert KEY.fingerprint("ann") != KEY.fingerprint("Ann")
    assert len(KEY.fingerprint("")) == 32


def test_fingerprints_and_data_keys_stay_readable_for_ever() -> None:
    assert KEY.fingerprint("ann") == "ce46597c7add1b998dfbcca4cdfa87c9"


@given(st.lists(st.text(st.characters())))
def test_many_are_sealed_and_printed_like_one(texts: list[str]) -> None:
    assert [KEY.open(blob) for blob in KEY.seal_all(texts)] == texts
    assert len(set(KEY.seal_all(texts + texts))) == 2 * len(texts)
    assert KEY.fingerprints([*texts, None]) == [*map(KEY.fingerprint, texts), None]


def test_a_data_key_is_bound_to_its_purpose() -> None:
    wrapped = KEY.wrap(b"k" * 32, b"batch 1")

    assert KEY.unwrap(wrapped, b"batch 1") == b"k" * 32
    with pytest.raises(KeyWrong):
        KEY.unwrap(wrapped, b"batch 2")
    with pytest.raises(KeyWrong):
        OTHER.unwrap(wrapped, b"batch 1")


def test_a_new_key_is_a_new_file_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "project.key"
    before = os.umask(0)
    try:
        created = ProjectKey.create(file)
    finally:
        os.umask(before)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ProjectKey.load(file).open(created.seal("x")) == "x"
    with pytest.raises(Refused, match="there is a project key"):
        ProjectKey.create(file)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_not_used(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "project.key"
    ProjectKey.create(file)
    file.chmod(mode)

    with pytest.raises(SettingWrong, match="chmod 600"):
        ProjectKey.load(file)


@pytest.mark.parametrize("content", [b"", b"hello there", b"aGVsbG8="])
def test_a_file_that_holds_no_key_is_wrong_input(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "project.key"
    file.write_bytes(content)
    file.chmod(0o600)

    with pytest.raises(SettingWrong, match="project key"):
        ProjectKey.load(file)


def test_a_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingWrong, match=r"no project key at .*nowhere"):
        ProjectKey.load(tmp_path / "nowhere")


def test_a_key_does_not_print_itself() -> None:
    assert repr(KEY) == "ProjectKey(…)"
