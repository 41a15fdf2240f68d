"""A batch is formed only when the model is idle: what waited meanwhile goes together, up to a budget.

Under light load a request starts at once and alone; under backlog batches grow by themselves. No timer, and no batch
formed while another runs, which is how a fixed wait ends in many small batches. Of one replica and one event loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T, R]):
    item: T
    answer: "asyncio.Future[R]"


class IdleBatcher(Generic[T, R]):
    """Answers items by calls of `work` on a thread, one call at a time.

    work: N items -> N results, in order. size: what an item takes of the budget of a call, such as characters; an item
    above the budget goes alone. First come, first served: a large item is never passed by.
    """

    def __init__(self, work: Callable[[list[T]], Sequence[R]], size: Callable[[T], int], budget: int) -> None:
        self._work = work
        self._size = size
        self._budget = budget
        self._waiting: deque[_Waiting[T, R]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def ask(self, item: T) -> R:
        """The item's result. Raises what `work` raises for this item by itself.

        A caller that is cancelled before its batch was formed takes its item out of the queue.
        """
        waiting: _Waiting[T, R] = _Waiting(item, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await waiting.answer

    async def _run(self) -> None:
        try:
            while batch := self._next():
                await self._answer(batch)
        finally:
            self._running = None

    def _next(self) -> list[_Waiting[T, R]]:
        batch: list[_Waiting[T, R]] = []
        left = self._budget
        while self._waiting:
            first = self._waiting[0]
            if not first.answer.done():  # else its caller has gone
                left -= self._size(first.item)
                if batch and left < 0:
                    break
                batch.append(first)
            self._waiting.popleft()
        return batch

    async def _answer(self, batch: list[_Waiting[T, R]]) -> None:
        try:
            results = await asyncio.to_thread(self._work, [waiting.item for waiting in batch])
        except Exception as error:
            if len(batch) > 1:  # one of them is to blame: the others get their answers
                for waiting in batch:
                    await self._answer([waiting])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        for waiting, result in zip(batch, results, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(result)
