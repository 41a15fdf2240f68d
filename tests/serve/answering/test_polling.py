"""What is read from the registry again and again, when it refuses, hangs and comes back."""

import asyncio
import threading
from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError

from mixstage.serve.answering import polling
from mixstage.serve.answering.polling import Polled


class Source:
    """Counts its readings; does what it is told to."""

    def __init__(self, does: Callable[[], None] = lambda: None) -> None:
        self.does = does
        self.readings = 0

    def read(self) -> int:
        self.readings += 1
        self.does()
        return self.readings


def refuse() -> None:
    raise OperationalError("SELECT", {}, Exception())


def test_a_value_is_read_again_when_it_is_too_old() -> None:
    async def work() -> None:
        young, old = Polled(Source().read, 3600), Polled(Source().read, 0)
        assert [await young.get() for _ in range(3)] == [1, 1, 1]
        assert [await old.get() for _ in range(3)] == [1, 2, 3]

    asyncio.run(work())


def test_the_last_value_stays_while_the_source_refuses() -> None:
    async def work() -> None:
        source = Source()
        value = Polled(source.read, 0)
        assert await value.get() == 1
        source.does = refuse
        assert await value.get() == 1
        source.does = lambda: None
        assert await value.get() == 3

    asyncio.run(work())


def test_a_first_reading_that_fails_is_told_and_tried_again() -> None:
    async def work() -> None:
        source = Source(refuse)
        value = Polled(source.read, 0)
        with pytest.raises(OperationalError):
            await value.get()
        source.does = lambda: None
        assert await value.get() == 2

    asyncio.run(work())


def test_a_source_that_hangs_holds_nobody_up_and_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "_PATIENCE_S", 0.01)

    async def work() -> None:
        source, back = Source(), threading.Event()
        value = Polled(source.read, 0)
        assert await value.get() == 1
        source.does = lambda: assert_set(back)
        assert await asyncio.gather(*(value.get() for _ in range(20))) == [1] * 20
        assert source.readings == 2
        back.set()
        while await value.get() == 1:
            await asyncio.sleep(0.01)

    asyncio.run(work())


def assert_set(event: threading.Event) -> None:
    assert event.wait(30)


def test_a_caller_that_leaves_during_the_first_reading_does_not_end_it_for_others() -> None:
    async def work() -> None:
        back = threading.Event()
        value = Polled(Source(lambda: assert_set(back)).read, 3600)
        leaving, staying = asyncio.create_task(value.get()), asyncio.create_task(value.get())
        await asyncio.sleep(0.01)
        leaving.cancel()
        back.set()
        assert await staying == 1

    asyncio.run(work())
