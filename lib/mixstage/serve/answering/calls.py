"""Calls of components: long texts in batches, and several calls that make one answer together."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from mixstage.serve.answering.components import Components
from mixstage.serve.problems import Refusal
from mixstage.serve.workers.batcher import CHARACTERS

T = TypeVar("T")


async def score_documents(components: Components, reranker: str, query: str, documents: Sequence[str]) -> list[float]:
    """(N,) documents -> N raw logits, in input order. Raises a refusal of a logit that is not finite.

    The documents are sent in batches: between two of them other requests get their turn, and a caller can leave. A call
    at work can't be stopped, and 1,000 documents are 30 times what a reranker reads at once.
    """
    cut = batches(documents, beside=len(query))
    scores = [score for batch in cut for score in await components.score(reranker, query, batch)]
    if not np.isfinite(scores).all():
        raise Refusal(500, "the reranker's score of one of the documents is not finite")
    return scores


def batches(texts: Sequence[str], beside: int = 0) -> Iterator[list[str]]:
    """The texts in order, cut where the CHARACTERS of a call are full; a longer text goes alone.

    beside: characters that are read once more with each text, such as those of a query.
    """
    batch: list[str] = []
    size = 0
    for text in texts:
        own = beside + len(text)
        if batch and size + own > CHARACTERS:
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += own
    if batch:
        yield batch


async def fan_out(calls: Sequence[Callable[[], Awaitable[T]]], at_once: int) -> list[T]:
    """The results of calls, in their order, of which `at_once` run at the same time.

    The first error is raised as it is, and the others are cancelled: `asyncio.gather` leaves them at work for nobody.
    """
    room = asyncio.Semaphore(at_once)

    async def one(call: Callable[[], Awaitable[T]]) -> T:
        async with room:
            return await call()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(call)) for call in calls]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
