"""Files are written whole or not at all, also where the disk is full: then the message counts bytes."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import fs

from mixstage.errors import StoreError
from mixstage.store.files import copy_file, file_digest, free_bytes, write_bytes
from mixstage.store.store import Artifact, Store

LOCAL = fs.LocalFileSystem()


class Thing(Artifact):
    kind = "thing"
    __slots__ = ()


def refuse_to_write(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Every write stops half-way with an error of the system's."""

    def write(self: Path, content: bytes) -> int:
        with self.open("wb") as stream:
            stream.write(memoryview(content)[: len(content) // 2])
        raise OSError(number, os.strerror(number))

    def copy(source: Path, target: Path) -> None:
        write(target, source.read_bytes())

    monkeypatch.setattr(Path, "write_bytes", write)
    monkeypatch.setattr(shutil, "copyfile", copy)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(5000, 4000, 1000))  # type: ignore[attr-defined]


def test_what_is_written_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_bytes(LOCAL, str(tmp_path / "ours"), pa.py_buffer(b"content"))
    copy_file(tmp_path / "ours", LOCAL, str(tmp_path / "copy"))
    modes = {path.name: path.stat().st_mode for path in tmp_path.iterdir()}
    assert set(modes.values()) == {modes["usual"]}
    assert (tmp_path / "copy").read_bytes() == b"content"


def test_a_copy_tells_size_and_checksum_of_its_source(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    assert copy_file(tmp_path / "a", LOCAL, str(tmp_path / "b")) == file_digest(LOCAL, str(tmp_path / "b"))


@pytest.mark.parametrize("way", ["write", "copy"])
def test_a_full_disk_says_what_is_missing_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "new").write_bytes(b"x" * 3500)
    (tmp_path / "store/a").write_bytes(b"old")
    refuse_to_write(monkeypatch, errno.ENOSPC)
    target = str(tmp_path / "store/a")
    expected = f"no space left for {target}: 3,500 bytes to write, 1,000 free, 2,500 missing; free some or put"
    with pytest.raises(StoreError, match=expected):
        if way == "write":
            write_bytes(LOCAL, target, b"x" * 3500)
        else:
            copy_file(tmp_path / "new", LOCAL, target)
    assert {path.name: path.read_bytes() for path in (tmp_path / "store").iterdir()} == {"a": b"old"}


@pytest.mark.parametrize("way", ["write", "copy"])
def test_another_error_of_the_system_stays_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    (tmp_path / "new").write_bytes(b"x" * 3500)
    with pytest.raises(FileNotFoundError):
        write_bytes(LOCAL, str(tmp_path / "no/such/folder/a"), b"x")
    refuse_to_write(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        if way == "write":
            write_bytes(LOCAL, str(tmp_path / "a"), b"x" * 3500)
        else:
            copy_file(tmp_path / "new", LOCAL, str(tmp_path / "a"))
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_an_interrupted_writer_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Path, content: bytes) -> int:
        self.touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(LOCAL, str(tmp_path / "a"), b"x")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB; only who may mount has one."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full_takes_no_shard_and_the_finished_ones_stay(small_disk: Path) -> None:
    store = Store(str(small_disk / "store"))
    draft = store.draft(Thing, {"n": 1})
    draft.table("a.parquet", pa.table({"n": range(10)}))
    big = pa.table({"n": np.random.default_rng(0).integers(0, 1 << 60, 12_000)})
    free = free_bytes(store.filesystem, store.root)
    with pytest.raises(StoreError, match=rf"no space left for .*b\.parquet: 9\d,\d+ bytes to write, {free:,} free, "):
        draft.table("b.parquet", big, packed=False)
    (small_disk / "source").write_bytes(b"x" * 40_000)
    with pytest.raises(StoreError, match=r"no space left for .*c\.faiss: 40,000 bytes to write, "):
        draft.file("c.faiss", small_disk / "source")
    assert [path.name for path in Path(draft.path).iterdir()] == ["a.parquet"]
    assert list(store.all(Thing)) == []
    (small_disk / "source").unlink()
    again = store.draft(Thing, {"n": 1}).publish({})
    assert set(again.files) == {"a.parquet"}
    again.verify()


def test_what_is_free_is_unknown_in_a_store_of_objects(memory_store: Store, store: Store) -> None:
    assert free_bytes(memory_store.filesystem, memory_store.root) is None
    assert (free_bytes(store.filesystem, store.root) or 0) > 0
