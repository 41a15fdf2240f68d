"""The tables of models: what opens a folder that says of itself, in its settings, of which kind it is.

A retriever's kind may come from outside: `retriever.base` names it as PACKAGE.MODULE:NAME, see docs/how-to/extend.md.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from mixstage.errors import ModelError
from mixstage.models.encoder import Encoder, SentenceEncoder
from mixstage.models.hashing import HashingEncoder, HashingReranker
from mixstage.models.reranker import LateInteraction, PairClassifier, Reranker
from mixstage.plugins import find
from mixstage.store.plain import JsonObject

Settings = JsonObject
OpenEncoder = Callable[[Path, Settings, int | None], Encoder]
"""(folder, its settings, tokens of a forward pass or None for what the device likes) -> the retriever."""

LATE: Final = "late_interaction"  # kind of a reranker that compares token vectors


def _hashing(folder: Path, settings: Settings, budget: int | None) -> Encoder:
    return HashingEncoder(settings["dim"])


def _transformer(folder: Path, settings: Settings, budget: int | None) -> Encoder:
    return SentenceEncoder(folder, settings["prompts"], budget)


RETRIEVERS: Final[Mapping[str, OpenEncoder]] = {"hashing": _hashing, "transformer": _transformer}
RERANKERS: Final[Mapping[str, Callable[[Path], Reranker]]] = {
    "hashing": lambda folder: HashingReranker(),
    "transformer": PairClassifier,
    LATE: LateInteraction,
}


def open_kind(folder: Path, settings: Settings, budget: int | None = None) -> Encoder | Reranker:
    """The model in a folder; raises ModelError for one of no known kind, PlanError for a plug-in that is gone."""
    kind, is_retriever = settings["kind"], settings["component"] == "retriever"
    if is_retriever and (kind in RETRIEVERS or ":" in kind):
        return find("retrievers", kind, RETRIEVERS)(folder, settings, budget)
    if is_retriever or kind not in RERANKERS:
        known = ", ".join(RETRIEVERS if is_retriever else RERANKERS)
        raise ModelError(f"{folder}: no model of kind {kind!r}: a {settings['component']} is one of {known}")
    return RERANKERS[kind](folder)
