"""The retriever application: one checkpoint with its index generation, or BM25."""

import asyncio
from typing import Any

from mixstage.corpus.documents import read_documents
from mixstage.indexing.search import open_retriever
from mixstage.store import Store


class RetrieverService:
    """Answers queries with candidates. Its digests are constructor arguments: another checkpoint is another application."""

    def __init__(self, store: str, corpus: str, generation: str, retriever: str | None) -> None:
        opened = Store(store)
        self.corpus = opened.get("corpus", corpus)
        checkpoint = None if retriever is None else opened.get("checkpoint", retriever)
        self.retriever = open_retriever(self.corpus, opened.get("generation", generation), checkpoint)
        self.lock = asyncio.Lock()  # the model uses all of the replica's threads; requests wait here, not in torch

    async def retrieve(self, query: str, depth: int) -> list[dict[str, Any]]:
        """The top `depth` documents: [{id, title, text, score}], best first."""
        async with self.lock:
            ranking = await asyncio.to_thread(self.retriever.rank, ["q"], [query], depth)
            texts = await asyncio.to_thread(read_documents, self.corpus, set(ranking["doc_id"]))
        return [_candidate(row, texts) for row in ranking.iter_rows(named=True)]


def _candidate(row: dict[str, Any], texts: dict[str, tuple[str, str]]) -> dict[str, Any]:
    title, text = texts[row["doc_id"]]
    return {"id": row["doc_id"], "title": title, "text": text, "score": row["score"]}
