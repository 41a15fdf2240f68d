"""Calls of the gateway to replicas that die."""

import asyncio
from collections.abc import Generator
from typing import Any

import pytest
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException

from mixstage.errors import FilterError
from mixstage.release.record import Member
from mixstage.serve.answering.components import ServeComponents, retriever_app
from mixstage.serve.problems import Refusal

MEMBER = Member(generation="g" * 64, retriever="r")


class Handle:
    """A Serve handle whose first calls find a dead replica."""

    def __init__(self, deaths: int, error: type[Exception] = RayActorError) -> None:
        self.deaths, self.error, self.calls = deaths, error, 0

    @property
    def retrieve(self) -> "Handle":
        return self

    async def remote(self, *arguments: Any) -> list[Any]:
        self.calls += 1
        if self.calls <= self.deaths:
            raise self.error()
        return list(arguments)


def ask(handle: Any) -> list[Any]:
    components = ServeComponents()
    components.handles[retriever_app(MEMBER)] = handle
    return asyncio.run(components.retrieve(MEMBER, "deposit", 5))


@pytest.mark.parametrize("deaths", [0, 1, 2])
def test_a_call_whose_replica_died_is_sent_again(deaths: int) -> None:
    handle = Handle(deaths)
    assert ask(handle) == ["deposit", 5, None]
    assert handle.calls == deaths + 1


def test_it_is_sent_three_times_at_most() -> None:
    handle = Handle(9)
    with pytest.raises(RayActorError):
        ask(handle)
    assert handle.calls == 3


def test_an_error_of_the_component_itself_is_not_sent_again() -> None:
    handle = Handle(1, ValueError)
    with pytest.raises(ValueError):
        ask(handle)
    assert handle.calls == 1


def test_what_a_component_refuses_arrives_as_it_was_raised() -> None:
    """Ray carries it inside an error of its own, whose text is a traceback."""

    def refusal() -> Exception:
        error: Exception = RayTaskError("retrieve", "Traceback ...", FilterError("no field 'yaer'"), ip="127.0.0.1")
        return error

    with pytest.raises(FilterError) as refused:
        ask(Handle(1, refusal))  # type: ignore[arg-type]
    assert type(refused.value) is FilterError
    assert str(refused.value) == "no field 'yaer'"


class Response:
    """A Serve response that never comes."""

    def __init__(self) -> None:
        self.cancelled = 0

    def __await__(self) -> Generator[Any, None, None]:
        return asyncio.Event().wait().__await__()  # type: ignore[return-value]

    def cancel(self) -> None:
        self.cancelled += 1


def test_a_call_that_is_cancelled_here_is_cancelled_there() -> None:
    response = Response()

    class Waiting:
        class retrieve:
            remote = staticmethod(lambda *_: response)

    async def leave() -> None:
        components = ServeComponents()
        components.handles[retriever_app(MEMBER)] = Waiting  # type: ignore[assignment]
        async with asyncio.timeout(0.01):
            await components.retrieve(MEMBER, "deposit", 5)

    with pytest.raises(TimeoutError):
        asyncio.run(leave())
    assert response.cancelled == 1


def test_a_full_queue_is_told_in_our_words_before_serve_tells_it_in_its_own() -> None:
    class Full(Handle):
        async def remote(self, *arguments: Any) -> list[Any]:
            raise BackPressureError(5, 4, 503, 2.5)

    with pytest.raises(Refusal) as refused:
        ask(Full(0))
    assert (refused.value.status, refused.value.headers) == (503, {"retry-after": "3"})


def test_an_application_that_is_gone_is_asked_for_again_later_and_opened_when_it_is_back() -> None:
    opened: list[str] = []

    def open_handle(app: str) -> Any:
        with pytest.raises(RuntimeError):  # on a thread: it waits for Serve's controller
            asyncio.get_running_loop()
        opened.append(app)
        if len(opened) == 1:
            raise RayServeException(f"Application '{app}' does not exist.")
        return Handle(0)

    components = ServeComponents(open_handle)
    with pytest.raises(Refusal, match="come again") as refused:
        asyncio.run(components.retrieve(MEMBER, "deposit", 5))
    assert (refused.value.status, refused.value.headers) == (503, {"retry-after": "1"})
    for _ in range(2):
        assert asyncio.run(components.retrieve(MEMBER, "deposit", 5)) == ["deposit", 5, None]
    assert opened == [retriever_app(MEMBER)] * 2
