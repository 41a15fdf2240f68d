"""A search: the pinned retriever's candidates, scored by the pinned reranker, in the order that the grid evaluated."""

import asyncio
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from mixstage.composition import Composition
from mixstage.corpus.documents import document_text
from mixstage.evaluation.fusion import fuse_rankings, mix_scores
from mixstage.release.record import Fusion, Pin, Release
from serve.components import Components

MAX_K = 100
MAX_QUERY = 8192  # characters
_FOUND = {"doc_id": pl.String, "score": pl.Float32}


class SearchRequest(BaseModel):
    """What a search takes."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    application: str = Field(min_length=1, max_length=200)
    query: str = Field(min_length=1, max_length=MAX_QUERY)
    k: int = Field(10, ge=1, le=MAX_K)  # hits wanted


class Hit(BaseModel):
    """One document of an answer; scores are comparable inside one answer only."""

    id: str
    title: str
    score: float


class SearchResponse(BaseModel):
    """An answer and what made it."""

    application: str
    composition: str
    release: int
    role: Literal["live", "canary", "interleave"] = "live"  # interleaved hits come from two lists: their scores don't
    # compare
    hits: list[Hit]


async def search(components: Components, release: Release, request: SearchRequest) -> SearchResponse:
    """Retrieve, rerank, order by (float32 score desc, id bytes desc): what the grid evaluated."""
    composition = Composition.parse(release.pin.composition)
    candidates = await _candidates(components, release.pin, request.query, composition.depth)
    scores = np.array([[c["score"] for c in candidates]], dtype=np.float32)
    if composition.reranker != "none" and candidates:
        texts = [document_text(c["title"], c["text"]) for c in candidates]
        reranked = np.array([await components.score(str(release.pin.reranker), request.query, texts)], dtype=np.float32)
        scores = mix_scores(scores, reranked, composition.mix, np.ones_like(scores, dtype=bool))
    hits = [Hit(id=c["id"], title=c["title"], score=float(s)) for c, s in zip(candidates, scores[0], strict=True)]
    hits.sort(key=lambda hit: (hit.score, hit.id.encode()), reverse=True)
    return SearchResponse(
        application=request.application,
        composition=release.pin.composition,
        release=release.number,
        hits=hits[: request.k],
    )


async def _candidates(components: Components, pin: Pin, query: str, depth: int) -> list[dict[str, Any]]:
    """The top `depth` of the pinned retriever; of a fusion, whose members answer together and to its own depth."""
    if pin.fusion is None:
        return await components.retrieve(pin.members[0], query, depth)
    limit = pin.fusion.depth
    answers = await asyncio.gather(*(components.retrieve(member, query, limit) for member in pin.fusion.members))
    return _fuse(answers, pin.fusion)[:depth]


def _fuse(answers: list[list[dict[str, Any]]], fusion: Fusion) -> list[dict[str, Any]]:
    """Candidates of all members, best first, with the fusion's scores."""
    rankings = [
        pl.DataFrame([(c["id"], c["score"]) for c in answer], schema=_FOUND, orient="row")
        .with_row_index("rank", offset=1)
        .with_columns(pl.lit("query").alias("query_id"))
        for answer in answers
    ]
    fused = fuse_rankings(rankings, fusion.constant, fusion.depth, fusion.weights)
    found = {c["id"]: c for answer in answers for c in answer}
    return [{**found[doc_id], "score": score} for doc_id, score in fused.select("doc_id", "score").iter_rows()]
