"""Calls that make one answer together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


async def in_order(calls: Sequence[Callable[[], Awaitable[T]]], at_once: int) -> list[T]:
    """The results of calls, of which `at_once` run at the same time.

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
