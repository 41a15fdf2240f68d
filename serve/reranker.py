"""The reranker application: one checkpoint that scores pairs."""

from dataclasses import dataclass
from itertools import accumulate, pairwise

from mixstage.models.checkpoint import open_reranker
from mixstage.store import Store
from serve.batcher import IdleBatcher

_BUDGET = 64_000  # characters of a call: some 16,000 tokens, a second or less of a small model on a CPU


@dataclass(frozen=True, slots=True)
class _Request:
    query: str
    documents: list[str]

    @property
    def characters(self) -> int:
        return sum(len(self.query) + len(document) for document in self.documents)


class RerankerService:
    """Scores (query, document) pairs with raw logits; requests that wait for the model are scored in one call."""

    def __init__(self, store: str, reranker: str) -> None:
        self.reranker = open_reranker(Store(store).get("checkpoint", reranker))
        self.batcher = IdleBatcher(self._score, size=lambda request: request.characters, budget=_BUDGET)

    async def score(self, query: str, documents: list[str]) -> list[float]:
        """(N,) document texts -> N raw logits in input order."""
        return await self.batcher.ask(_Request(query, documents))

    async def ready(self) -> None:
        """A real answer; raises what goes wrong."""
        await self.score("ready", ["A text."])

    def _score(self, requests: list[_Request]) -> list[list[float]]:
        queries = [request.query for request in requests for _ in request.documents]
        scores = self.reranker.score(queries, [text for request in requests for text in request.documents]).tolist()
        ends = accumulate((len(request.documents) for request in requests), initial=0)
        return [scores[start:end] for start, end in pairwise(ends)]
