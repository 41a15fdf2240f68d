"""Shards of a retriever: a generation's files behind several Serve deployments, asked at the same time."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError

from mixstage.errors import OverloadError
from mixstage.index.arithmetic import Found, merge_found
from mixstage.index.generation import Generation
from mixstage.index.search import Part, divide, edges_of, open_part
from mixstage.serve.workers.deployment import PAUSES
from mixstage.store.store import Store

_ANSWER_S = 8.0  # in which a shard answers, below a request's deadline and a check of health
_HEALTH_S = 20.0  # in which a search ends, behind one other at most


class Handle(Protocol):
    """A Serve handle of a `Shard`."""

    @property
    def search(self) -> Any: ...


class Shard:
    """Part `number` of `count` of a generation: opens these files and no others."""

    def __init__(self, store: str, generation: str, number: int, count: int) -> None:
        stored = Store(store).get(Generation, generation)
        self.files = open_part(stored, divide(stored, count)[number])
        dim = stored.dim  # BM25 has none and is asked in words
        self.sample: Any = ["Is it ready?"] if dim is None else np.ones((1, dim), dtype=np.float32)
        self.one_at_a_time = threading.Lock()  # Serve calls from several threads, FAISS notes things at first use

    def search(self, queries: Any, k: int, allowed: np.ndarray | None) -> Found:
        """See `Files.search`. allowed: (rows of this part,) bool."""
        with self.one_at_a_time:
            return self.files.search(queries, k, allowed)

    async def check_health(self) -> None:
        """Raises if a search does not end: Serve then puts another replica in its place."""
        await asyncio.wait_for(asyncio.to_thread(self.search, self.sample, 1, None), _HEALTH_S)


class ShardedFiles:
    """The parts of a generation as one: what it finds is what one process finds that holds all of them."""

    def __init__(self, shards: Sequence[Handle], parts: Sequence[Part]) -> None:
        assert len(shards) == len(parts), "each part has its shard"
        self.shards, self.edges = shards, edges_of(parts)

    def search(self, queries: Any, k: int, allowed: np.ndarray | None = None) -> Found:
        """See `Files.search`. Raises OverloadError if a shard does not answer."""
        calls = [
            partial(shard.search.remote, queries, k, None if allowed is None else allowed[start:stop])
            for shard, (start, stop) in zip(self.shards, self.edges, strict=True)
        ]
        return merge_found(_ask_all(calls), k)


def _ask_all(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """The answers of calls that run at the same time. All only read: one whose replica died is sent again."""
    responses = [call() for call in calls]
    return [_answer(call, response) for call, response in zip(calls, responses, strict=True)]


def _answer(call: Callable[[], Any], response: Any) -> Any:
    for pause in (*PAUSES, None):
        try:
            return response.result(timeout_s=_ANSWER_S)
        except RayActorError:
            if pause is not None:
                time.sleep(pause)
                response = call()
        except TimeoutError:
            response.cancel()  # nobody waits for it, and searches of a shard go one at a time
            break
        except (BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError):
            break  # to ask for each query by itself would not help
    raise OverloadError("a shard of the retriever does not answer: it is being replaced, ask again later")
