"""Plug-ins: what a plan names and a package outside mixstage provides.

Losses, sources of samples, query generators, kinds of retrievers, families of endpoints and analyses of the report
are each a table in the room that owns them, and a row is a plain value. A name that is not in the table is looked for
outside, and what stands there is a row like the others:

- `PACKAGE.MODULE:NAME` is imported. The module must be importable by every worker: installed, or in the folder that a
  job is submitted from;
- any other name is an entry point of the group `mixstage.KIND`, as an installed package declares it.

A recipe names a row of the table by its name alone. Of what comes from outside it holds a digest of the source as well
(`source_digest`), so that an artifact is found again only while the code that made it stands.
"""

import hashlib
import importlib
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeVar

from mixstage.errors import PlanError

Kind = Literal["losses", "sources", "retrievers", "endpoints", "analyses", "generators"]
T = TypeVar("T")
_DIGEST = 24  # hex digits of a sha256, as the store keeps them


@dataclass(frozen=True, slots=True)
class Lazy:
    """A name of a module that is imported when it is first needed: a table of such rows loads no model code."""

    path: str  # PACKAGE.MODULE:NAME

    def load(self) -> Any:
        module, _, name = self.path.partition(":")
        return getattr(importlib.import_module(module), name)

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self.load()(*inputs, **options)


def find(kind: Kind, name: str, table: Mapping[str, T], row: type | None = None) -> T:
    """The row of this name: from the table, by PACKAGE.MODULE:NAME, or from an entry point.

    row: what a row is an instance of; unset: something that can be called. Raises PlanError if there is none, with the
    names that there are; if importing it fails, with what it raised; or if it is something else.
    """
    if name in table:
        return table[name]
    path = _path(kind, name, table)
    try:
        value = Lazy(path).load()
    except (Exception, SystemExit) as error:  # whatever the user's module raises
        raise PlanError(
            f"{name!r} of {kind} can't be imported ({error!r}): write {', '.join(table)}, or PACKAGE.MODULE:NAME of a "
            "module that every worker can import"
        ) from None
    if not (callable(value) if row is None else isinstance(value, row)):
        wanted = "a function" if row is None else f"a {row.__module__}.{row.__qualname__}"
        raise PlanError(f"{path} is of type {type(value).__name__}, and one of {kind} is {wanted}")
    return value  # type: ignore[no-any-return]


def names(kind: Kind, table: Mapping[str, object]) -> list[str]:
    """Names of the table, then those of installed packages."""
    return [*table, *sorted(point.name for point in entry_points(group=f"mixstage.{kind}"))]


def source_digests(kind: Kind, named: Iterable[str], table: Mapping[str, object]) -> dict[str, str]:
    """name -> digest of the source, of those names that the table lacks: what a recipe says of plug-ins."""
    return {name: source_digest(_path(kind, name, table)) for name in sorted(named) if name not in table}


def source_digest(path: str) -> str:
    """Digest of the source behind PACKAGE.MODULE:NAME.

    Of a module in a package: of every .py file in the module's folder and below, because a row leans on its
    neighbours; of a module by itself: of its file; of one without a file: of Python's version. What it imports from
    elsewhere is not in it, as a plan's digests hold no version of PyTorch either.
    """
    module = path.partition(":")[0]
    spec = find_spec(module)
    origin = Path(spec.origin) if spec is not None and spec.origin else None
    sha = hashlib.sha256(path.encode())
    if spec is None or origin is None or not origin.is_file():
        sha.update(platform.python_version().encode())
        return sha.hexdigest()[:_DIGEST]
    files = sorted(origin.parent.rglob("*.py")) if spec.parent else [origin]
    for file in files:
        sha.update(str(file.relative_to(origin.parent)).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return sha.hexdigest()[:_DIGEST]


def _path(kind: Kind, name: str, table: Mapping[str, object]) -> str:
    """PACKAGE.MODULE:NAME of a name that the table lacks."""
    if ":" in name:
        return name
    for point in entry_points(group=f"mixstage.{kind}", name=name):
        return point.value
    raise PlanError(f"no {name!r} among {kind}: write {', '.join(names(kind, table))}, or PACKAGE.MODULE:NAME")
