"""The retriever application: one checkpoint with its index generation, or BM25."""

import threading
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from mixstage.corpus.documents import iterate_documents
from mixstage.errors import ModelError
from mixstage.indexing.document_ids import LoadedIds
from mixstage.indexing.search import DenseIndex, Retriever, open_index
from mixstage.models.encoder import Role
from mixstage.store import Store
from serve.batcher import IdleBatcher
from serve.embedding import TextEmbedder

_BATCH = 32  # queries that are encoded and searched together


class RetrieverService:
    """Answers queries with candidates; those that wait for the model are encoded and searched in one call.

    Its digests are constructor arguments: another one is another application.
    """

    def __init__(self, store: str, corpus: str, generation: str, retriever: str | None) -> None:
        opened = Store(store)
        documents = opened.get("corpus", corpus)
        checkpoint = None if retriever is None else opened.get("checkpoint", retriever)
        index = open_index(opened.get("generation", generation), checkpoint)
        ids = LoadedIds(documents)
        self.retriever = Retriever(ids, index)
        self.texts = pa.concat_tables(list(iterate_documents(documents, ["title", "text"])))
        self.rows = {doc_id: row for row, doc_id in enumerate(ids.doc_ids.to_pylist())}
        self.batcher = IdleBatcher(self._rank, size=lambda _: 1, budget=_BATCH)
        self.lock = threading.Lock()  # of the encoder
        self.embedder = TextEmbedder(index.encoder, self.lock) if isinstance(index, DenseIndex) else None

    async def retrieve(self, query: str, depth: int) -> list[dict[str, Any]]:
        """The top `depth` documents: [{id, score, title, text}], best first."""
        ranking = await self.batcher.ask((query, depth))
        found = ranking["doc_id"].to_list()
        texts = self.texts.take([self.rows[doc_id] for doc_id in found]).to_pylist()
        scores = ranking["score"].to_list()
        return [{"id": i, "score": s, **text} for i, s, text in zip(found, scores, texts, strict=True)]

    async def embed(self, texts: list[str], kind: Role) -> tuple[np.ndarray, int]:
        """See `TextEmbedder.embed`; raises ModelError if this is BM25."""
        if self.embedder is None:
            raise ModelError("BM25 has no vectors: ask another retriever")
        return await self.embedder.embed(texts, kind)

    def _rank(self, requests: list[tuple[str, int]]) -> list[pl.DataFrame]:
        names = [str(number) for number in range(len(requests))]
        with self.lock:
            ranking = self.retriever.rank(names, [query for query, _ in requests], max(depth for _, depth in requests))
        own = ranking.partition_by("query_id", as_dict=True, maintain_order=True)
        empty = ranking.clear()
        return [own.get((name,), empty).head(depth) for name, (_, depth) in zip(names, requests, strict=True)]
