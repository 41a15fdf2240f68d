"""The retriever application: one checkpoint with its index generation, or BM25."""

import asyncio
import logging
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field
from ray.serve import Application

from mixstage.corpus.documents import iterate_documents
from mixstage.corpus.metadata import read_metadata
from mixstage.corpus.tables import Corpus
from mixstage.errors import ModelError, OverloadError
from mixstage.index.document_ids import LoadedIds
from mixstage.index.filters import Filter
from mixstage.index.generation import Generation
from mixstage.index.search import DenseIndex, Files, Retriever, Within, divide, open_index
from mixstage.models.checkpoint import Checkpoint
from mixstage.models.encoder import Role
from mixstage.models.lexical import BM25
from mixstage.serve.answering.components import Candidate
from mixstage.serve.workers.batcher import IdleBatcher
from mixstage.serve.workers.deployment import Status, Tuned, deployment
from mixstage.serve.workers.embedding import TextEmbedder
from mixstage.serve.workers.shards import Handle, Shard, ShardedFiles
from mixstage.store.plain import JsonObject
from mixstage.store.store import Store

logger = logging.getLogger("ray.serve")

_BATCH = 32  # queries that are encoded and searched together
_HEALTH_S = 20.0  # in which a query is answered, behind one call at most; Serve waits for 30


class RetrieverArguments(BaseModel):
    """What makes a retriever's application."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: str
    corpus: str  # digest
    generation: str  # digest
    retriever: str | None = None  # digest of a checkpoint; None: BM25
    shards: int = Field(1, ge=1)  # deployments that hold the generation's files; of fewer files, as many as files


def retriever(arguments: RetrieverArguments) -> Application:
    """The application by which Serve deploys a retriever; its deployments are those of `deployment_names`."""
    store, generation = arguments.store, arguments.generation
    main, *names = deployment_names(arguments)
    if 1 < arguments.shards != len(names):
        logger.warning(
            f"generation {generation} has {max(1, len(names))} files, too few for {arguments.shards} shards: a smaller "
            "index.shard_rows makes more"
        )
    shards = [deployment(Shard, name).bind(store, generation, number, len(names)) for number, name in enumerate(names)]
    bound = deployment(RetrieverService, main).bind(store, arguments.corpus, generation, arguments.retriever, *shards)
    return cast(Application, bound)


def deployment_names(arguments: RetrieverArguments) -> list[str]:
    """Names of the retriever and, if there is to be more than one, of its shards: then the generation's manifest is
    read."""
    if arguments.shards == 1:
        return ["Retriever"]
    shards = divide(Store(arguments.store).get(Generation, arguments.generation), arguments.shards)
    return ["Retriever", *(f"Shard{number}" for number in range(len(shards)) if len(shards) > 1)]


@dataclass(frozen=True, slots=True)
class _Request:
    query: str
    depth: int
    wanted: Filter | None


class RetrieverService:
    """Answers queries with candidates; those that wait for the model are encoded and searched in one call.

    Its digests are constructor arguments: another one is another application. shards: who holds the generation's files,
    in the order of `divide`; none: this process opens them.
    """

    def __init__(self, store: str, corpus: str, generation: str, retriever: str | None, *shards: Handle) -> None:
        artifacts = Store(store)
        documents = artifacts.get(Corpus, corpus)
        model = BM25 if retriever is None else artifacts.get(Checkpoint, retriever)
        searched = artifacts.get(Generation, generation)
        files = ShardedFiles(shards, divide(searched, len(shards))) if shards else None
        self.digest = generation
        self.index = open_index(searched, model, files)
        self.ids = LoadedIds(documents)
        self.fields, self.metadata = documents.fields, read_metadata(documents)
        self.texts = _together(pa.concat_tables(list(iterate_documents(documents, ["title", "text"]))))
        self.rows = {doc_id: row for row, doc_id in enumerate(self.ids.doc_ids.to_pylist())}
        self.tuned = Tuned(_BATCH)
        self.batcher = IdleBatcher(self._rank, size=lambda _: 1, budget=_BATCH)
        self.lock = threading.Lock()  # of the encoder
        self.embedder = TextEmbedder(self.index.encoder, self.lock) if isinstance(self.index, DenseIndex) else None

    async def retrieve(self, query: str, depth: int, filter: JsonObject | None = None) -> list[Candidate]:
        """The top `depth` documents that pass the filter, best first.

        filter: see `Filter.parse`. Raises FilterError, OverloadError.
        """
        wanted = None if filter is None or filter == {} else Filter.parse(filter, self.fields)
        return await self._find(_Request(query, depth, wanted))

    async def _find(self, request: _Request, first: bool = False) -> list[Candidate]:
        ranking = await self.batcher.ask(request, first)
        doc_ids = ranking["doc_id"].to_list()
        rows = pa.array([self.rows[doc_id] for doc_id in doc_ids], pa.int64())  # typed: BM25 may find nothing
        texts = self.texts.take(rows).to_pylist()
        scores = ranking["score"].to_list()
        return [
            Candidate(id=i, score=s, title=text["title"], text=text["text"])
            for i, s, text in zip(doc_ids, scores, texts, strict=True)
        ]

    async def embed(self, texts: list[str], kind: Role) -> tuple[np.ndarray, int]:
        """(N,) texts -> (N, dim) float32 of unit length, and the tokens that were read. Raises ModelError for BM25."""
        if self.embedder is None:
            raise ModelError("BM25 has no vectors: ask another retriever")
        return await self.embedder.embed(texts, kind)

    def _rank(self, requests: list[_Request]) -> list[pl.DataFrame]:
        """The ranking of each request. All queries are encoded together, those of one filter are searched together."""
        searched: Files = self.index
        if isinstance(self.index, DenseIndex):
            with self.lock:
                searched = self.index.encoded([request.query for request in requests])
        groups: dict[Filter | None, list[int]] = {}
        for number, request in enumerate(requests):
            groups.setdefault(request.wanted, []).append(number)
        rankings: dict[int, pl.DataFrame] = {}
        for wanted, numbers in groups.items():
            index = searched if wanted is None else Within(searched, wanted.mask(self.metadata))
            group = [requests[number] for number in numbers]
            rankings.update(zip(numbers, _rank_together(Retriever(self.ids, index), group), strict=True))
        return [rankings[number] for number in range(len(requests))]

    async def ready(self) -> None:
        """Answers a query as `retrieve` does, texts included; raises ModelError if a score is not a number."""
        scores = [hit["score"] for hit in await self._find(_Request("Is it ready?", 1, None), first=True)]
        if not np.isfinite(scores).all():
            raise ModelError(f"generation {self.digest} scores {scores}: build it again")

    async def check_health(self) -> None:
        """Raises if the model does not answer any more: Serve then puts another replica in its place.

        A shard that does not answer has a health of its own.
        """
        with suppress(OverloadError):
            await asyncio.wait_for(self.ready(), _HEALTH_S)

    def reconfigure(self, user_config: object) -> None:
        """Takes over a `Tuning`; never raises, see `status`."""
        self.batcher.budget = self.tuned.set(user_config)

    def status(self) -> Status:
        return self.tuned.status(self.digest)


def _together(texts: pa.Table) -> pa.Table:
    """The table in one chunk: `take` joins all chunks of a string column at each call, 233 ms of 1 GB.

    large_string has offsets of 64 bits; those of string end at 2 GiB, which take may pass.
    """
    large = pa.schema([(name, pa.large_string()) for name in texts.column_names])
    return texts.cast(large).combine_chunks()


def _rank_together(retriever: Retriever, requests: list[_Request]) -> list[pl.DataFrame]:
    names = [str(number) for number in range(len(requests))]
    ranking = retriever.rank(names, [request.query for request in requests], max(r.depth for r in requests))
    own = ranking.partition_by("query_id", as_dict=True, maintain_order=True)
    empty = ranking.clear()
    return [own.get((name,), empty).head(r.depth) for name, r in zip(names, requests, strict=True)]
