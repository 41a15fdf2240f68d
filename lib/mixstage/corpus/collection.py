"""A collection in BEIR layout, wherever it lies: a folder, an object store, or the sample inside the package.

Layout: `corpus.jsonl` {_id, title, text}; `queries.jsonl` {_id, text}; `qrels/{train,dev,test}.tsv` with the header
query-id, corpus-id, score. Every file may also be gzipped (`corpus.jsonl.gz`).
"""

import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from mixstage.errors import InputError
from mixstage.store.files import open_filesystem

SPLITS = ("train", "dev", "test")
_SAMPLE = "sample://"


@dataclass(frozen=True, slots=True)
class Collection:
    """A folder of one filesystem; `uri` is what the plan calls it."""

    uri: str
    filesystem: fs.FileSystem
    path: str

    @classmethod
    def open(cls, uri: str) -> "Collection":
        """Opens `sample://statutes` (corpus) or `sample://APPLICATION`, a path, or a URI.

        Raises InputError if there is no such folder.
        """
        if uri.startswith(_SAMPLE):
            return cls(uri, fs.LocalFileSystem(), str(_sample_folder(uri.removeprefix(_SAMPLE))))
        filesystem, path = open_filesystem(uri)
        if filesystem.get_file_info(path).type != fs.FileType.Directory:
            raise InputError(f"{uri} is not a folder: give one in BEIR layout (corpus.jsonl, queries.jsonl, qrels/)")
        return cls(uri, filesystem, path)

    def has(self, name: str) -> bool:
        return self._find(name) is not None

    def read(self, name: str) -> bytes:
        """The whole file, decompressed."""
        with self._stream(name) as stream:
            try:
                return bytes(stream.read())
            except OSError as error:  # a damaged gzip file
                raise InputError(f"{self.uri}/{name} can't be read: {error}; pack or copy it again") from None

    def size(self, name: str) -> int:
        """Bytes that can be addressed by `read_lines`: the file's size, for gzip the decompressed one."""
        path = self._existing(name)
        return len(self.read(name)) if path.endswith(".gz") else int(self.filesystem.get_file_info(path).size)

    def sha256(self, name: str) -> str:
        """Digest of the decompressed content, so that packing a file changes nothing."""
        sha = hashlib.sha256()
        with self._stream(name) as stream:
            while chunk := stream.read(1 << 20):
                sha.update(chunk)
        return sha.hexdigest()

    def read_lines(self, name: str, start: int, stop: int) -> list[tuple[int, bytes]]:
        """(offset, line) of every line whose first byte lies in [start, stop); the last one is read to its end."""
        content, base = self._bytes_around(name, start, stop)
        before = -1 if start == 0 else content.find(b"\n", start - 1 - base)
        at = len(content) if start and before < 0 else before + 1
        lines = []
        while at < len(content) and base + at < stop:
            end = content.find(b"\n", at)
            end = len(content) if end < 0 else end
            lines.append((base + at, content[at:end]))
            at = end + 1
        return lines

    def line_number(self, name: str, offset: int) -> int:
        """1-based number of the line that starts at this byte; reads the file up to there (for messages only)."""
        count, left = 1, offset
        with self._stream(name) as stream:
            while left and (chunk := stream.read(min(left, 1 << 20))):
                count += chunk.count(b"\n")
                left -= len(chunk)
        return count

    def _bytes_around(self, name: str, start: int, stop: int) -> tuple[bytes, int]:
        """Bytes from start - 1 on, until the line that is open at `stop` ends; and the offset of the first."""
        path = self._existing(name)
        if path.endswith(".gz"):
            return self.read(name), 0
        base = max(start - 1, 0)
        with self.filesystem.open_input_file(path) as file:
            file.seek(base)
            content = bytearray(file.read(stop - base))
            while not content.endswith(b"\n") and (chunk := file.read(1 << 16)):
                cut = chunk.find(b"\n") + 1
                content += chunk[:cut] if cut else chunk
        return bytes(content), base

    def _find(self, name: str) -> str | None:
        for candidate in (f"{self.path}/{name}", f"{self.path}/{name}.gz"):
            if self.filesystem.get_file_info(candidate).type == fs.FileType.File:
                return candidate
        return None

    def _existing(self, name: str) -> str:
        path = self._find(name)
        if path is None:
            raise InputError(f"{self.uri} has no {name}: a BEIR folder holds corpus.jsonl, queries.jsonl, qrels/*.tsv")
        return path

    def _stream(self, name: str) -> pa.NativeFile:
        path = self._existing(name)
        codec = "gzip" if path.endswith(".gz") else None
        try:
            return self.filesystem.open_input_stream(path, compression=codec)
        except (zlib.error, pa.ArrowException) as error:
            raise InputError(f"{self.uri}/{name} can't be read: {error}") from None


def _sample_folder(name: str) -> Path:
    root = Path(__file__).parent / "sample"
    applications = sorted(folder.name for folder in root.iterdir() if folder.is_dir())
    if name == "statutes":
        return root
    if name not in applications:
        raise InputError(f"no sample {name!r}: there are statutes (the corpus) and {', '.join(applications)}")
    return root / name
