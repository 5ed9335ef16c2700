"""Where snapshots lie: one suite for a folder and for a store that speaks S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from migrator.edges.keys import ProjectKey
from migrator.edges.shelves import Folder, Shelf, Store, shelf
from migrator.edges.snapshots import Ref, Snapshots
from migrator.errors import Refused, SettingWrong, SnapshotDamaged, Transient, Unreachable
from tests.edges.s3_server import S3Server

KEY = ProjectKey(bytes(32))
REF = Ref("1", batch=7, fence=2, set_hash="abc")


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_ACCESS_KEY_ID", "t")
        patched.setenv("AWS_SECRET_ACCESS_KEY", "t")
        patched.setenv("AWS_DEFAULT_REGION", "us-east-1")
        server = S3Server()
        yield server
        server.stop()


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    """An empty shelf of each kind."""
    if request.param == "folder":
        return shelf(str(tmp_path / "kept"), {})
    server: S3Server = request.getfixturevalue("s3")
    server.empty()
    return shelf(server.url, server.options)


def test_what_was_put_there_is_there_until_it_is_deleted(place: Shelf) -> None:
    assert place.get("a/b") is None
    place.put("a/b", b"one")
    place.put("a/b", b"two, longer")
    place.put("a/c", b"")

    assert (place.get("a/b"), place.get("a/c")) == (b"two, longer", b"")
    assert [(one.name, one.size) for one in place.items("")] == [("a/b", 11), ("a/c", 0)]
    assert [one.name for one in place.items("a")] == ["a/b", "a/c"]
    place.delete("a/b")
    place.delete("a/b")
    assert place.get("a/b") is None
    assert [one.name for one in place.items("")] == ["a/c"]


def test_a_shelf_below_a_shelf_is_one_of_its_folders(place: Shelf) -> None:
    place.below("deep").put("x", b"1")

    assert place.get("deep/x") == b"1"
    assert [one.name for one in place.below("deep").items("")] == ["x"]
    assert place.where("deep/x") == place.below("deep").where("x")


def test_snapshots_are_kept_listed_and_deleted_on_any_shelf(place: Shelf) -> None:
    snapshots = Snapshots(place, KEY)
    frame = pl.DataFrame({"__user": ["1", "2"], "email": ["a@x.example", None]})
    assert snapshots.keep(REF, {"n": 1}, {"source/a": frame}) == "plan-1/000000/7-2.snapshot"
    snapshots.archive.keep(REF, {}, {})

    (found,) = snapshots.there()

    assert (found.plan, found.batch, found.fence, found.ref("abc")) == ("1", 7, 2, REF)
    assert snapshots.load(REF).frames["source/a"].equals(frame)
    snapshots.rewrite(REF, {"1"})
    assert snapshots.load(REF).frames["source/a"]["__user"].to_list() == ["2"]
    snapshots.delete(REF)
    assert list(snapshots.there()) == []
    with pytest.raises(SnapshotDamaged, match="is not there"):
        snapshots.load(REF)


def test_a_data_key_is_wrapped_anew_and_the_content_stays(place: Shelf) -> None:
    new, old = ProjectKey(bytes([1]) * 32), KEY
    Snapshots(place, old).keep(REF, {"n": 1}, {})
    before = place.get("plan-1/000000/7-2.snapshot") or b""

    assert Snapshots(place, new).rewrap(REF, old)

    after = place.get("plan-1/000000/7-2.snapshot") or b""
    assert Snapshots(place, new).load(REF).manifest == {"n": 1}
    assert before != after and before[-20:] == after[-20:]
    assert not Snapshots(place, new).rewrap(REF, old)
    with pytest.raises(SnapshotDamaged):
        Snapshots(place, old).load(REF)
    with pytest.raises(SnapshotDamaged):
        Snapshots(place, ProjectKey(bytes([2]) * 32)).rewrap(REF, old)


def test_a_file_is_a_url_too(tmp_path: Path) -> None:
    assert isinstance(shelf(f"file://{tmp_path}/x", {}), Folder)
    assert isinstance(shelf("s3://bucket/x", {}), Store)


@pytest.mark.parametrize("name", ["secret", "aws_secret_access_key", "key", "sas_token", "password"])
def test_a_secret_in_the_settings_is_refused(name: str) -> None:
    with pytest.raises(SettingWrong, match="is a secret"):
        shelf("s3://bucket/x", {name: "hush", "endpoint_url": "http://x"})


def test_a_store_that_forgets_is_refused() -> None:
    with pytest.raises(SettingWrong, match="forgets"):
        shelf("memory://x", {})


def test_a_scheme_that_nobody_knows_says_what_to_install() -> None:
    with pytest.raises(SettingWrong, match="nonsense://"):
        shelf("nonsense://x", {}).put("a", b"")


def test_a_store_that_goes_away_is_unreachable_and_works_again(s3: S3Server) -> None:
    s3.empty()
    place = shelf(s3.url, s3.options)
    place.put("a", b"1")
    s3.stop()
    try:
        for act in (lambda: place.put("a", b"2"), lambda: place.get("a"), lambda: list(place.items(""))):
            with pytest.raises(Unreachable, match="does not answer"):
                act()
    finally:
        s3.start()

    assert place.get("a") == b"1"
    place.put("a", b"2")
    assert place.get("a") == b"2"


def test_a_bucket_that_is_not_there_is_no_snapshot_that_is_not_there(s3: S3Server) -> None:
    place = shelf("s3://elsewhere/x", s3.options)

    for act in (lambda: place.get("a"), lambda: place.put("a", b"")):
        with pytest.raises(Refused, match=r"\[snapshots\] url"):
            act()


def test_a_large_snapshot_goes_in_parts_and_is_read_back(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    s3.empty()
    sent = s3fs.S3FileSystem._pipe_file.__kwdefaults__ or {}
    assert not sent  # the size of a part is no keyword alone, so it can be set here
    monkeypatch.setattr(s3fs.S3FileSystem._pipe_file, "__defaults__", (5 * 2**20, None, "overwrite"))
    content = bytes(range(256)) * (11 * 2**20 // 256)
    place = shelf(s3.url, s3.options)

    place.put("large", content)

    assert place.get("large") == content
    assert "-" in s3.client.head_object(Bucket=s3.bucket, Key="shop/snapshots/large")["ETag"]


def test_what_the_store_has_is_compared_with_what_was_sent(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.empty()
    place = shelf(s3.url, s3.options)
    assert isinstance(place, Store)
    send = place._files.pipe_file
    monkeypatch.setattr(place._files, "pipe_file", lambda path, content: send(path, content[:-1]))

    with pytest.raises(Transient, match="not what was put there"):
        place.put("a", b"whole")
    monkeypatch.setattr(place._files, "pipe_file", lambda path, content: send(path, b"WHOLE"))
    with pytest.raises(Transient, match="not what was put there"):
        place.put("a", b"whole")


def test_no_version_of_what_was_replaced_or_deleted_is_left(s3: S3Server) -> None:
    s3.empty()
    s3.client.put_bucket_versioning(Bucket=s3.bucket, VersioningConfiguration={"Status": "Enabled"})
    place = shelf(s3.url, s3.options)
    place.put("a", b"with him")
    place.put("a", b"without")
    place.put("ab", b"another")

    def versions() -> list[str]:
        found = s3.client.list_object_versions(Bucket=s3.bucket)
        return [one["Key"].rpartition("/")[2] for one in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]]

    assert (place.get("a"), sorted(versions())) == (b"without", ["a", "ab"])
    place.delete("a")
    assert versions() == ["ab"]
