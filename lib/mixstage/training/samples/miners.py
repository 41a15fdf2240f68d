"""Miners: what retrievers rank for the queries of a source, and how they score the documents that answer them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from mixstage.corpus.documents import document_text, read_documents
from mixstage.corpus.prepare import Prepared
from mixstage.index.search import Retriever, rank_by_score
from mixstage.models.checkpoint import Checkpoint
from mixstage.pairs.run import score_pairs
from mixstage.pairs.scores import Pairs
from mixstage.training.samples.supervision import Supervision

_CHUNK = 4096  # queries ranked at once: their rankings are all that is held
RANKED = {"query_id": pl.String, "doc_id": pl.String, "score": pl.Float32, "rank": pl.UInt32}
SCORED = {"query_id": pl.String, "doc_id": pl.String, "score": pl.Float32}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """What the miners ranked for one part of the supervision. A miner's scores are on one scale in both frames."""

    supervision: Supervision
    ranking: pl.DataFrame  # miner, query_id, doc_id, score, rank
    positives: pl.DataFrame  # miner, query_id, doc_id, score (NaN where the miner has none) of every judged pair
    texts: dict[str, str]  # doc_id -> text of every ranked document, as a negative shows it


@dataclass(frozen=True, slots=True)
class Miner:
    """Something that ranks: its name in tables, and what searches each corpus."""

    name: str
    retrievers: Mapping[str, Retriever]  # by the corpus's digest


def mine(parts: Sequence[Supervision], miners: Sequence[Miner], depth: int) -> list[Mined]:
    """The top `depth` of every miner for every query; in the order of `parts`."""
    return [_mine(part, miners, depth) for part in parts]


def _mine(part: Supervision, miners: Sequence[Miner], depth: int) -> Mined:
    ranking = [pl.DataFrame(schema={"miner": pl.String, **RANKED})]
    positives = [pl.DataFrame(schema={"miner": pl.String, **SCORED})]
    pairs = part.judgements.select("query_id", "doc_id")
    for miner in miners:
        retriever, name = miner.retrievers[part.corpus.digest], pl.lit(miner.name).alias("miner")
        for start in range(0, len(part.queries), _CHUNK):
            queries = part.queries[start : start + _CHUNK]
            texts = queries["query_id"].to_list(), queries["text"].to_list()
            own = pairs.filter(pl.col("query_id").is_in(queries["query_id"].implode()))
            ranking.append(retriever.rank(*texts, depth).select(name, *RANKED))
            positives.append(retriever.score(*texts, own).select(name, *SCORED))
    return _mined(part, pl.concat(ranking), pl.concat(positives))


def _mined(part: Supervision, ranking: pl.DataFrame, positives: pl.DataFrame) -> Mined:
    documents = read_documents(part.corpus, set(ranking["doc_id"]))
    order = ["miner", "query_id", "doc_id"]  # tasks finish in any order
    return Mined(
        supervision=part,
        ranking=ranking.sort(order),
        positives=positives.sort(order),
        texts={
            doc_id: document_text(title if part.titled else "", text) for doc_id, (title, text) in documents.items()
        },
    )


def score_mined(prepared: Prepared, parts: Sequence[Mined], reranker: Checkpoint, *, label: str) -> list[pl.DataFrame]:
    """query_id, doc_id, score float32 of every candidate and every judged pair of each part under a reranker.

    It reads the texts that samples hold: of a judged pair the one that is learned.
    """
    frames = [
        pl.concat(
            [
                part.positives.select("query_id", "doc_id", judged=True),
                part.ranking.select("query_id", "doc_id", judged=False),
            ]
        )
        .unique(["query_id", "doc_id"], keep="first", maintain_order=True)
        .sort("query_id", "doc_id")
        for part in parts
    ]
    pairs = _pairs(parts, frames)
    workers = prepared.plan.resources.score
    scores = score_pairs(prepared.store, reranker, pairs, label=label, workers=workers, progress=prepared.progress)
    cuts = np.cumsum([len(frame) for frame in frames])[:-1]
    return [
        frame.select("query_id", "doc_id", pl.Series("score", column, dtype=pl.Float32))
        for frame, column in zip(frames, np.split(scores, cuts), strict=True)
    ]


def _pairs(parts: Sequence[Mined], frames: Sequence[pl.DataFrame]) -> Pairs:
    queries: list[str] = []
    documents: list[str] = []
    numbers: list[tuple[np.ndarray, np.ndarray]] = []
    for part, frame in zip(parts, frames, strict=True):
        texts = {(True, doc_id): text for doc_id, text in part.supervision.documents.items()}
        texts |= {(False, doc_id): text for doc_id, text in part.texts.items()}
        query_ids = part.supervision.queries["query_id"].to_list()
        query_at = {query_id: len(queries) + i for i, query_id in enumerate(query_ids)}
        doc_at = {key: len(documents) + i for i, key in enumerate(texts)}
        queries += part.supervision.queries["text"].to_list()
        documents += texts.values()
        query = [query_at[query_id] for query_id in frame["query_id"]]
        document = [doc_at[key] for key in frame.select("judged", "doc_id").iter_rows()]
        numbers.append((np.array(query), np.array(document)))
    return Pairs(
        queries=queries,
        documents=documents,
        query=np.concatenate([query for query, _ in numbers]).astype(np.int64),
        document=np.concatenate([document for _, document in numbers]).astype(np.int64),
    )


def reordered(part: Mined, scores: pl.DataFrame, name: str) -> Mined:
    """What several miners ranked as the ranking of one, `name`, by its scores (query_id, doc_id, score)."""
    miner = pl.lit(name).alias("miner")
    ranking = part.ranking.select("query_id", "doc_id").unique().join(scores, on=["query_id", "doc_id"])
    positives = part.positives.select("query_id", "doc_id").unique().join(scores, on=["query_id", "doc_id"])
    return replace(
        part,
        ranking=rank_by_score(ranking).select(miner, *RANKED),
        positives=positives.sort("query_id", "doc_id").select(miner, *SCORED),
    )
