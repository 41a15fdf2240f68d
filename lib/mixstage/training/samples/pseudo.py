"""Pseudo-labels: headings stand for queries, and passages on which two retrievers agree for their answers.

After WanDeR (arXiv 2306.07193): only the names of labels are given; a first search finds passages for each name, terms
of those passages join the name in a second one, and what both retrievers then rank high is learned from. A stage that
starts from the result repeats it with better weights: self-training.
"""

import heapq
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl

from mixstage.corpus.documents import document_text, iterate_documents, read_documents
from mixstage.corpus.hashing import text_hash
from mixstage.corpus.tables import Corpus
from mixstage.plan.stages import PseudoPlan
from mixstage.training.round import Round
from mixstage.training.samples.miners import Miner, mine
from mixstage.training.samples.supervision import Supervision

if TYPE_CHECKING:
    from mixstage.training.samples.sampler import Sampler

_WORD = re.compile(r"[^\W\d_]{3,}")


def gather_pseudo(sampler: "Sampler", this: Round, _source: str) -> list[Supervision]:
    """Labels of every corpus of the plan, by the two retrievers that the stage names."""
    corpora, settings = sampler.prepared.corpora, this.stage.pseudo
    retrievers = sampler.miners(this, settings.retrievers, corpora.values())
    return pseudo_supervision(corpora, retrievers, settings, this.stage.limit)


def pseudo_supervision(
    corpora: Mapping[str, Corpus], retrievers: Sequence[Miner], plan: PseudoPlan, limit: int
) -> list[Supervision]:
    """Source "pseudo:CORPUS": headings (distinct titles) with the passages that both retrievers rank high enough."""
    return [_part(name, corpus, retrievers, plan, limit) for name, corpus in corpora.items()]


def _part(name: str, corpus: Corpus, retrievers: Sequence[Miner], plan: PseudoPlan, limit: int) -> Supervision:
    headings = read_headings(corpus, limit)
    queries = pl.DataFrame(
        {"query_id": [f"pseudo:{name}:{n}" for n in range(len(headings))], "text": headings},
        schema={"query_id": pl.String, "text": pl.String},
    )
    searched = queries
    if plan.expand and len(headings):
        first = _agreed(_search(name, corpus, queries, retrievers[:1], plan), plan.agree, 1)
        searched = _expanded(corpus, queries, first, plan.expand)
    ranking = _search(name, corpus, searched, retrievers, plan)
    agreed = _agreed(ranking, plan.agree, len(retrievers)).with_columns(grade=pl.lit(1, dtype=pl.Int16))
    texts = read_documents(corpus, set(agreed["doc_id"]))
    return Supervision(
        source=f"pseudo:{name}",
        corpus=corpus,
        queries=queries.filter(pl.col("query_id").is_in(agreed["query_id"].implode())),
        judgements=agreed,
        documents={doc_id: document_text(*text) for doc_id, text in texts.items()},
    )


def read_headings(corpus: Corpus, limit: int) -> list[str]:
    """The distinct titles of a corpus, sorted; a hash sample where there are more than `limit`."""
    titles: set[str] = set()
    for table in iterate_documents(corpus, ["title"]):
        titles.update(title for title in table["title"].to_pylist() if title.strip())
    return sorted(heapq.nsmallest(limit, titles, key=text_hash))


def _search(
    name: str,
    corpus: Corpus,
    queries: pl.DataFrame,
    retrievers: Sequence[Miner],
    plan: PseudoPlan,
) -> pl.DataFrame:
    nothing = pl.DataFrame(schema={"query_id": pl.String, "doc_id": pl.String, "grade": pl.Int16})
    part = Supervision(source=name, corpus=corpus, queries=queries, judgements=nothing, documents={})
    (mined,) = mine([part], retrievers, plan.agree)
    return mined.ranking


def _agreed(ranking: pl.DataFrame, depth: int, retrievers: int) -> pl.DataFrame:
    """query_id, doc_id: what all of so many retrievers rank within the depth."""
    top = ranking.filter(pl.col("rank") <= depth)
    votes = top.group_by("query_id", "doc_id").agg(pl.col("miner").n_unique().alias("votes"))
    return votes.filter(pl.col("votes") == retrievers).select("query_id", "doc_id").sort("query_id", "doc_id")


def _expanded(corpus: Corpus, queries: pl.DataFrame, agreed: pl.DataFrame, count: int) -> pl.DataFrame:
    """Each heading with the `count` terms that set its passages apart from the corpus."""
    texts = {doc_id: document_text(*text) for doc_id, text in read_documents(corpus, set(agreed["doc_id"])).items()}
    frequency, size = _document_frequency(corpus)
    passages = agreed.group_by("query_id", maintain_order=True).agg("doc_id")
    joined = queries.join(passages, on="query_id", how="left", maintain_order="left")
    expanded = [
        " ".join([heading, *expansion_terms(heading, [texts[d] for d in doc_ids or []], frequency, size, count)])
        for heading, doc_ids in joined.select("text", "doc_id").iter_rows()
    ]
    return queries.with_columns(pl.Series("text", expanded, dtype=pl.String))


def _document_frequency(corpus: Corpus) -> tuple[Counter[str], int]:
    frequency: Counter[str] = Counter()
    for table in iterate_documents(corpus, ["title", "text"]):
        for row in table.to_pylist():
            frequency.update(set(_WORD.findall(document_text(row["title"], row["text"]).lower())))
    return frequency, corpus.documents


def expansion_terms(
    heading: str, passages: Sequence[str], frequency: Mapping[str, int], size: int, count: int
) -> list[str]:
    """The `count` words of highest tf x ln(size / df) in the passages that the heading lacks; ties by spelling.

    frequency: documents of the corpus that hold a word; size: documents in it.
    """
    seen = Counter(word for passage in passages for word in _WORD.findall(passage.lower()))
    known = set(_WORD.findall(heading.lower()))
    weights = {word: tf * math.log(size / frequency[word]) for word, tf in seen.items() if word not in known}
    return sorted(weights, key=lambda word: (-weights[word], word))[:count]
