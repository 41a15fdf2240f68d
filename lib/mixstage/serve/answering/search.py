"""A search: the pinned retriever's candidates, scored by the pinned reranker, in the order that the grid evaluated."""

import math
import time
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, GetPydanticSchema, WithJsonSchema, model_validator
from pydantic_core import core_schema

from mixstage.composition import Composition
from mixstage.corpus.documents import document_text
from mixstage.errors import ModelError
from mixstage.evaluation.fusion import fuse_rankings, mix_scores
from mixstage.release.record import Fusion, Pin, Release
from mixstage.serve.answering.calls import fan_out, score_documents
from mixstage.serve.answering.components import Candidate, Components
from mixstage.serve.answering.snippet import snippet
from mixstage.serve.problems import Refusal

MAX_K = 100
MAX_DEPTH = 1000
MAX_QUERY = 8192  # characters
MAX_USER = 200
MAX_QUERIES = 100  # of a batch
_NESTED = 8  # lists and objects inside each other
_RANKING = {"doc_id": pl.String, "score": pl.Float32}

Query = Annotated[str, Field(min_length=1, max_length=MAX_QUERY)]
# A composition is its name in JSON. Without its own schema pydantic would describe the value's fields, too.
_by_name = GetPydanticSchema(
    lambda kind, _: core_schema.is_instance_schema(kind, serialization=core_schema.to_string_ser_schema())
)
CompositionName = Annotated[Composition, _by_name, WithJsonSchema({"type": "string"})]
Role = Literal["live", "canary", "interleave", "named"]


class SearchOptions(BaseModel):
    """What a search and a batch of searches take alike, beside their queries."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    application: str = Field(min_length=1, max_length=200)
    k: int = Field(10, ge=1, le=MAX_K, description="hits wanted")
    depth: int | None = Field(
        None, ge=1, le=MAX_DEPTH, description="candidates to rerank, instead of the composition's"
    )
    filter: dict[str, Any] | None = Field(
        None, description='what documents must have: {"field": value | {"gte": x, "lt": y} | {"any": [...]}}'
    )
    explain: bool = Field(False, description="whether hits tell ranks and scores of both phases")
    user: str | None = Field(
        None, max_length=MAX_USER, description="the same key is always on the same side of a trial"
    )
    composition: str | None = Field(None, max_length=500, description="answer with this one instead of the live one")

    @model_validator(mode="before")
    @classmethod
    def _is_plain(cls, sent: Any) -> Any:
        check_plain(sent)
        return sent


class SearchRequest(SearchOptions):
    """A search: one query of an application."""

    query: Query


class BatchRequest(SearchOptions):
    """Many queries of one application."""

    queries: list[Query] = Field(min_length=1, max_length=MAX_QUERIES)


def check_plain(value: Any, room: int = _NESTED) -> None:
    """Raises ValueError for what JSON can say and no component can use: half characters, NUL, NaN, deep nests."""
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ValueError("a text holds NUL or half of a surrogate pair: send valid Unicode")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("NaN and Infinity are not numbers in JSON")
    elif isinstance(value, dict | list):
        if not room:
            raise ValueError(f"more than {_NESTED} lists and objects are inside each other")
        for part in [*value, *value.values()] if isinstance(value, dict) else value:
            check_plain(part, room - 1)


class Ranks(BaseModel):
    """Places of a hit, from 1, after each phase."""

    retrieval: int
    reranking: int | None  # None: nothing reranked


class Scores(BaseModel):
    """Scores of a hit, by each component."""

    retrieval: float
    reranking: float | None  # the reranker's raw logit, before it is mixed


class Hit(BaseModel):
    """A document of an answer; scores are comparable inside one answer only, and not where hits are interleaved."""

    id: str
    score: float
    title: str
    text: str  # a snippet
    document: str = Field("", exclude=True)  # all of it, for APIs that answer with whole documents
    ranks: Ranks | None = None  # with `explain`
    scores: Scores | None = None


class Timings(BaseModel):
    """Milliseconds, waiting included."""

    retrieve_ms: float
    rerank_ms: float  # 0 without a reranker
    total_ms: float


class SearchResponse(BaseModel):
    """An answer and what made it."""

    request_id: str
    application: str
    composition: CompositionName
    release: int
    generation: str  # see `generation_of`
    role: Role  # of the composition
    hits: list[Hit]
    timings: Timings


def generation_of(pin: Pin) -> str:
    """What a pin searches: a generation's digest; of a fusion those of its members, joined by +."""
    return "+".join(member.generation for member in pin.members)


async def search(components: Components, release: Release, request: SearchRequest, request_id: str) -> SearchResponse:
    """Retrieve, rerank, order by (float32 score desc, id bytes desc): what the grid evaluated.

    Raises Refusal for more depth than a fusion ranks, Refusal or ModelError for a score that is not a number, and what
    components raise.
    """
    begun = time.perf_counter()
    composition = _at_depth(release.pin, request.depth)
    candidates = await _candidates(components, release.pin, request, composition.depth)
    retrieved = time.perf_counter()
    reranker = None if composition.reranker == "none" else release.pin.reranker
    logits = await _logits(components, reranker, request.query, candidates)
    reranked = time.perf_counter()
    return SearchResponse(
        request_id=request_id,
        application=request.application,
        composition=composition,
        release=release.number,
        generation=generation_of(release.pin),
        role=release.action if release.action in ("canary", "interleave") else "live",
        hits=_hits(candidates, logits, composition.mix, request),
        timings=Timings(
            retrieve_ms=_milliseconds(retrieved - begun),
            rerank_ms=0 if logits is None else _milliseconds(reranked - retrieved),
            total_ms=_milliseconds(time.perf_counter() - begun),
        ),
    )


def _at_depth(pin: Pin, depth: int | None) -> Composition:
    composition = pin.composition
    if depth is None:
        return composition
    if pin.fusion is not None and depth > pin.fusion.depth:
        raise Refusal(422, f"depth: at most {pin.fusion.depth}, which the fusion {composition.retriever} ranks")
    return composition.at_depth(depth)


async def _candidates(components: Components, pin: Pin, request: SearchRequest, depth: int) -> list[Candidate]:
    """The top `depth` of the pinned retriever; of a fusion, whose members answer together and to its own depth."""
    query, wanted = request.query, request.filter
    if pin.fusion is None:
        return await components.retrieve(pin.members[0], query, depth, wanted)
    calls = [partial(components.retrieve, member, query, pin.fusion.depth, wanted) for member in pin.fusion.members]
    return _fuse(await fan_out(calls, at_once=len(calls)), pin.fusion)[:depth]


def _fuse(answers: list[list[Candidate]], fusion: Fusion) -> list[Candidate]:
    """Candidates of all members, best first, with the fusion's scores."""
    rankings = [
        pl.DataFrame([(c["id"], c["score"]) for c in answer], schema=_RANKING, orient="row")
        .with_row_index("rank", offset=1)
        .with_columns(pl.lit("query").alias("query_id"))
        for answer in answers
    ]
    fused = fuse_rankings(rankings, fusion.constant, fusion.depth, fusion.weights)
    by_id = {c["id"]: c for answer in answers for c in answer}
    fused_scores = fused.select("doc_id", "score").iter_rows()
    return [Candidate(**{**by_id[doc_id], "score": score}) for doc_id, score in fused_scores]


async def _logits(
    components: Components, reranker: str | None, query: str, candidates: list[Candidate]
) -> np.ndarray | None:
    """(N,) float32 of a reranker; None without one, or with nothing to score."""
    if reranker is None or not candidates:
        return None
    texts = [document_text(c["title"], c["text"]) for c in candidates]
    return np.array(await score_documents(components, reranker, query, texts), dtype=np.float32)


def _hits(candidates: list[Candidate], logits: np.ndarray | None, mix: float, request: SearchRequest) -> list[Hit]:
    first = np.array([c["score"] for c in candidates], dtype=np.float32)
    last = first
    if logits is not None:
        last = mix_scores(first[None], logits[None], mix, np.ones((1, len(first)), dtype=bool))[0]
    if not np.isfinite(last).all():
        raise ModelError("a component gave a score that is not a number")
    order = sorted(range(len(first)), key=lambda i: (last[i], candidates[i]["id"].encode()), reverse=True)
    hits = []
    for rank, i in enumerate(order[: request.k], start=1):
        candidate = candidates[i]
        shown = snippet(candidate["text"], request.query)
        hit = Hit(
            id=candidate["id"], score=float(last[i]), title=candidate["title"], text=shown, document=candidate["text"]
        )
        if request.explain:
            hit.ranks = Ranks(retrieval=i + 1, reranking=None if logits is None else rank)
            hit.scores = Scores(retrieval=float(first[i]), reranking=None if logits is None else float(logits[i]))
        hits.append(hit)
    return hits


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 3)
