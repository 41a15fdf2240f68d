"""The store: artifacts addressed by what made them, written once, complete or absent.

An artifact is a folder `KIND/DIGEST/` of files with `manifest.json`. It grows in `KIND/DIGEST.partial/`, the
manifest is written after every file's size and sha256 are known, then the folder is renamed into place: who
finds a manifest finds the whole. A partial folder that a killed run left is taken up again by the next one.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from mixstage.errors import DamagedError, StoreError
from mixstage.files import copy_file, file_digest, open_filesystem, write_bytes, write_table

MANIFEST = "manifest.json"
DIGEST_LENGTH = 24  # hex digits kept of a sha256: 96 bits, no collision in any store's lifetime


def digest_of(value: Any) -> str:
    """Digest of plain data (dicts, lists, strings, numbers), independent of key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A published folder. `meta` is what its maker noted, `files` maps name -> {size, sha256, ...}."""

    kind: str
    digest: str
    filesystem: fs.FileSystem
    path: str
    recipe: dict[str, Any] = field(repr=False)
    meta: dict[str, Any] = field(repr=False)
    files: dict[str, dict[str, Any]] = field(repr=False)

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
        """The same, after a look at the checksum; raises DamagedError."""
        try:
            with self.filesystem.open_input_stream(self.file(name)) as stream:
                content = stream.read()
        except FileNotFoundError:
            raise DamagedError(f"{self.path}/{name} is missing") from None
        if hashlib.sha256(content).hexdigest() != self.files[name]["sha256"]:
            raise DamagedError(f"{self.path}/{name} differs from its manifest")
        return pq.read_table(pa.BufferReader(content), columns=columns)

    def damaged(self, names: Iterable[str] | None = None) -> list[str]:
        """Which of the named files (unset: of all) are gone or differ from the manifest; reads them."""
        return [name for name in (self.files if names is None else names) if not self._is_whole(name)]

    def _is_whole(self, name: str) -> bool:
        try:
            found = file_digest(self.filesystem, self.file(name))
        except FileNotFoundError:
            return False
        return all(found[key] == self.files[name][key] for key in ("size", "sha256"))

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

    def local(self) -> Path:
        """The folder on this machine's disk; artifacts of remote stores are fetched once and kept in a cache."""
        if isinstance(self.filesystem, fs.LocalFileSystem):
            return Path(self.path)
        target = Path("~/.cache/mixstage").expanduser() / self.kind / self.digest
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch = tempfile.mkdtemp(dir=target.parent)
            fs.copy_files(self.path, scratch, source_filesystem=self.filesystem)
            _rename(fs.LocalFileSystem(), scratch, str(target))
        return target


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An artifact in the making: write files under `path`, then `publish`."""

    kind: str
    digest: str
    filesystem: fs.FileSystem
    path: str
    recipe: dict[str, Any]
    plan: dict[str, Any] | None = None

    def table(self, name: str, table: pa.Table, *, packed: bool = True) -> dict[str, Any]:
        self._folder(name)
        return write_table(self.filesystem, f"{self.path}/{name}", table, packed=packed)

    def text(self, name: str, text: str) -> None:
        self._folder(name)
        write_bytes(self.filesystem, f"{self.path}/{name}", text.encode())

    def file(self, name: str, source: Path) -> dict[str, Any]:
        """Copies a local file into the artifact; returns its size and sha256."""
        return copy_file(source, self.filesystem, f"{self.path}/{name}")

    def fetch(self, name: str, target: Path) -> None:
        """Copies a file to this machine's disk."""
        fs.copy_files(f"{self.path}/{name}", str(target), source_filesystem=self.filesystem)

    def facts(self, name: str) -> dict[str, Any]:
        """Size and sha256 of a file that is there."""
        return file_digest(self.filesystem, f"{self.path}/{name}")

    def has(self, name: str) -> bool:
        return bool(self.filesystem.get_file_info(f"{self.path}/{name}").type == fs.FileType.File)

    def delete(self) -> None:
        """Gives up what was made so far."""
        self.filesystem.delete_dir(self.path)

    def unpublished(self, meta: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]) -> Artifact:
        """The draft as the artifact that it would be, to be looked at before."""
        content = {
            "kind": self.kind,
            "digest": self.digest,
            "recipe": self.recipe,
            "meta": dict(meta),
            "files": {name: dict(facts) for name, facts in files.items()},
        }
        return _artifact(self.filesystem, self.path, content)

    def folder(self, source: Path) -> None:
        """Copies a local folder's files into the artifact."""
        fs.copy_files(str(source), self.path, destination_filesystem=self.filesystem)

    def _folder(self, name: str) -> None:
        if "/" in name:
            self.filesystem.create_dir(f"{self.path}/{name.rpartition('/')[0]}", recursive=True)

    def publish(self, meta: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]] | None = None) -> Artifact:
        """Writes the manifest and moves the folder into place.

        `known` gives facts of files that a worker has digested while writing ({name: {size, sha256, ...}}); other
        files are read. If someone else published the same digest meanwhile, theirs stays: the content is the same.
        """
        files: dict[str, dict[str, Any]] = {}
        selector = fs.FileSelector(self.path, recursive=True, allow_not_found=True)  # gone if another run published
        for info in sorted(self.filesystem.get_file_info(selector), key=lambda info: info.path):
            name = info.path[len(self.path) + 1 :]
            if info.type == fs.FileType.File and name != MANIFEST and not _is_scratch(name):
                files[name] = dict((known or {}).get(name) or file_digest(self.filesystem, info.path))
        content = {
            "kind": self.kind,
            "digest": self.digest,
            "recipe": self.recipe,
            "meta": dict(meta),
            "files": files,
            "plan": self.plan,
        }
        final = self.path.removesuffix(".partial")
        if not _is_published(self.filesystem, final):
            text = json.dumps(content, indent=1, ensure_ascii=False)
            write_bytes(self.filesystem, f"{self.path}/{MANIFEST}", text.encode())
        _rename(self.filesystem, self.path, final)
        replace(self, path=final).sweep()  # not before: a run killed while it moves the folder has its notes
        with self.filesystem.open_input_stream(f"{final}/{MANIFEST}") as stream:
            return _artifact(self.filesystem, final, json.loads(stream.read()))  # ours, or theirs

    def sweep(self) -> None:
        """Deletes the notes of the job."""
        selector = fs.FileSelector(self.path, recursive=True, allow_not_found=True)
        for info in self.filesystem.get_file_info(selector):
            if info.type == fs.FileType.File and _is_scratch(info.path[len(self.path) + 1 :]):
                self.filesystem.delete_file(info.path)

    def amend(self, files: Mapping[str, Mapping[str, Any]]) -> Artifact:
        """Notes other facts of files that were made anew inside a published artifact."""
        manifest = f"{self.path}/{MANIFEST}"
        with self.filesystem.open_input_stream(manifest) as stream:
            content = json.loads(stream.read())
        content["files"] |= {name: dict(facts) for name, facts in files.items()}
        write_bytes(self.filesystem, manifest, json.dumps(content, indent=1, ensure_ascii=False).encode())
        return _artifact(self.filesystem, self.path, content)

    def prune(self, names: Iterable[str]) -> None:
        """Deletes files of an earlier, killed run that cut the work otherwise: all but `names` and the job's notes."""
        keep = {*names}
        for info in self.filesystem.get_file_info(fs.FileSelector(self.path, recursive=True)):
            name = info.path[len(self.path) + 1 :]
            if info.type == fs.FileType.File and name not in keep and not _is_scratch(name):
                self.filesystem.delete_file(info.path)


class Store:
    """Artifacts under one path or URI. Pickles without its connection: each worker opens its own.

    `plan`: the resolved plan of the run, noted in the manifest of everything it makes; it is no part of an address.
    """

    def __init__(self, uri: str, plan: dict[str, Any] | None = None) -> None:
        self.plan = plan
        self.uri = uri if "://" in uri else str(Path(uri).expanduser().absolute())

    @cached_property
    def _opened(self) -> tuple[fs.FileSystem, str]:
        filesystem, root = open_filesystem(self.uri)
        filesystem.create_dir(root, recursive=True)
        return filesystem, root.rstrip("/")

    @property
    def filesystem(self) -> fs.FileSystem:
        return self._opened[0]

    @property
    def root(self) -> str:
        return self._opened[1]

    def __getstate__(self) -> dict[str, Any]:
        return {"uri": self.uri, "plan": self.plan}

    def find(self, kind: str, digest: str) -> Artifact | None:
        """The published artifact, or None."""
        path = f"{self.root}/{kind}/{digest}"
        try:
            with self.filesystem.open_input_stream(f"{path}/{MANIFEST}") as stream:
                return _artifact(self.filesystem, path, json.loads(stream.read()))
        except FileNotFoundError:
            return None

    def get(self, kind: str, digest: str) -> Artifact:
        artifact = self.find(kind, digest)
        if artifact is None:
            raise StoreError(f"no {kind}/{digest} in {self.uri}: run the phase that makes it, or `jobs.pipeline`")
        return artifact

    def draft(self, kind: str, recipe: dict[str, Any]) -> Draft:
        """Opens (or takes up again) the partial folder of the artifact that this recipe makes."""
        digest = digest_of(recipe)
        path = f"{self.root}/{kind}/{digest}.partial"
        self.filesystem.create_dir(path, recursive=True)
        return Draft(kind=kind, digest=digest, filesystem=self.filesystem, path=path, recipe=recipe, plan=self.plan)

    def delete(self, artifact: Artifact) -> None:
        """Unpublishes, then deletes: whoever looks finds all of it or nothing."""
        self.filesystem.delete_file(f"{artifact.path}/{MANIFEST}")
        self.filesystem.delete_dir(artifact.path)

    def reopen(self, artifact: Artifact) -> Draft:
        """A published artifact, to put right what a disk spoilt; see `Draft.amend`."""
        return Draft(
            kind=artifact.kind,
            digest=artifact.digest,
            filesystem=artifact.filesystem,
            path=artifact.path,
            recipe=artifact.recipe,
            plan=self.plan,
        )

    def all(self, kind: str) -> Iterator[Artifact]:
        """Every published artifact of a kind, by digest."""
        selector = fs.FileSelector(f"{self.root}/{kind}", allow_not_found=True)
        for info in sorted(self.filesystem.get_file_info(selector), key=lambda info: info.path):
            artifact = self.find(kind, info.base_name) if info.type == fs.FileType.Directory else None
            if artifact is not None and not info.base_name.endswith(".partial"):
                yield artifact


def _is_scratch(name: str) -> bool:
    """Notes of a running job (finished-shard marks, half-written files): they stay out of the artifact."""
    return name.rpartition("/")[2].startswith(".")


def _artifact(filesystem: fs.FileSystem, path: str, content: dict[str, Any]) -> Artifact:
    return Artifact(
        kind=content["kind"],
        digest=content["digest"],
        filesystem=filesystem,
        path=path,
        recipe=content["recipe"],
        meta=content["meta"],
        files=content["files"],
    )


def _rename(filesystem: fs.FileSystem, source: str, target: str) -> None:
    """Moves a folder. Object stores know no folders: there the files are copied, the manifest last."""
    exists = _is_published(filesystem, target)
    if not exists and isinstance(filesystem, fs.LocalFileSystem):
        filesystem.move(source, target)
        return
    if not exists:
        infos = filesystem.get_file_info(fs.FileSelector(source, recursive=True))
        found = [i.path for i in infos if i.type == fs.FileType.File and not _is_scratch(i.path[len(source) + 1 :])]
        for path in sorted(found, key=lambda path: path.endswith(MANIFEST)):
            copy = target + path[len(source) :]
            filesystem.create_dir(copy.rpartition("/")[0], recursive=True)
            filesystem.copy_file(path, copy)
    if filesystem.get_file_info(source).type == fs.FileType.Directory:
        filesystem.delete_dir(source)


def _is_published(filesystem: fs.FileSystem, path: str) -> bool:
    return bool(filesystem.get_file_info(f"{path}/{MANIFEST}").type == fs.FileType.File)
