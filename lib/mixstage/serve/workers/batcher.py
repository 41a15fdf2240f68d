"""A batch is formed only when the model is idle: what waited meanwhile goes together, up to a budget.

Under light load a request starts at once and alone; under backlog batches grow by themselves. No timer, and no batch
formed while another runs, which is how a fixed wait ends in many small batches. A batcher belongs to one event loop.

What waits is bounded: a queue longer than a deadline is work for callers that have gone.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from mixstage.errors import ModelError, OverloadError

T = TypeVar("T")
R = TypeVar("R")
CHARACTERS = 64_000  # of a model's call: some 16,000 tokens, a second or less of a small model on a CPU
_CALLS = 16  # as many calls' work may wait; of a second each, that is more than a deadline lets through


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T, R]):
    item: T
    size: int
    answer: "asyncio.Future[R]"
    is_first: bool = False  # of a check of health
    is_alone: bool = False  # its batch failed


class IdleBatcher(Generic[T, R]):
    """Answers items by calls of `work` on a thread, one call at a time.

    work: N items -> N results, in order. size: what an item takes of the budget of a call, such as characters; an item
    above the budget goes alone. First come, first served: a large item is never passed by. The budget may be set while
    items wait.
    """

    def __init__(self, work: Callable[[list[T]], Sequence[R]], size: Callable[[T], int], budget: int) -> None:
        self._work = work
        self._size = size
        self.budget = budget
        self._waiting: deque[_Waiting[T, R]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def ask(self, item: T, first: bool = False) -> R:
        """The item's result. Raises what `work` raises for this item by itself; OverloadError if too much waits.

        A caller that is cancelled before its batch was formed takes its item out of the queue. first: before all that
        waits and however much it is, for checks of health: a long queue is not an illness.
        """
        answer = asyncio.get_running_loop().create_future()
        waiting: _Waiting[T, R] = _Waiting(item, self._size(item), answer, is_first=first)
        if first:
            self._waiting.appendleft(waiting)
        else:
            self._refuse_overload(waiting.size)
            self._waiting.append(waiting)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await waiting.answer

    def _refuse_overload(self, size: int) -> None:
        ahead = sum(other.size for other in self._waiting if not other.is_first and not other.answer.done())
        if ahead and ahead + size > _CALLS * self.budget:
            raise OverloadError("more waits than this replica answers in time: ask again later, or start more replicas")

    async def _run(self) -> None:
        try:
            while batch := self._next():
                await self._answer(batch)
        finally:
            self._running = None

    def _next(self) -> list[_Waiting[T, R]]:
        batch: list[_Waiting[T, R]] = []
        left = self.budget
        while self._waiting:
            first = self._waiting[0]
            if not first.answer.done():  # else its caller has gone
                left -= first.size
                if batch and (left < 0 or first.is_alone or batch[0].is_alone):
                    break
                batch.append(first)
            self._waiting.popleft()
        return batch

    async def _answer(self, batch: list[_Waiting[T, R]]) -> None:
        try:
            results = await asyncio.to_thread(self._work, [waiting.item for waiting in batch])
            if len(results) != len(batch):
                raise ModelError(f"a model gave {len(results)} results for {len(batch)} items: mend what it runs")
        except Exception as error:
            self._fail(batch, error)
            return
        for waiting, result in zip(batch, results, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(result)

    def _fail(self, batch: list[_Waiting[T, R]], error: Exception) -> None:
        """One item of a failed batch is to blame: each goes again by itself, before all that came later but checks of
        health."""
        left = [waiting for waiting in batch if not waiting.answer.done()]
        if len(batch) > 1 and not isinstance(error, OverloadError):
            self._waiting.extendleft(replace(waiting, is_alone=True) for waiting in reversed(left))
            return
        for waiting in left:
            waiting.answer.set_exception(error)
