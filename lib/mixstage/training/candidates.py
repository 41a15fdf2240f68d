"""Candidates for mining: what a miner ranks for the train queries, and how it scores the judged documents."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from mixstage.cluster import run_tasks
from mixstage.corpus.documents import document_text, read_documents
from mixstage.indexing.pair_scores import Pairs, score_pairs
from mixstage.indexing.search import open_retriever, rank_by_score
from mixstage.plan import ResourcesPlan, Workers
from mixstage.progress import Progress
from mixstage.store import Artifact, Store
from mixstage.training.samples import Judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Of one application: what a miner found. Scores of both frames are on one scale."""

    judged: Judged
    ranking: pl.DataFrame  # query_id, doc_id, score, rank
    positives: pl.DataFrame  # query_id, doc_id, score (NaN where the miner has none) of every judged pair
    texts: dict[str, str]  # doc_id -> text of every ranked and judged document


def retrieve(judged: Judged, generation: Artifact, checkpoint: Artifact | None, depth: int) -> Candidates:
    """The miner's top `depth` for the train queries of one application; `checkpoint` None is BM25."""
    retriever = open_retriever(judged.corpus, generation, checkpoint)
    asked = judged.queries["query_id"].to_list(), judged.queries["text"].to_list()
    ranking = retriever.rank(*asked, depth)
    positives = retriever.score(*asked, judged.judgements)
    found = read_documents(judged.corpus, set(ranking["doc_id"]))
    texts = judged.documents | {doc_id: document_text(*text) for doc_id, text in found.items()}
    return Candidates(judged=judged, ranking=ranking, positives=positives, texts=texts)


def retrieve_all(
    parts: list[tuple[Judged, Artifact]], checkpoint: Artifact | None, depth: int, resources: ResourcesPlan
) -> list[Candidates]:
    """`retrieve` for every (application, generation), as Ray tasks; in the order of the applications' names."""
    calls = [(judged, generation, checkpoint, depth) for judged, generation in parts]
    found = run_tasks(retrieve, calls, workers=resources.embed)
    return sorted(found, key=lambda candidates: candidates.judged.application)


def rescore(
    store: Store, parts: list[Candidates], reranker: Artifact, *, label: str, workers: Workers, progress: Progress
) -> list[Candidates]:
    """The same candidates in the order of a reranker; judged documents are scored as well."""
    queries: list[str] = []
    documents: list[str] = []
    numbers: list[tuple[list[int], list[int]]] = []
    for part in parts:
        both = _all_pairs(part)
        query_ids, doc_ids = part.judged.queries["query_id"].to_list(), sorted(part.texts)
        query_number = {query_id: len(queries) + i for i, query_id in enumerate(query_ids)}
        doc_number = {doc_id: len(documents) + i for i, doc_id in enumerate(doc_ids)}
        queries += part.judged.queries["text"].to_list()
        documents += [part.texts[doc_id] for doc_id in doc_ids]
        numbers.append(([query_number[q] for q in both["query_id"]], [doc_number[d] for d in both["doc_id"]]))
    pairs = Pairs(
        queries=queries,
        documents=documents,
        query=np.array([n for query, _ in numbers for n in query], dtype=np.int64),
        document=np.array([n for _, document in numbers for n in document], dtype=np.int64),
    )
    (scores,), _ = score_pairs(store, [reranker], pairs, label=label, workers=workers, progress=progress)
    cuts = np.cumsum([len(query) for query, _ in numbers])[:-1]
    return [_reordered(part, column) for part, column in zip(parts, np.split(scores, cuts), strict=True)]


def _all_pairs(part: Candidates) -> pl.DataFrame:
    return pl.concat([part.ranking.select("query_id", "doc_id"), part.positives.select("query_id", "doc_id")])


def _reordered(part: Candidates, scores: np.ndarray) -> Candidates:
    """`scores` (N,) float32: of the ranking's rows, then of the positives'."""
    scored = _all_pairs(part).with_columns(pl.Series("score", scores, dtype=pl.Float32))
    cut = len(part.ranking)
    return replace(part, ranking=rank_by_score(scored[:cut]), positives=scored[cut:])
