"""Weak supervision: pairs that a corpus gives without anyone's judgement.

Each source turns a document into (query, text) pairs; a hash of the document id decides which documents are taken
when there are more than the limit, so that a grown corpus keeps its sample.
"""

import heapq
import importlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain

import polars as pl

from mixstage.cluster import run_tasks
from mixstage.corpus.documents import document_text
from mixstage.corpus.hashing import text_hash
from mixstage.corpus.tables import Corpus
from mixstage.errors import PlanError
from mixstage.plan.stages import StagePlan, Workers
from mixstage.training.samples.supervision import Supervision

Row = tuple[str, str, str]  # doc_id, title, text
Maker = Callable[[Row, Row | None], Iterator[tuple[str, str]]]  # a document and the next one -> (query, text) pairs
Weak = tuple[int, str, list[tuple[str, str]]]
QueryGenerator = Callable[[str, str], Sequence[str]]  # (title, text) -> queries, the same ones every time
_SENTENCE_END = re.compile(r"(?<=[.;!?])\s+|(?<=[。；！？])\s*")
_HEADING = re.compile(  # "Rule 4" and "Part II", but not "Rule of law"
    r"""^(?: \#{1,6}\s+ (?P<marked>\S.*)
      | (?P<numbered> (?: (?:article|section|clause|part|chapter|rule) \s+ (?:\d | (?-i:[A-Z]+)\b)
                      | §+\s*\d | \d+(?:\.\d+)*[.)]?\s | 第[\d零〇一二三四五六七八九十百千]+[编章节条] ) .*) )$""",
    re.IGNORECASE | re.VERBOSE,
)
_HEADING_WORDS, _HEADING_CHARACTERS = 14, 100  # a longer line is a sentence, also in a script without spaces
_WORD = re.compile(r"\w+")
_QUERY_WORDS = 8


def weak_supervision(corpora: Mapping[str, Corpus], kind: str, stage: StagePlan, workers: Workers) -> list[Supervision]:
    """One part a corpus, source "KIND:CORPUS"; documents that lack what the kind reads are left out.

    title: title -> text. heading: a heading inside the text -> what follows it. neighbours: a document -> the next
    one. cloze: a sentence -> the text without it (inverse cloze task, Lee et al. 2019). generated: queries of
    the stage's generator -> the document. Shards are read as Ray tasks.
    """
    open_generator(stage.generator)  # a bad name is told here, not by a worker
    parts = []
    for name, corpus in corpora.items():
        calls = [
            (corpus, shard, kind, stage.generator, stage.limit) for shard in corpus.names("documents/", ".parquet")
        ]
        taken = heapq.nsmallest(stage.limit, chain.from_iterable(run_tasks(shard_pairs, calls, workers=workers)))
        parts.append(_part(kind, name, corpus, taken, stage.limit))
    return parts


def shard_pairs(corpus: Corpus, shard: str, kind: str, generator: str, limit: int) -> list[Weak]:
    """(hash, doc_id of the positive, [(query, text)]) of the `limit` documents of a shard with the smallest hashes."""
    make = _makers(open_generator(generator))[kind]
    rows = _rows(corpus, shard)
    after = _first_after(corpus, shard) if kind == "neighbours" else None
    found = []
    for row, following in zip(rows, [*rows, after][1:], strict=True):
        pairs = [(query, text) for query, text in make(row, following) if query.strip() and text.strip()]
        if pairs:
            positive = following[0] if kind == "neighbours" and following else row[0]
            found.append((text_hash(positive), positive, pairs))
    return heapq.nsmallest(limit, found)


def _rows(corpus: Corpus, shard: str) -> list[Row]:
    return list(pl.DataFrame(corpus.read_table(shard, ["doc_id", "title", "text"])).iter_rows())


def _first_after(corpus: Corpus, shard: str) -> Row | None:
    """The first document of the shards that follow: where shards are cut changes no pair."""
    names = [name for name in corpus.names("documents/", ".parquet") if name > shard]
    return next((rows[0] for name in names if (rows := _rows(corpus, name))), None)


def _makers(generate: QueryGenerator) -> dict[str, Maker]:
    def generated(row: Row, _: Row | None) -> Iterator[tuple[str, str]]:
        queries = generate(*row[1:])
        if not isinstance(queries, list | tuple) or not all(isinstance(query, str) for query in queries):
            raise PlanError(f"the generator gave {queries!r:.60} for document {row[0]!r}: return a list of strings")
        yield from ((query, document_text(*row[1:])) for query in queries)

    return {"title": _title, "heading": _heading, "neighbours": _neighbour, "cloze": _cloze, "generated": generated}


def _part(kind: str, name: str, corpus: Corpus, taken: list[Weak], limit: int) -> Supervision:
    source = f"{kind}:{name}"
    pairs = [
        (f"{source}:{doc_id}:{n}", query, doc_id, text)
        for _, doc_id, found in taken
        for n, (query, text) in enumerate(found)
    ][:limit]
    frame = pl.DataFrame(
        pairs,
        schema={"query_id": pl.String, "text": pl.String, "doc_id": pl.String, "positive": pl.String},
        orient="row",
    )
    return Supervision(
        source=source,
        corpus=corpus,
        queries=frame.select("query_id", "text"),
        judgements=frame.select("query_id", "doc_id", pl.lit(1, dtype=pl.Int16).alias("grade")),
        documents=dict(frame.select("doc_id", "positive").iter_rows()),
        titled=kind in ("neighbours", "generated"),
    )


def _title(row: Row, _: Row | None) -> Iterator[tuple[str, str]]:
    if row[1]:
        yield row[1], row[2]


def _neighbour(row: Row, following: Row | None) -> Iterator[tuple[str, str]]:
    if following is not None:
        yield document_text(*row[1:]), document_text(*following[1:])


def _cloze(row: Row, _: Row | None) -> Iterator[tuple[str, str]]:
    sentences = [part.strip() for part in _SENTENCE_END.split(row[2]) if part.strip()]
    if len(sentences) > 1:
        drawn = text_hash(row[0]) % len(sentences)
        yield sentences[drawn], " ".join(sentences[:drawn] + sentences[drawn + 1 :])


def _heading(row: Row, _: Row | None) -> Iterator[tuple[str, str]]:
    lines = [line.strip() for line in row[2].splitlines() if line.strip()]
    marks = [(number, heading) for number, line in enumerate(lines) if (heading := read_heading(line))]
    ends = [*(number for number, _ in marks), len(lines)][1:]
    sections = [
        (heading, " ".join(lines[number + 1 : end]))
        for (number, heading), end in zip(marks, ends, strict=True)
        if number + 1 < end  # a heading above a heading has no text of its own
    ]
    if sections:
        yield sections[text_hash(row[0]) % len(sections)]


def read_heading(line: str) -> str | None:
    """The heading that a line is: marked as in Markdown, or numbered, short and without a full stop."""
    match = _HEADING.match(line)
    if match is None:
        return None
    heading = (match["marked"] or match["numbered"]).strip()
    is_long = len(heading.split()) > _HEADING_WORDS or len(heading) > _HEADING_CHARACTERS
    return None if is_long or heading.endswith((".", ";", ",", "。", "；", "，")) else heading


def keywords(title: str, text: str) -> list[str]:
    """The query generator that ships: the content words of one sentence, as someone types them into a search box."""
    sentences = [part for part in _SENTENCE_END.split(text) if part.strip()]
    if not sentences:
        return []
    from bm25s.stopwords import STOPWORDS_EN

    words = _WORD.findall(sentences[text_hash(text) % len(sentences)].lower())
    content = list(dict.fromkeys(word for word in words if word not in STOPWORDS_EN and len(word) > 1))
    return [" ".join(content[:_QUERY_WORDS])] if len(content) > 2 else []


def open_generator(name: str) -> QueryGenerator:
    """The generator that a stage names; raises PlanError if it can't be imported."""
    if name == "keywords":
        return keywords
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # whatever the user's module raises
        raise PlanError(
            f"generator {name!r}: {error!r}; write keywords, or PACKAGE.MODULE:FUNCTION of an installed package"
        ) from None
    if not callable(found):
        raise PlanError(f"generator {name!r} is no function of (title, text)")
    return found  # type: ignore[no-any-return]
