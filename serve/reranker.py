"""The reranker application: one checkpoint that scores pairs."""

import asyncio

from mixstage.models.checkpoint import open_reranker
from mixstage.store import Store


class RerankerService:
    """Scores (query, document) pairs with raw logits, one request at a time over all of the replica's threads."""

    def __init__(self, store: str, reranker: str) -> None:
        self.reranker = open_reranker(Store(store).get("checkpoint", reranker))
        self.lock = asyncio.Lock()

    async def score(self, query: str, documents: list[str]) -> list[float]:
        """(N,) document texts -> N raw logits in input order."""
        async with self.lock:
            scores = await asyncio.to_thread(self.reranker.score, [query] * len(documents), documents)
        return [float(score) for score in scores]
