"""Query generators: what writes the questions of the source `generated`."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from mixstage.corpus.documents import document_text
from mixstage.corpus.hashing import text_hash
from mixstage.errors import PlanError
from mixstage.plan.sources import Document
from mixstage.plan.stages import StagePlan
from mixstage.plugins import find
from mixstage.training.round import Round
from mixstage.training.samples.supervision import Supervision
from mixstage.training.samples.weak import gather_pairs, sentences

if TYPE_CHECKING:
    from mixstage.training.samples.sampler import Sampler

QueryGenerator = Callable[[str, str], Sequence[str]]  # (title, text) -> queries, the same ones every time
_WORD = re.compile(r"\w+")
_QUERY_WORDS = 8


def keywords(title: str, text: str) -> list[str]:
    """The content words of one sentence, as someone types them into a search box."""
    lines = sentences(text)
    if not lines:
        return []
    from bm25s.stopwords import STOPWORDS_EN

    words = _WORD.findall(lines[text_hash(text) % len(lines)].lower())
    content = list(dict.fromkeys(word for word in words if word not in STOPWORDS_EN and len(word) > 1))
    return [" ".join(content[:_QUERY_WORDS])] if len(content) > 2 else []


GENERATORS: Final[Mapping[str, QueryGenerator]] = {"keywords": keywords}


def open_generator(name: str) -> QueryGenerator:
    """The generator that a stage names; raises PlanError if there is none."""
    return find("generators", name, GENERATORS)


def gather_generated(sampler: "Sampler", this: Round, source: str) -> list[Supervision]:
    """What the stage's generator asks of every document of every corpus."""
    open_generator(this.stage.generator)  # a bad name is refused here, not by a worker
    return gather_pairs(sampler, this, source)


def generated(document: Document, stage: StagePlan) -> Iterator[tuple[str, str]]:
    """The generator's queries for the whole document."""
    queries = open_generator(stage.generator)(document.title, document.text)
    if not isinstance(queries, list | tuple) or not all(isinstance(query, str) for query in queries):
        raise PlanError(
            f"the generator gave {queries!r:.60} for document {document.doc_id!r}: return a list of strings"
        )
    yield from ((query, document_text(document.title, document.text)) for query in queries)
