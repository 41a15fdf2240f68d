"""Components that go wrong on demand, deployed by import path like the real ones.

A file beside the store says what goes wrong now: {"delay_s": 0.5} or {"error": 1.0} (share of the calls).
"""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

from mixstage.serve.reranker import RerankerArguments, RerankerService
from mixstage.serve.workers.deployment import deployment


class FaultyReranker(RerankerService):
    def __init__(self, store: str, reranker: str) -> None:
        super().__init__(store, reranker)
        self.file = fault_file(store)

    async def score(self, query: str, documents: list[str]) -> list[float]:
        fault = json.loads(self.file.read_text()) if self.file.exists() else {}
        await asyncio.sleep(fault.get("delay_s", 0.0))
        if random.random() < fault.get("error", 0.0) and query != "ready":
            raise RuntimeError("injected")
        return await super().score(query, documents)


def fault_file(store: str) -> Path:
    return Path(store) / "fault.json"


def reranker(arguments: RerankerArguments) -> Any:
    return deployment(FaultyReranker, "Reranker").bind(arguments.store, arguments.reranker)
