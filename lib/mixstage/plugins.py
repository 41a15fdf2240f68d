"""Plug-ins: what a plan names and a package outside mixstage provides.

A plan's `loss`, a sample source, a kind of retriever, a family of endpoints and an analysis of the report are each a
row of a table in the room that owns them. A name that is not in the table is looked for outside:

- `PACKAGE.MODULE:NAME` is imported (the package must be installed, or lie in the folder that a job is submitted from,
  so that workers find it too);
- any other name is an entry point of the group `mixstage.KIND`, as a package declares it in its pyproject.toml.
"""

import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Literal, TypeVar, cast

from mixstage.errors import PlanError

Kind = Literal["losses", "sources", "retrievers", "endpoints", "analyses", "generators"]
T = TypeVar("T")


def find(kind: Kind, name: str, table: Mapping[str, T]) -> T:
    """The row of this name: from the table, by PACKAGE.MODULE:NAME, or from an entry point.

    Raises PlanError if there is none, with the names that there are, or if importing it fails, with what it raised.
    """
    if name in table:
        return table[name]
    if ":" in name:
        return cast(T, _imported(kind, name))
    for point in entry_points(group=f"mixstage.{kind}", name=name):
        return cast(T, _imported(kind, point.value))
    raise PlanError(f"no {name!r} among {kind}: write {', '.join(names(kind, table))}, or PACKAGE.MODULE:NAME")


def names(kind: Kind, table: Mapping[str, object]) -> list[str]:
    """Names of the table, then those of installed packages."""
    return [*table, *sorted(point.name for point in entry_points(group=f"mixstage.{kind}"))]


def _imported(kind: Kind, path: str) -> object:
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever the user's module raises
        raise PlanError(
            f"{path!r} of {kind} can't be imported ({error!r}): write PACKAGE.MODULE:NAME of an installed package"
        ) from None
