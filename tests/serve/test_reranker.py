"""The reranker's service: what waits is scored together; health is a real score, and a stuck model fails it."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from mixstage.errors import ModelError
from mixstage.models.hashing import HashingReranker
from mixstage.serve import reranker
from mixstage.serve.reranker import RerankerService
from mixstage.store.store import Store


@pytest.fixture
def service(store: Store, make_checkpoint: Any) -> RerankerService:
    return RerankerService(store.uri, make_checkpoint("reranker").digest)


def test_requests_that_wait_together_get_their_own_scores_in_order(service: RerankerService) -> None:
    async def run() -> list[list[float]]:
        return await asyncio.gather(service.score("roof", ["a roof", "rent"]), service.score("rent", ["the rent"]))

    plain = HashingReranker().score(["roof", "roof", "rent"], ["a roof", "rent", "the rent"]).tolist()
    assert asyncio.run(run()) == [plain[:2], plain[2:]]


def test_health_is_a_finite_score(service: RerankerService) -> None:
    asyncio.run(service.check_health())

    class Broken:
        def score(self, queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
            return np.full(len(queries), np.nan, dtype=np.float32)

    service.reranker = Broken()
    with pytest.raises(ModelError, match="scores nan"):
        asyncio.run(service.check_health())


def test_a_stuck_model_is_unhealthy(service: RerankerService, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    class Stuck:
        def score(self, queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
            go.wait(60)
            return np.zeros(len(queries), dtype=np.float32)

    service.reranker = Stuck()
    monkeypatch.setattr(reranker, "_HEALTH_S", 0.05)

    async def run() -> None:
        waiting = asyncio.create_task(service.score("roof", ["a roof"]))
        await asyncio.sleep(0)
        try:
            with pytest.raises(TimeoutError):
                await service.check_health()
        finally:
            go.set()
        assert await waiting == [0.0]
        await service.check_health()  # it answers again

    asyncio.run(run())


def test_the_budget_of_a_call_is_set_while_it_runs(service: RerankerService) -> None:
    service.reconfigure({"budget": 1000})
    assert service.status() == {"digest": service.digest, "budget": 1000, "problem": None}
    service.reconfigure({"budget": -1})
    assert service.batcher.budget == service.status()["budget"] == 1000
    assert "1000 stays in force" in service.status()["problem"]
