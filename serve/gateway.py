"""The gateway: what applications call. It looks up their pin and asks the pinned components."""

import asyncio
import time
from typing import Any, Protocol

import numpy as np
import polars as pl
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as AnyHTTPException

from mixstage.composition import Composition
from mixstage.corpus.documents import document_text
from mixstage.evaluation.fusion import fuse_rankings, mix_scores
from mixstage.release.record import Fusion, Member, Pin, Release
from mixstage.release.registry import Registry

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
    hits: list[Hit]


class Components(Protocol):
    """Where the gateway finds the services of a pin."""

    async def retrieve(self, member: Member, query: str, depth: int) -> list[dict[str, Any]]: ...

    async def score(self, pin: Pin, query: str, documents: list[str]) -> list[float]: ...


class Pins:
    """The live releases, read again from the registry when older than `seconds`."""

    def __init__(self, url: str, seconds: float = 1.0) -> None:
        self.registry = Registry(url)
        self.seconds = seconds
        self.read_at = -float("inf")
        self.live: dict[str, Release] = {}

    async def get(self, application: str) -> Release | None:
        if time.monotonic() - self.read_at > self.seconds:
            self.live = await asyncio.to_thread(self.registry.live)
            self.read_at = time.monotonic()
        return self.live.get(application)


async def search(components: Components, release: Release, request: SearchRequest) -> SearchResponse:
    """Retrieve, rerank, order by (float32 score desc, id bytes desc): what the grid evaluated."""
    composition = Composition.parse(release.pin.composition)
    candidates = await _candidates(components, release.pin, request.query, composition.depth)
    scores = np.array([[c["score"] for c in candidates]], dtype=np.float32)
    if composition.reranker != "none" and candidates:
        texts = [document_text(c["title"], c["text"]) for c in candidates]
        reranked = np.array([await components.score(release.pin, request.query, texts)], dtype=np.float32)
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


def build_api(pins: Pins, components: Components) -> FastAPI:
    """The HTTP face: POST /v1/search, GET /v1/applications, GET /health."""
    api = FastAPI(title="mixstage", docs_url=None, redoc_url=None)

    @api.exception_handler(RequestValidationError)
    async def _refuse(_: Request, error: RequestValidationError) -> JSONResponse:
        """422 without the offending input: what was sent does not come back."""
        problems = [{"field": ".".join(map(str, e["loc"][1:])) or "body", "problem": e["msg"]} for e in error.errors()]
        return JSONResponse({"detail": problems}, status_code=422)

    @api.exception_handler(AnyHTTPException)
    async def _say(_: Request, error: AnyHTTPException) -> JSONResponse:
        """FastAPI answers 400 to bytes that are no text; to a caller that is one more malformed request."""
        status = 422 if error.status_code == 400 else error.status_code
        return JSONResponse({"detail": error.detail}, status_code=status)

    @api.post("/v1/search")
    async def _search(request: SearchRequest) -> SearchResponse:
        release = await pins.get(request.application)
        if release is None:
            known = ", ".join(pins.live) or "none"
            raise HTTPException(404, f"no such application; released ones: {known}")
        return await search(components, release, request)

    @api.get("/v1/applications")
    async def _applications() -> dict[str, dict[str, Any]]:
        await pins.get("")
        return {name: {"release": r.number, "composition": r.pin.composition} for name, r in pins.live.items()}

    @api.get("/health")
    async def _health() -> dict[str, str]:
        return {"status": "ok"}

    return api
