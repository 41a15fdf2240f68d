"""The reranker application: one checkpoint that scores pairs."""

import asyncio
import math
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import cast

from pydantic import BaseModel, ConfigDict
from ray.serve import Application

from mixstage.errors import ModelError
from mixstage.models.checkpoint import Checkpoint, open_reranker
from mixstage.serve.workers.batcher import CHARACTERS, IdleBatcher
from mixstage.serve.workers.deployment import Status, Tuned, deployment
from mixstage.store.store import Store

_HEALTH_S = 20.0  # in which a pair is scored, behind one call at most; Serve waits for 30


class RerankerArguments(BaseModel):
    """What makes a reranker's application."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: str
    reranker: str  # digest of the checkpoint


def reranker(arguments: RerankerArguments) -> Application:
    """The application by which Serve deploys a reranker."""
    return cast(Application, deployment(RerankerService, "Reranker").bind(arguments.store, arguments.reranker))


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
        self.digest = reranker
        self.reranker = open_reranker(Store(store).get(Checkpoint, reranker))
        self.tuned = Tuned(CHARACTERS)
        self.batcher = IdleBatcher(self._score, size=lambda request: request.characters, budget=CHARACTERS)

    async def score(self, query: str, documents: list[str]) -> list[float]:
        """(N,) document texts -> N raw logits in input order. Raises OverloadError if too much waits."""
        return await self.batcher.ask(_Request(query, documents))

    async def ready(self) -> None:
        """Scores a pair; raises ModelError if its score is not a number."""
        scores = await self.batcher.ask(_Request("Is it ready?", ["It is."]), first=True)
        if not math.isfinite(scores[0]):
            raise ModelError(f"reranker {self.digest} scores {scores[0]}: its weights or its libraries are damaged")

    async def check_health(self) -> None:
        """Raises if the model does not answer any more: Serve then puts another replica in its place."""
        await asyncio.wait_for(self.ready(), _HEALTH_S)

    def reconfigure(self, user_config: object) -> None:
        """Takes over a `Tuning`; never raises, see `status`."""
        self.batcher.budget = self.tuned.set(user_config)

    def status(self) -> Status:
        return self.tuned.status(self.digest)

    def _score(self, requests: list[_Request]) -> list[list[float]]:
        queries = [request.query for request in requests for _ in request.documents]
        scores = self.reranker.score(queries, [text for request in requests for text in request.documents]).tolist()
        ends = accumulate((len(request.documents) for request in requests), initial=0)
        return [scores[start:end] for start, end in pairwise(ends)]
