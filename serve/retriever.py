"""The retriever application: one checkpoint with its index generation, or BM25."""

import asyncio
from typing import Any

import pyarrow as pa

from mixstage.corpus.documents import iterate_documents
from mixstage.indexing.document_ids import LoadedIds
from mixstage.indexing.search import Retriever, open_index
from mixstage.store import Store


class RetrieverService:
    """Answers queries with candidates. Its digests are constructor arguments: another one is another application."""

    def __init__(self, store: str, corpus: str, generation: str, retriever: str | None) -> None:
        opened = Store(store)
        documents = opened.get("corpus", corpus)
        checkpoint = None if retriever is None else opened.get("checkpoint", retriever)
        index = open_index(opened.get("generation", generation), checkpoint)
        ids = LoadedIds(documents)
        self.retriever = Retriever(ids, index)
        self.texts = pa.concat_tables(list(iterate_documents(documents, ["title", "text"])))
        self.rows = {doc_id: row for row, doc_id in enumerate(ids.doc_ids.to_pylist())}
        self.lock = asyncio.Lock()  # the model uses all of the replica's threads; requests wait here, not in torch

    async def retrieve(self, query: str, depth: int) -> list[dict[str, Any]]:
        """The top `depth` documents: [{id, score, title, text}], best first."""
        async with self.lock:
            ranking = await asyncio.to_thread(self.retriever.rank, ["query"], [query], depth)
        found = ranking["doc_id"].to_list()
        texts = self.texts.take([self.rows[doc_id] for doc_id in found]).to_pylist()
        scores = ranking["score"].to_list()
        return [{"id": i, "score": s, **text} for i, s, text in zip(found, scores, texts, strict=True)]
