from __future__ import annotations

import base64
import errno
import io
import os
import random
import stat
import subprocess
import sys
import zipfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from migrator.edges.keys import ProjectKey
from migrator.edges.snapshots import Ref, Snapshots
from migrator.errors import Refused, SnapshotDamaged, Transient

KEY = ProjectKey(bytes(32))
REF = Ref("plan 1", batch=7, fence=2, set_hash="abc")
SECRET = "ann.secret@example.org"


def some_frames() -> dict[str, pl.DataFrame]:
    items = pl.List(pl.Struct({"sku": pl.String, "price": pl.Decimal(38, 18)}))
    return {
        "source/accounts": pl.DataFrame(
            {
                "__user": ["1", "2", None],
                "email": [SECRET, "", None],
                "items": [
                    [{"sku": "a", "price": Decimal("0.000000000000000001")}, {"sku": None, "price": None}],
                    [],
                    None,
                ],
                "total": [Decimal("-12345678901234567890.123456789012345678"), None, Decimal(0)],
                "raw": [b"\x00\xff", b"", None],
            },
            schema_overrides={"items": items, "total": pl.Decimal(38, 18)},
        ),
        "before/Odd 'table'": pl.DataFrame(schema={"id": pl.Int64, "ok": pl.Boolean, "items": items}),
        "keys/orders": pl.DataFrame({"id": ["x", "y"]}),
    }


def test_what_is_kept_is_loaded_with_every_value_and_type(tmp_path: Path) -> None:
    path = Snapshots(tmp_path / "deep" / "er", KEY).keep(REF, {"users": 3, "names": ["ä"]}, some_frames())

    kept = Snapshots(tmp_path / "deep" / "er", KEY).load(REF)

    assert (tmp_path / "deep" / "er" / path).is_file()
    assert kept.manifest == {"users": 3, "names": ["ä"]}
    assert list(kept.frames) == list(some_frames())
    for name, frame in some_frames().items():
        assert_frame_equal(kept.frames[name], frame)


def test_a_snapshot_shows_nothing_to_others(tmp_path: Path) -> None:
    path = tmp_path / Snapshots(tmp_path, KEY).keep(REF, {}, some_frames())

    content = path.read_bytes()
    assert SECRET.encode() not in content
    assert b"ARROW" not in content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@settings(max_examples=40)
@given(st.integers(0), st.integers(1, 255))
def test_a_changed_byte_anywhere_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, position: int, change: int
) -> None:
    root = tmp_path_factory.mktemp("s")
    snapshots = Snapshots(root, KEY)
    path = root / snapshots.keep(REF, {}, {"keys/orders": pl.DataFrame({"id": [1]})})
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= change
    path.write_bytes(content)

    with pytest.raises(SnapshotDamaged, match="batch 7"):
        snapshots.load(REF)


@pytest.mark.parametrize("length", [0, 5, 12, 40, 100])
def test_a_cut_off_file_is_damaged(tmp_path: Path, length: int) -> None:
    snapshots = Snapshots(tmp_path, KEY)
    path = tmp_path / snapshots.keep(REF, {}, some_frames())
    path.write_bytes(path.read_bytes()[:length])

    with pytest.raises(SnapshotDamaged):
        snapshots.load(REF)


@pytest.mark.parametrize("change", [{"plan": "plan 2"}, {"batch": 8}, {"fence": 3}, {"set_hash": "abd"}])
def test_a_snapshot_in_the_place_of_another_does_not_open(tmp_path: Path, change: dict[str, object]) -> None:
    snapshots = Snapshots(tmp_path, KEY)
    other = replace(REF, **change)  # type: ignore[arg-type]
    mine, theirs = (tmp_path / snapshots.keep(ref, {}, {}) for ref in (REF, other))
    if mine != theirs:
        mine.write_bytes(theirs.read_bytes())

    with pytest.raises(SnapshotDamaged):
        snapshots.load(REF)


def test_another_project_key_opens_nothing(tmp_path: Path) -> None:
    Snapshots(tmp_path, KEY).keep(REF, {}, some_frames())

    with pytest.raises(SnapshotDamaged):
        Snapshots(tmp_path, ProjectKey(bytes([1]) * 32)).load(REF)


def test_kept_again_it_is_replaced_as_a_whole_and_leaves_no_part(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, KEY)

    first = snapshots.keep(REF, {"n": 1}, some_frames())
    second = snapshots.keep(REF, {"n": 2}, {})

    assert first == second
    assert snapshots.load(REF).manifest == {"n": 2}
    assert snapshots.load(REF).frames == {}
    assert [file.name for file in (tmp_path / first).parent.iterdir()] == ["7-2.snapshot"]


def test_a_deleted_snapshot_is_gone_and_may_be_deleted_again(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, KEY)
    snapshots.delete(REF)
    snapshots.keep(REF, {}, {})

    snapshots.delete(REF)
    snapshots.delete(REF)

    with pytest.raises(SnapshotDamaged, match="is not there"):
        snapshots.load(REF)


def test_a_user_who_is_erased_is_in_no_frame_any_more(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, KEY)
    path = tmp_path / snapshots.keep(REF, {"n": 1}, some_frames())
    before = path.read_bytes()

    snapshots.rewrite(REF, {"1", "99"})

    kept = snapshots.load(REF)
    assert kept.frames["source/accounts"]["__user"].to_list() == ["2", None]
    assert kept.frames["keys/orders"].height == 2
    assert kept.manifest == {"n": 1}
    assert path.read_bytes()[:80] != before[:80]  # another data key


def test_of_a_user_who_is_erased_nothing_is_left_in_the_file(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, KEY)
    notes = [base64.b64encode(random.randbytes(100_000)).decode(), "short"]
    frame = pl.DataFrame({"__user": ["1", "2"], "notes": [[{"text": note, "also": [note]}] for note in notes]})
    path = tmp_path / snapshots.keep(REF, {}, {"source/accounts": frame})
    assert path.stat().st_size > 100_000

    snapshots.rewrite(REF, {"1"})

    assert path.stat().st_size < 10_000
    assert_frame_equal(snapshots.load(REF).frames["source/accounts"], frame.tail(1))


def test_a_snapshot_whose_parts_are_parquet_is_read_as_one_of_today(tmp_path: Path) -> None:
    snapshots, packed = Snapshots(tmp_path, KEY), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as parts:
        parts.writestr("manifest.json", '{"users": 3}')
        for name, frame in some_frames().items():
            frame.write_parquet(part := io.BytesIO())
            parts.writestr(f"{name}.parquet", part.getvalue())
    path = tmp_path / snapshots.keep(REF, {}, {})
    path.write_bytes(snapshots._sealed(REF, packed.getvalue()))

    kept = snapshots.load(REF)

    assert kept.manifest == {"users": 3}
    for name, frame in some_frames().items():
        assert_frame_equal(kept.frames[name], frame)


def test_a_plan_cannot_name_a_folder_outside(tmp_path: Path) -> None:
    root = tmp_path / "root"
    path = (root / Snapshots(root, KEY).keep(replace(REF, plan="../../x/.."), {}, {})).resolve()

    assert path.is_relative_to(root.resolve())


def test_a_full_disk_may_pass_and_leaves_the_snapshot_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots = Snapshots(tmp_path, KEY)
    path = tmp_path / snapshots.keep(REF, {"n": 1}, {})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(Transient, match="No space left"):
        patched.setattr(os, "fsync", full)
        snapshots.keep(REF, {"n": 2}, {})

    assert snapshots.load(REF).manifest == {"n": 1}
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("")

    with pytest.raises(Refused, match="cannot be used"):
        Snapshots(tmp_path / "root", KEY).keep(REF, {}, {})


#: Whoever looks at a frame that is being written must not stop the one who writes it, nor himself.
BESIDE = """
import threading
import polars as pl
from migrator.edges.snapshots import _packed

frame, over = pl.DataFrame({"text": [str(number) for number in range(200)]}), threading.Event()

def look():
    while not over.is_set():
        frame.is_empty()

for _ in range(2):
    threading.Thread(target=look, daemon=True).start()
for _ in range(1000):
    _packed({}, {"a": frame})
over.set()
"""


def test_a_frame_that_somebody_else_looks_at_meanwhile_is_kept() -> None:
    done = subprocess.run([sys.executable, "-c", BESIDE], timeout=120, check=False, cwd=Path(__file__).parents[2])

    assert done.returncode == 0
