"""Files on any file system that pyarrow knows: opened by path or URI, digested, written whole or not at all."""

import errno
import hashlib
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from mixstage.errors import StoreError
from mixstage.store.plain import JsonObject

_CHUNK = 1 << 20  # bytes read at once
_SCRATCH = ".writing-"  # a half-written file is a note of the job that writes it


class FileFacts(TypedDict, total=False):
    """What a manifest says of a file."""

    size: int  # bytes
    sha256: str
    rows: int  # of a table


def open_filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    """The filesystem behind a path or URI, and the path inside it."""
    if "://" not in uri:
        return fs.LocalFileSystem(), str(Path(uri).expanduser().absolute())
    try:
        filesystem, path = fs.FileSystem.from_uri(uri)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise StoreError(f"can't open {uri!r}: {error}; use a path or a URI such as s3://bucket/prefix") from None
    return filesystem, path


def file_digest(filesystem: fs.FileSystem, path: str) -> FileFacts:
    """{"size": bytes, "sha256": hex} of one file, read in chunks."""
    sha, size = hashlib.sha256(), 0
    with filesystem.open_input_stream(path) as stream:
        while chunk := stream.read(_CHUNK):
            sha.update(chunk)
            size += len(chunk)
    return {"size": size, "sha256": sha.hexdigest()}


def table_facts(summary: JsonObject) -> FileFacts:
    """Facts of a table, of what a worker notes about it."""
    return {"size": summary["size"], "sha256": summary["sha256"], "rows": summary["rows"]}


def write_table(filesystem: fs.FileSystem, path: str, table: pa.Table, *, packed: bool = True) -> FileFacts:
    """Writes a Parquet file whole or not at all; returns rows, size and sha256. Packing does nothing for vectors."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd" if packed else "none", use_dictionary=packed)
    buffer = sink.getvalue()
    write_bytes(filesystem, path, buffer)
    return {"rows": table.num_rows, "size": buffer.size, "sha256": hashlib.sha256(buffer).hexdigest()}


def write_bytes(filesystem: fs.FileSystem, path: str, content: bytes | pa.Buffer) -> None:
    """Writes a file whole or not at all (on object stores a put is atomic by itself). Raises StoreError: disk full."""
    if not isinstance(filesystem, fs.LocalFileSystem):
        with filesystem.open_output_stream(path, compression=None) as stream:
            stream.write(content)
        return
    with _whole(Path(path), memoryview(content).nbytes) as scratch:
        scratch.write_bytes(content)


def copy_file(source: Path, filesystem: fs.FileSystem, path: str) -> FileFacts:
    """Copies a local file whole or not at all; returns size and sha256. Raises StoreError: disk full."""
    facts = file_digest(fs.LocalFileSystem(), str(source))
    if not isinstance(filesystem, fs.LocalFileSystem):
        fs.copy_files(str(source), path, destination_filesystem=filesystem)
        return facts
    with _whole(Path(path), facts["size"]) as scratch:
        shutil.copyfile(source, scratch)
    return facts


@contextmanager
def _whole(path: Path, size: int) -> Iterator[Path]:
    """A file beside `path` that takes its place once `size` bytes are written, and goes if anything fails."""
    scratch = path.parent / f"{_SCRATCH}{uuid.uuid4().hex}"
    try:
        yield scratch
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        if error.errno != errno.ENOSPC:
            raise
        free = shutil.disk_usage(path.parent).free
        raise StoreError(
            f"no space left for {path}: {size:,} bytes to write, {free:,} free, {max(size - free, 0):,} missing; free "
            "some or put the store elsewhere, then run again: finished files are kept"
        ) from None
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def free_bytes(filesystem: fs.FileSystem, path: str) -> int | None:
    """What is left on the disk; None where nobody knows (object stores)."""
    return shutil.disk_usage(path).free if isinstance(filesystem, fs.LocalFileSystem) else None
