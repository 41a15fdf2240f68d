"""Batches that form while the model is busy."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from mixstage.errors import ModelError, OverloadError
from mixstage.serve.workers.batcher import IdleBatcher


class Model:
    """Doubles numbers; each call waits until it is let go. Refuses 13."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.go = threading.Semaphore(0)
        self.at_once = 0
        self.most_at_once = 0

    def __call__(self, items: list[int]) -> list[int]:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.calls.append(items)
        assert self.go.acquire(timeout=20)
        self.at_once -= 1
        if 13 in items:
            raise ValueError("13 is not scored")
        return [2 * item for item in items]


def played(play: Callable[[Model, IdleBatcher[int, int]], Coroutine[Any, Any, None]], budget: int = 100) -> Model:
    model = Model()

    async def run() -> None:
        await asyncio.wait_for(play(model, IdleBatcher(model, size=abs, budget=budget)), timeout=30)

    asyncio.run(run())
    return model


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def test_an_idle_model_starts_at_once_and_what_came_meanwhile_goes_together() -> None:
    async def play(model: Model, batcher: IdleBatcher[int, int]) -> None:
        first = asyncio.create_task(batcher.ask(1))
        await until(lambda: len(model.calls) == 1)
        others = [asyncio.create_task(batcher.ask(n)) for n in (2, 3, 4)]
        await asyncio.sleep(0.02)
        assert model.calls == [[1]]
        model.go.release(2)
        assert await asyncio.gather(first, *others) == [2, 4, 6, 8]

    model = played(play)
    assert model.calls == [[1], [2, 3, 4]]
    assert model.most_at_once == 1


def test_a_budget_bounds_a_call_and_order_is_kept() -> None:
    async def play(model: Model, batcher: IdleBatcher[int, int]) -> None:
        model.go.release(9)
        first = asyncio.create_task(batcher.ask(1))
        await asyncio.sleep(0)
        assert await asyncio.gather(first, *(batcher.ask(n) for n in (4, 5, 2, 50, 3))) == [2, 8, 10, 4, 100, 6]

    # 4 + 5 fit into 10, 2 would not; 50 is above the budget: it goes alone, and is not passed by the 3 behind it.
    calls = played(play, budget=10).calls
    assert [n for call in calls for n in call] == [1, 4, 5, 2, 50, 3]
    assert all(sum(call) <= 10 or len(call) == 1 for call in calls)
    assert [50] in calls


def test_whoever_has_gone_is_dropped_and_costs_nothing() -> None:
    async def play(model: Model, batcher: IdleBatcher[int, int]) -> None:
        first = asyncio.create_task(batcher.ask(1))
        await until(lambda: len(model.calls) == 1)
        gone, stays = asyncio.create_task(batcher.ask(2)), asyncio.create_task(batcher.ask(3))
        await asyncio.sleep(0)
        gone.cancel()
        model.go.release(2)
        assert await asyncio.gather(first, stays) == [2, 6]
        with pytest.raises(asyncio.CancelledError):
            await gone

    assert played(play).calls == [[1], [3]]


def test_one_bad_item_fails_alone() -> None:
    async def play(model: Model, batcher: IdleBatcher[int, int]) -> None:
        first = asyncio.create_task(batcher.ask(1))
        await until(lambda: len(model.calls) == 1)
        asked = [asyncio.create_task(batcher.ask(n)) for n in (2, 13, 4)]
        await asyncio.sleep(0)
        model.go.release(9)
        answers = await asyncio.gather(first, *asked, return_exceptions=True)
        assert [answers[0], answers[1], answers[3]] == [2, 4, 8]
        assert isinstance(answers[2], ValueError)
        assert await batcher.ask(7) == 14  # and the next is served

    assert played(play).calls == [[1], [2, 13, 4], [2], [13], [4], [7]]


def test_a_caller_that_leaves_during_its_call_harms_nobody() -> None:
    async def play(model: Model, batcher: IdleBatcher[int, int]) -> None:
        gone = asyncio.create_task(batcher.ask(1))
        await until(lambda: len(model.calls) == 1)
        gone.cancel()
        after = asyncio.create_task(batcher.ask(2))
        await asyncio.sleep(0)
        model.go.release(2)
        assert await after == 4

    assert played(play).calls == [[1], [2]]


def test_more_than_sixteen_calls_of_waiting_work_are_refused_and_whoever_has_gone_makes_room() -> None:
    async def play(model: Model, batcher: IdleBatcher[int, int]) -> None:
        first = asyncio.create_task(batcher.ask(1))
        await until(lambda: len(model.calls) == 1)
        asked = [asyncio.create_task(batcher.ask(2)) for _ in range(32)]  # 64 = 16 calls of 4
        await asyncio.sleep(0)
        with pytest.raises(OverloadError, match="ask again later"):
            await batcher.ask(1)
        gone = asked.pop()
        gone.cancel()
        await asyncio.sleep(0)
        last = asyncio.create_task(batcher.ask(2))
        model.go.release(99)
        assert await asyncio.gather(first, *asked, last) == [2] + [4] * 32

    played(play, budget=4)


def test_an_item_above_all_that_may_wait_is_taken_when_nothing_waits() -> None:
    async def play(model: Model, batcher: IdleBatcher[int, int]) -> None:
        model.go.release(1)
        assert await batcher.ask(65) == 130

    played(play, budget=4)


def test_what_comes_first_passes_all_that_wait_however_much_it_is() -> None:
    async def play(model: Model, batcher: IdleBatcher[int, int]) -> None:
        running = asyncio.create_task(batcher.ask(1))
        await until(lambda: len(model.calls) == 1)
        asked = [asyncio.create_task(batcher.ask(4)) for _ in range(16)]
        await asyncio.sleep(0)
        health = asyncio.create_task(batcher.ask(3, first=True))
        await asyncio.sleep(0)
        model.go.release(99)
        await asyncio.gather(running, health, *asked)

    assert played(play, budget=4).calls[:3] == [[1], [3], [4]]


def test_a_budget_that_is_set_while_items_wait_holds_from_the_next_call_on() -> None:
    async def play(model: Model, batcher: IdleBatcher[int, int]) -> None:
        running = asyncio.create_task(batcher.ask(1))
        await until(lambda: len(model.calls) == 1)
        asked = [asyncio.create_task(batcher.ask(2)) for _ in range(4)]
        await asyncio.sleep(0)
        batcher.budget = 4
        model.go.release(99)
        await asyncio.gather(running, *asked)

    assert played(play, budget=100).calls == [[1], [2, 2], [2, 2]]


def test_a_model_that_is_unavailable_fails_the_whole_call_at_once() -> None:
    """Each by itself would wait as long again, for nothing."""
    calls = []

    def work(items: list[int]) -> list[int]:
        calls.append(items)
        raise OverloadError("ask again later")

    async def run() -> list[Any]:
        batcher = IdleBatcher(work, size=abs, budget=100)
        return await asyncio.gather(*(batcher.ask(n) for n in (1, 2, 3)), return_exceptions=True)

    assert [type(answer) for answer in asyncio.run(run())] == [OverloadError] * 3
    assert calls == [[1, 2, 3]]


def test_after_a_failed_batch_a_check_of_health_comes_next_and_whoever_has_gone_is_dropped() -> None:
    async def play(model: Model, batcher: IdleBatcher[int, int]) -> None:
        first = asyncio.create_task(batcher.ask(1))
        await until(lambda: len(model.calls) == 1)
        asked = [asyncio.create_task(batcher.ask(n)) for n in (2, 13, 4, 5)]
        await asyncio.sleep(0)
        model.go.release(2)  # of the first and of the batch that fails
        await until(lambda: len(model.calls) == 3)
        later = asyncio.create_task(batcher.ask(6))
        health = asyncio.create_task(batcher.ask(7, first=True))
        asked[2].cancel()
        await asyncio.sleep(0)
        model.go.release(9)
        assert await asyncio.gather(first, asked[0], asked[3], later, health) == [2, 4, 10, 12, 14]
        await asyncio.wait(asked)

    assert played(play).calls == [[1], [2, 13, 4, 5], [2], [7], [13], [5], [6]]


def test_checks_of_health_take_no_room_from_others() -> None:
    async def play(model: Model, batcher: IdleBatcher[int, int]) -> None:
        running = asyncio.create_task(batcher.ask(1))
        await until(lambda: len(model.calls) == 1)
        checks = [asyncio.create_task(batcher.ask(4, first=True)) for _ in range(17)]
        await asyncio.sleep(0)
        asked = asyncio.create_task(batcher.ask(2))
        await asyncio.sleep(0)
        model.go.release(99)
        assert await asyncio.gather(running, asked, *checks) == [2, 4] + [8] * 17

    played(play, budget=4)


@pytest.mark.parametrize("found", [[], [1, 2, 3], None])
def test_a_wrong_number_of_results_is_an_error_of_each_and_the_next_is_served(found: Any) -> None:
    answers = [found, found, found, [7]]

    async def run() -> Any:
        batcher = IdleBatcher(lambda items: answers.pop(0), size=abs, budget=100)
        both = await asyncio.wait_for(asyncio.gather(batcher.ask(1), batcher.ask(2), return_exceptions=True), 20)
        return both, await batcher.ask(3)

    both, after = asyncio.run(run())
    assert {type(answer) for answer in both} == {TypeError if found is None else ModelError}
    assert after == 7
