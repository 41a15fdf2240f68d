"""The table of sample sources: what a stage can learn from.

A row is all that the rest of mixstage knows of a source. Most are a function of one document, which gives pairs of a
query and a text that answers it and runs over all shards of a corpus as Ray tasks. A plug-in is a `Source`, too: see
docs/how-to/extend.md.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from mixstage.plugins import Lazy, find

_SAMPLES: Final = "mixstage.training.samples"
_OF_DOCUMENTS: Final = Lazy(f"{_SAMPLES}.weak:gather_pairs")


class Document(NamedTuple):
    """A document of a corpus, as a source reads it."""

    doc_id: str
    title: str  # may be empty
    text: str
    following: "Document | None" = None  # the next one of the corpus, for rows that say `follows`


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A row of the table."""

    pairs: Callable[[Document, Any], Iterable[tuple[str, str]]] | None = None
    """(document, the stage's plan) -> (query, text) pairs, the same ones every time; the document is the answer."""
    follows: bool = False
    """Whether the following document is the answer."""
    titled: bool = True
    """Whether the texts of pairs carry their titles: negatives beside them are to look alike."""
    gather: Callable[[Any, Any, str], list[Any]] = _OF_DOCUMENTS
    """(sampler, round, name of the source) -> `Supervision` of each corpus or application. By default `pairs` of every
    document; a source that reads judgements, logs or rankings brings its own."""
    judged: bool = False
    """Whether it reads the applications' train splits, so that their content decides the samples."""
    mined: bool = False
    """Whether it brings negatives to retrievers as well, of queries that are hard: the stage needs a `mine`."""
    fields: tuple[str, ...] = ("limit",)
    """Fields of the stage, beside its shares, that decide the pairs."""


SOURCES: Final[Mapping[str, Source]] = {
    "judged": Source(gather=Lazy(f"{_SAMPLES}.supervision:gather_judged"), judged=True, fields=()),
    "mined": Source(gather=Lazy(f"{_SAMPLES}.supervision:gather_judged"), judged=True, mined=True, fields=()),
    "title": Source(pairs=Lazy(f"{_SAMPLES}.weak:title"), titled=False),
    "heading": Source(pairs=Lazy(f"{_SAMPLES}.weak:heading"), titled=False),
    "neighbours": Source(pairs=Lazy(f"{_SAMPLES}.weak:neighbour"), follows=True),
    "cloze": Source(pairs=Lazy(f"{_SAMPLES}.weak:cloze"), titled=False),
    "generated": Source(
        pairs=Lazy(f"{_SAMPLES}.generators:generated"),
        gather=Lazy(f"{_SAMPLES}.generators:gather_generated"),
        fields=("limit", "generator"),
    ),
    "pseudo": Source(gather=Lazy(f"{_SAMPLES}.pseudo:gather_pseudo"), fields=("limit", "pseudo")),
}


def find_source(name: str) -> Source:
    """The row of this name, from the table or outside; raises PlanError if there is none."""
    return find("sources", name, SOURCES, Source)
