"""The store: artifacts addressed by their recipes, written once, complete or absent.

An artifact is a folder `KIND/DIGEST/` of files with `manifest.json`. It grows in `KIND/DIGEST.partial/`, the
manifest is written after every file's size and sha256 are known, then the folder is renamed into place: who
finds a manifest finds the whole. A partial folder that a killed run left is taken up again by the next one.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
from pyarrow import fs

from mixstage.errors import AbsentError, StoreError
from mixstage.store.artifact import MANIFEST, Artifact, is_published, is_scratch, move_artifact, open_artifact
from mixstage.store.files import FileFacts, copy_file, file_digest, open_filesystem, write_bytes, write_table
from mixstage.store.plain import JsonObject

__all__ = ["DIGEST_LENGTH", "MANIFEST", "Artifact", "Draft", "FoundOnly", "Store", "digest_of"]

A = TypeVar("A", bound=Artifact)
A_co = TypeVar("A_co", bound=Artifact, covariant=True)
DIGEST_LENGTH = 24  # hex digits kept of a sha256: 96 bits, no collision in any store's lifetime


def digest_of(value: Any) -> str:
    """Digest of plain data (dicts, lists, strings, numbers), independent of key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft(Generic[A_co]):
    """An artifact in the making: write files under `path`, then `publish`."""

    kind: type[A_co]
    digest: str
    filesystem: fs.FileSystem
    path: str
    recipe: JsonObject
    plan: JsonObject | None = None

    def table(self, name: str, table: pa.Table, *, packed: bool = True) -> FileFacts:
        self._folder(name)
        return write_table(self.filesystem, f"{self.path}/{name}", table, packed=packed)

    def text(self, name: str, text: str) -> None:
        self._folder(name)
        write_bytes(self.filesystem, f"{self.path}/{name}", text.encode())

    def file(self, name: str, source: Path) -> FileFacts:
        """Copies a local file into the artifact; returns its size and sha256."""
        return copy_file(source, self.filesystem, f"{self.path}/{name}")

    def fetch(self, name: str, target: Path) -> None:
        """Copies a file to this machine's disk."""
        fs.copy_files(f"{self.path}/{name}", str(target), source_filesystem=self.filesystem)

    def facts(self, name: str) -> FileFacts:
        """Size and sha256 of a file that is there."""
        return file_digest(self.filesystem, f"{self.path}/{name}")

    def has(self, name: str) -> bool:
        return bool(self.filesystem.get_file_info(f"{self.path}/{name}").type == fs.FileType.File)

    def is_empty(self) -> bool:
        """Whether the folder is there, and nothing in it."""
        is_there = self.filesystem.get_file_info(self.path).type == fs.FileType.Directory
        return is_there and not self.filesystem.get_file_info(fs.FileSelector(self.path))

    def delete(self) -> None:
        """Gives up what was written so far."""
        self.filesystem.delete_dir(self.path)

    def unpublished(self, meta: JsonObject, files: Mapping[str, FileFacts]) -> A_co:
        """The draft as the artifact that it would be, to be looked at before."""
        content = {
            "digest": self.digest,
            "recipe": self.recipe,
            "meta": dict(meta),
            "files": dict(files),
        }
        return open_artifact(self.kind, self.filesystem, self.path, content)

    def folder(self, source: Path) -> None:
        """Copies a local folder's files into the artifact."""
        fs.copy_files(str(source), self.path, destination_filesystem=self.filesystem)

    def _folder(self, name: str) -> None:
        if "/" in name:
            self.filesystem.create_dir(f"{self.path}/{name.rpartition('/')[0]}", recursive=True)

    def publish(self, meta: JsonObject, known: Mapping[str, FileFacts] | None = None) -> A_co:
        """Writes the manifest and moves the folder into place.

        `known` gives facts of files that a worker has digested while writing ({name: {size, sha256, ...}}); other
        files are read. If someone else published the same digest meanwhile, theirs stays: the content is the same.
        """
        files: dict[str, FileFacts] = {}
        selector = fs.FileSelector(self.path, recursive=True, allow_not_found=True)  # gone if another run published
        for info in sorted(self.filesystem.get_file_info(selector), key=lambda info: info.path):
            name = info.path[len(self.path) + 1 :]
            if info.type == fs.FileType.File and name != MANIFEST and not is_scratch(name):
                files[name] = (known or {}).get(name) or file_digest(self.filesystem, info.path)
        content = {
            "kind": self.kind.kind,
            "digest": self.digest,
            "recipe": self.recipe,
            "meta": dict(meta),
            "files": files,
            "plan": self.plan,
        }
        final = self.path.removesuffix(".partial")
        if not is_published(self.filesystem, final):
            text = json.dumps(content, indent=1, ensure_ascii=False)
            write_bytes(self.filesystem, f"{self.path}/{MANIFEST}", text.encode())
        move_artifact(self.filesystem, self.path, final)
        replace(self, path=final).sweep()  # not before: a run killed while it moves the folder has its notes
        with self.filesystem.open_input_stream(f"{final}/{MANIFEST}") as stream:
            return open_artifact(self.kind, self.filesystem, final, json.loads(stream.read()))  # ours, or theirs

    def sweep(self) -> None:
        """Deletes the notes of the job."""
        selector = fs.FileSelector(self.path, recursive=True, allow_not_found=True)
        for info in self.filesystem.get_file_info(selector):
            if info.type == fs.FileType.File and is_scratch(info.path[len(self.path) + 1 :]):
                self.filesystem.delete_file(info.path)

    def amend(self, files: Mapping[str, FileFacts]) -> A_co:
        """Notes other facts of files that were written again inside a published artifact."""
        manifest = f"{self.path}/{MANIFEST}"
        with self.filesystem.open_input_stream(manifest) as stream:
            content = json.loads(stream.read())
        content["files"] |= files
        write_bytes(self.filesystem, manifest, json.dumps(content, indent=1, ensure_ascii=False).encode())
        return open_artifact(self.kind, self.filesystem, self.path, content)

    def prune(self, names: Iterable[str]) -> None:
        """Deletes files of an earlier, killed run that cut the work otherwise: all but `names` and the job's notes."""
        keep = {*names}
        for info in self.filesystem.get_file_info(fs.FileSelector(self.path, recursive=True)):
            name = info.path[len(self.path) + 1 :]
            if info.type == fs.FileType.File and name not in keep and not is_scratch(name):
                self.filesystem.delete_file(info.path)


class Store:
    """Artifacts under one path or URI. Pickles without its connection: each worker opens its own.

    >>> store = Store(".mixstage")
    >>> [checkpoint.digest for checkpoint in store.all(Checkpoint)]
    []

    `plan`: the resolved plan of the run, noted in the manifest of everything it makes; it is not a part of an address.
    """

    def __init__(self, uri: str, plan: JsonObject | None = None) -> None:
        self.plan = plan
        self.uri = uri if "://" in uri else str(Path(uri).expanduser().absolute())

    @cached_property
    def taken(self) -> dict[tuple[str, str], bool]:
        """What this process took, in order: (kind, digest) -> whether it was built now; if not, it was found."""
        return {}

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

    def __getstate__(self) -> dict[str, object]:
        return {"uri": self.uri, "plan": self.plan}

    def find(self, kind: type[A], digest: str) -> A | None:
        """The published artifact, None where there is none."""
        artifact = self._find(kind, digest)
        if artifact is not None:
            self.taken.setdefault((kind.kind, digest), False)
        return artifact

    def _find(self, kind: type[A], digest: str) -> A | None:
        path = f"{self.root}/{kind.kind}/{digest}"
        try:
            with self.filesystem.open_input_stream(f"{path}/{MANIFEST}") as stream:
                return open_artifact(kind, self.filesystem, path, json.loads(stream.read()))
        except FileNotFoundError:
            return None

    def get(self, kind: type[A], digest: str) -> A:
        """The published artifact; raises StoreError where there is none."""
        artifact = self.find(kind, digest)
        if artifact is None:
            raise StoreError(
                f"no {kind.kind}/{digest} in {self.uri}: run the phase that makes it, or `mixstage pipeline`"
            )
        return artifact

    def made(self, kind: type[A], recipe: JsonObject, build: Callable[[Draft[A]], A]) -> A:
        """The artifact of a recipe: the published one, or what `build` makes of a draft and publishes.

        A run that was killed in `build` gets its draft again, with the files that were finished. A build that fails
        before it wrote anything leaves nothing.
        """
        artifact = self.find(kind, digest_of(recipe))
        if artifact is not None:
            return artifact
        draft = self.draft(kind, recipe)
        try:
            return build(draft)
        except Exception:
            if draft.is_empty():
                draft.delete()
            raise

    def draft(self, kind: type[A], recipe: JsonObject) -> Draft[A]:
        """Opens (or takes up again) the partial folder of the artifact that this recipe makes."""
        digest = digest_of(recipe)
        path = f"{self.root}/{kind.kind}/{digest}.partial"
        self.taken.setdefault((kind.kind, digest), True)
        self.filesystem.create_dir(path, recursive=True)
        return Draft(kind=kind, digest=digest, filesystem=self.filesystem, path=path, recipe=recipe, plan=self.plan)

    def delete(self, artifact: Artifact) -> None:
        """Unpublishes, then deletes: whoever looks finds all of it or nothing."""
        self.filesystem.delete_file(f"{artifact.path}/{MANIFEST}")
        self.filesystem.delete_dir(artifact.path)

    def reopen(self, artifact: A) -> Draft[A]:
        """A published artifact, to put right what a disk spoilt; see `Draft.amend`."""
        return Draft(
            kind=type(artifact),
            digest=artifact.digest,
            filesystem=artifact.filesystem,
            path=artifact.path,
            recipe=artifact.recipe,
            plan=self.plan,
        )

    def all(self, kind: type[A]) -> Iterator[A]:
        """Every published artifact of a kind, by digest."""
        selector = fs.FileSelector(f"{self.root}/{kind.kind}", allow_not_found=True)
        for info in sorted(self.filesystem.get_file_info(selector), key=lambda info: info.path):
            artifact = self._find(kind, info.base_name) if info.type == fs.FileType.Directory else None
            if artifact is not None and not info.base_name.endswith(".partial"):
                yield artifact


class FoundOnly(Store):
    """A store in which nothing is built: what is not there raises AbsentError, which ends a walk where a run ended."""

    def find(self, kind: type[A], digest: str) -> A:
        artifact = super().find(kind, digest)
        if artifact is None:
            raise AbsentError(f"no {kind.kind}/{digest} in {self.uri}")
        return artifact
