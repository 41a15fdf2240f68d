"""Weak supervision: pairs that a corpus gives without anyone's judgement.

Each source is a function that turns a document into (query, text) pairs; a hash of the document id decides which
documents are taken when there are more than the limit, so that a grown corpus keeps its sample.
"""

import heapq
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING

import polars as pl

from mixstage.cluster import run_tasks
from mixstage.corpus.documents import document_text
from mixstage.corpus.hashing import text_hash
from mixstage.corpus.tables import Corpus
from mixstage.plan.sources import Document, find_source
from mixstage.plan.stages import StagePlan, Workers
from mixstage.training.round import Round
from mixstage.training.samples.supervision import Supervision

if TYPE_CHECKING:
    from mixstage.training.samples.sampler import Sampler

Pairs = Iterator[tuple[str, str]]  # (query, text that answers it)
Weak = tuple[int, str, list[tuple[str, str]]]
_SENTENCE_END = re.compile(r"(?<=[.;!?])\s+|(?<=[。；！？])\s*")
_HEADING = re.compile(  # "Rule 4" and "Part II", but not "Rule of law"
    r"""^(?: \#{1,6}\s+ (?P<marked>\S.*)
      | (?P<numbered> (?: (?:article|section|clause|part|chapter|rule) \s+ (?:\d | (?-i:[A-Z]+)\b)
                      | §+\s*\d | \d+(?:\.\d+)*[.)]?\s | 第[\d零〇一二三四五六七八九十百千]+[编章节条] ) .*) )$""",
    re.IGNORECASE | re.VERBOSE,
)
_HEADING_WORDS, _HEADING_CHARACTERS = 14, 100  # a longer line is a sentence, also in a script without spaces


def gather_pairs(sampler: "Sampler", this: Round, source: str) -> list[Supervision]:
    """What a source makes of every corpus of the plan."""
    return weak_supervision(sampler.prepared.corpora, source, this.stage, sampler.prepared.plan.resources.embed)


def weak_supervision(
    corpora: Mapping[str, Corpus], source: str, stage: StagePlan, workers: Workers
) -> list[Supervision]:
    """One part a corpus, called "SOURCE:CORPUS"; documents that give no pairs are left out. Shards are read as Ray
    tasks, whose workers find the source by its name."""
    parts = []
    for name, corpus in corpora.items():
        calls = [(corpus, shard, source, stage) for shard in corpus.shards]
        taken = heapq.nsmallest(stage.limit, chain.from_iterable(run_tasks(shard_pairs, calls, workers=workers)))
        parts.append(_part(source, name, corpus, taken, stage.limit))
    return parts


def shard_pairs(corpus: Corpus, shard: str, source: str, stage: StagePlan) -> list[Weak]:
    """(hash, doc_id of the answer, [(query, text)]) of the `stage.limit` documents of a shard with the smallest
    hashes."""
    row = find_source(source)
    assert row.pairs is not None, "a source without pairs gathers by itself"
    documents = _documents(corpus, shard)
    after = _first_after(corpus, shard) if row.follows else None
    weak = []
    for document, following in zip(documents, [*documents, after][1:], strict=True):
        given = row.pairs(document._replace(following=following), stage)
        pairs = [(query, text) for query, text in given if query.strip() and text.strip()]
        if pairs:
            answer = following.doc_id if row.follows and following else document.doc_id
            weak.append((text_hash(answer), answer, pairs))
    return heapq.nsmallest(stage.limit, weak)


def _documents(corpus: Corpus, shard: str) -> list[Document]:
    rows = pl.DataFrame(corpus.read_table(shard, ["doc_id", "title", "text"])).iter_rows()
    return [Document(doc_id, title, text) for doc_id, title, text in rows]


def _first_after(corpus: Corpus, shard: str) -> Document | None:
    """The first document of the shards that follow: where shards are cut changes no pair."""
    names = [name for name in corpus.shards if name > shard]
    return next((documents[0] for name in names if (documents := _documents(corpus, name))), None)


def _part(source: str, name: str, corpus: Corpus, taken: list[Weak], limit: int) -> Supervision:
    label = f"{source}:{name}"
    pairs = [
        (f"{label}:{doc_id}:{n}", query, doc_id, text)
        for _, doc_id, given in taken
        for n, (query, text) in enumerate(given)
    ][:limit]
    frame = pl.DataFrame(
        pairs,
        schema={"query_id": pl.String, "text": pl.String, "doc_id": pl.String, "positive": pl.String},
        orient="row",
    )
    return Supervision(
        source=label,
        corpus=corpus,
        queries=frame.select("query_id", "text"),
        judgements=frame.select("query_id", "doc_id", pl.lit(1, dtype=pl.Int16).alias("grade")),
        documents=dict(frame.select("doc_id", "positive").iter_rows()),
        titled=find_source(source).titled,
    )


def title(document: Document, _: StagePlan) -> Pairs:
    """The title for the text below it."""
    if document.title:
        yield document.title, document.text


def neighbour(document: Document, _: StagePlan) -> Pairs:
    """A document for the one that follows it in the corpus."""
    if document.following is not None:
        yield _whole(document), _whole(document.following)


def _whole(document: Document) -> str:
    return document_text(document.title, document.text)


def sentences(text: str) -> list[str]:
    """The sentences of a text, which end at a mark and, in scripts with spaces, a space."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


def cloze(document: Document, _: StagePlan) -> Pairs:
    """A sentence for the text without it (the inverse cloze task, Lee et al. 2019)."""
    lines = sentences(document.text)
    if len(lines) > 1:
        drawn = text_hash(document.doc_id) % len(lines)
        yield lines[drawn], " ".join(lines[:drawn] + lines[drawn + 1 :])


def heading(document: Document, _: StagePlan) -> Pairs:
    """A heading inside a text for what follows it, up to the next one."""
    lines = [line.strip() for line in document.text.splitlines() if line.strip()]
    marks = [(number, mark) for number, line in enumerate(lines) if (mark := read_heading(line))]
    ends = [*(number for number, _ in marks), len(lines)][1:]
    sections = [
        (mark, " ".join(lines[number + 1 : end]))
        for (number, mark), end in zip(marks, ends, strict=True)
        if number + 1 < end  # a heading above a heading has no text of its own
    ]
    if sections:
        yield sections[text_hash(document.doc_id) % len(sections)]


def read_heading(line: str) -> str | None:
    """The heading that a line is: marked as in Markdown, or numbered, short and without a full stop."""
    match = _HEADING.match(line)
    if match is None:
        return None
    text = (match["marked"] or match["numbered"]).strip()
    is_long = len(text.split()) > _HEADING_WORDS or len(text) > _HEADING_CHARACTERS
    return None if is_long or text.endswith((".", ";", ",", "。", "；", "，")) else text
