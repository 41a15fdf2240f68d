"""An artifact: a published folder, read and compared with its manifest.

Each kind is a type of its own, in the room that makes it: a subclass without fields, which gives the kind's name and
format number, the recipe by which it is addressed, and names to what its maker noted:

    class Corpus(Artifact):
        kind = "corpus"
        FORMAT = 2  # raise when the tables change
        __slots__ = ()

        @property
        def documents(self) -> int:
            return int(self.meta["documents"])

        @classmethod
        def recipe_of(cls, sha256: str) -> JsonObject:
            return {"what": cls.kind, "format": cls.FORMAT, "sha256": sha256}

`Store.find(Corpus, digest)`, `Store.get`, `Store.all`, `Store.draft(Corpus, recipe)` take the type and return it;
`Store.made(Corpus, recipe, build)` finds what the recipe makes, or builds it.
What is written in a manifest is read through such a property alone.
"""

import hashlib
import json
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from mixstage.errors import DamagedError, StoreError
from mixstage.store.files import FileFacts, file_digest
from mixstage.store.plain import JsonObject

MANIFEST = "manifest.json"
_REMEDY = "run `mixstage index PLAN --verify`, which makes damaged shards again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A published folder. `meta` is what its maker noted, `files` maps name -> {size, sha256, ...}."""

    kind: ClassVar[str]  # the folder of the store
    FORMAT: ClassVar[int] = 1  # part of the recipe: raise it where the same recipe would make other files

    digest: str
    filesystem: fs.FileSystem
    path: str
    recipe: JsonObject = field(repr=False)
    meta: JsonObject = field(repr=False)
    files: dict[str, FileFacts] = field(repr=False)

    def file(self, name: str) -> str:
        """Path of a file inside the filesystem; raises StoreError if the manifest does not list it."""
        if name not in self.files:
            raise StoreError(f"{self.kind}/{self.digest} holds no {name!r}, only {', '.join(self.files)}")
        return f"{self.path}/{name}"

    def names(self, prefix: str, suffix: str = "") -> list[str]:
        """Sorted names of the files that start and end so."""
        return sorted(name for name in self.files if name.startswith(prefix) and name.endswith(suffix))

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        return pq.read_table(self.file(name), columns=columns, filesystem=self.filesystem)

    def read_json(self, name: str) -> Any:
        with self.filesystem.open_input_stream(self.file(name)) as stream:
            return json.loads(stream.read())

    def read_checked(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """A Parquet file as a table, after a look at its checksum; raises DamagedError."""
        try:
            with self.filesystem.open_input_stream(self.file(name)) as stream:
                content = stream.read()
        except FileNotFoundError:
            raise DamagedError(f"{self.path}/{name} is missing: {_REMEDY}") from None
        if hashlib.sha256(content).hexdigest() != self.files[name]["sha256"]:
            raise DamagedError(f"{self.path}/{name} differs from its manifest: {_REMEDY}")
        return pq.read_table(pa.BufferReader(content), columns=columns)

    def damaged(self, names: Iterable[str] | None = None) -> list[str]:
        """Which of the named files (unset: of all) are gone or differ from the manifest; reads them."""
        return [name for name in (self.files if names is None else names) if not self._is_whole(name)]

    def _is_whole(self, name: str) -> bool:
        try:
            facts = file_digest(self.filesystem, self.file(name))
        except FileNotFoundError:
            return False
        noted = self.files[name]
        return (facts["size"], facts["sha256"]) == (noted["size"], noted["sha256"])

    def verify(self) -> None:
        """Reads every file and compares it with the manifest; raises DamagedError with what differs."""
        if damaged := self.damaged():
            raise DamagedError(
                f"{self.path}: {', '.join(damaged)} differ from the manifest or are missing: delete {self.path} and "
                "run again"
            )

    @contextmanager
    def on_disk(self) -> Iterator[Path]:
        """The folder on this machine's disk for a moment: where it lies, or a copy that goes."""
        if isinstance(self.filesystem, fs.LocalFileSystem):
            yield Path(self.path)
            return
        with tempfile.TemporaryDirectory() as scratch:
            fs.copy_files(self.path, scratch, source_filesystem=self.filesystem)
            yield Path(scratch)

    def local(self, names: Collection[str] | None = None) -> Path:
        """The folder on this machine's disk; artifacts of remote stores are fetched once and kept in a cache.

        names: the files that are needed; unset: all. Others may be missing.
        """
        if isinstance(self.filesystem, fs.LocalFileSystem):
            return Path(self.path)
        part = "" if names is None else "-" + hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:12]
        target = Path("~/.cache/mixstage").expanduser() / self.kind / f"{self.digest}{part}"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch = tempfile.mkdtemp(dir=target.parent)
            self._fetch(scratch, names)
            move_artifact(fs.LocalFileSystem(), scratch, str(target))
        return target

    def _fetch(self, folder: str, names: Collection[str] | None) -> None:
        if names is None:
            fs.copy_files(self.path, folder, source_filesystem=self.filesystem)
            return
        for name in (*names, MANIFEST):
            Path(folder, name).parent.mkdir(parents=True, exist_ok=True)
            fs.copy_files(f"{self.path}/{name}", f"{folder}/{name}", source_filesystem=self.filesystem)


def is_scratch(name: str) -> bool:
    """Notes of a running job (finished-shard marks, half-written files): they stay out of the artifact."""
    return name.rpartition("/")[2].startswith(".")


A = TypeVar("A", bound=Artifact)


def open_artifact(kind: type[A], filesystem: fs.FileSystem, path: str, content: JsonObject) -> A:
    """The artifact under a path, from the content of its manifest."""
    return kind(
        digest=content["digest"],
        filesystem=filesystem,
        path=path,
        recipe=content["recipe"],
        meta=content["meta"],
        files=content["files"],
    )


def move_artifact(filesystem: fs.FileSystem, source: str, target: str) -> None:
    """Moves a folder. Object stores know no folders: there the files are copied, the manifest last."""
    exists = is_published(filesystem, target)
    if not exists and isinstance(filesystem, fs.LocalFileSystem):
        filesystem.move(source, target)
        return
    if not exists:
        infos = filesystem.get_file_info(fs.FileSelector(source, recursive=True))
        paths = [i.path for i in infos if i.type == fs.FileType.File and not is_scratch(i.path[len(source) + 1 :])]
        for path in sorted(paths, key=lambda path: path.endswith(MANIFEST)):
            copy = target + path[len(source) :]
            filesystem.create_dir(copy.rpartition("/")[0], recursive=True)
            filesystem.copy_file(path, copy)
    if filesystem.get_file_info(source).type == fs.FileType.Directory:
        filesystem.delete_dir(source)


def is_published(filesystem: fs.FileSystem, path: str) -> bool:
    return bool(filesystem.get_file_info(f"{path}/{MANIFEST}").type == fs.FileType.File)
