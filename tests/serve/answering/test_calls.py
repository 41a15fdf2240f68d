"""Calls that make one answer together: in order, few at once, and none left at work when one fails."""

import asyncio
from functools import partial

import pytest

from mixstage.serve.answering.calls import fan_out


def test_results_are_in_order_and_no_more_run_at_once_than_may() -> None:
    now, most = 0, 0

    async def call(number: int) -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(9 - number):
            await asyncio.sleep(0)
        now -= 1
        return 10 * number

    assert asyncio.run(fan_out([partial(call, number) for number in range(9)], at_once=4)) == list(range(0, 90, 10))
    assert most == 4


def test_the_first_error_is_raised_as_it_is_and_the_others_are_cancelled() -> None:
    begun, cancelled = [], []

    async def call(number: int) -> None:
        begun.append(number)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(number)
            raise

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("no such year")

    async def run() -> None:
        with pytest.raises(ValueError, match="no such year"):
            await fan_out([partial(call, 0), fail, partial(call, 2), partial(call, 3)], at_once=3)
        assert begun[:2] == [0, 2]
        assert sorted(cancelled) == sorted(begun)

    asyncio.run(run())
