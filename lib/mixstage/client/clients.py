"""The two clients: the same calls, blocking and not."""

import asyncio
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx2

from mixstage.client import calls
from mixstage.client.answers import Answer, Application, Compositions
from mixstage.client.calls import Call, Feedback, Options, T
from mixstage.client.tries import Tries, answer_of
from mixstage.errors import ClientError

H = TypeVar("H", httpx2.Client, httpx2.AsyncClient)
_FAILURES = (ClientError, httpx2.RequestError, httpx2.InvalidURL, TimeoutError)


class Client:
    """Searches by a gateway's compositions; may be shared by threads.

    >>> with Client("http://127.0.0.1:8000") as client:  # doctest: +SKIP
    ...     for hit in client.search("counsel", "deposit of a tenant", k=3).hits:
    ...         print(hit.id, hit.title)
    act-12-s4 Deposits

    api_key: if the gateway wants one. deadline_s: of a call, all its tries and pauses included; what is left of it
    bounds each read, so an answer that comes in drops takes longer. retries: how often a call is sent again that met
    no gateway, one that died, a lost connection, a full queue (429, 503), or nothing behind it (502, 504). The
    constructor and every method raise ClientError.
    """

    def __init__(self, url: str, *, api_key: str | None = None, deadline_s: float = 10.0, retries: int = 2) -> None:
        self._http = _opened(httpx2.Client, url, api_key)
        self._deadline_s = deadline_s
        self._retries = retries

    def search(self, application: str, query: str, **options: Unpack[Options]) -> Answer:
        return self._do(calls.search(application, query, **options))

    def search_many(
        self, application: str, queries: Sequence[str], **options: Unpack[Options]
    ) -> list[Answer | ClientError]:
        """The answers to at most 100 queries, in order; an error in the place of each that failed."""
        return self._do(calls.search_many(application, queries, **options))

    def applications(self) -> dict[str, Application]:
        return self._do(calls.applications())

    def compositions(self, application: str) -> Compositions:
        return self._do(calls.compositions(application))

    def feedback(
        self, application: str, request_id: str, document_id: str, kind: Feedback, *, user: str | None = None
    ) -> None:
        """Says what a user thinks of a hit. After a lost connection it may arrive twice."""
        self._do(calls.feedback(application, request_id, document_id, kind, user))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _do(self, call: Call[T]) -> T:
        tries = Tries(self._deadline_s, self._retries)
        while True:
            try:
                return answer_of(call, self._http.request(**tries.options(call)))
            except _FAILURES as error:
                time.sleep(tries.pause(error))


class AsyncClient:
    """`Client` for event loops: every method is awaited, may be cancelled, and ends at the deadline.

    >>> async with AsyncClient("http://127.0.0.1:8000") as client:  # doctest: +SKIP
    ...     answer = await client.search("counsel", "deposit of a tenant", k=3)
    """

    def __init__(self, url: str, *, api_key: str | None = None, deadline_s: float = 10.0, retries: int = 2) -> None:
        self._http = _opened(httpx2.AsyncClient, url, api_key)
        self._deadline_s = deadline_s
        self._retries = retries

    async def search(self, application: str, query: str, **options: Unpack[Options]) -> Answer:
        return await self._do(calls.search(application, query, **options))

    async def search_many(
        self, application: str, queries: Sequence[str], **options: Unpack[Options]
    ) -> list[Answer | ClientError]:
        """The answers to at most 100 queries, in order; an error in the place of each that failed."""
        return await self._do(calls.search_many(application, queries, **options))

    async def applications(self) -> dict[str, Application]:
        return await self._do(calls.applications())

    async def compositions(self, application: str) -> Compositions:
        return await self._do(calls.compositions(application))

    async def feedback(
        self, application: str, request_id: str, document_id: str, kind: Feedback, *, user: str | None = None
    ) -> None:
        """Says what a user thinks of a hit. After a lost connection it may arrive twice."""
        await self._do(calls.feedback(application, request_id, document_id, kind, user))

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _do(self, call: Call[T]) -> T:
        tries = Tries(self._deadline_s, self._retries)
        while True:
            try:
                async with asyncio.timeout(tries.left_s()):
                    return answer_of(call, await self._http.request(**tries.options(call)))
            except _FAILURES as error:
                await asyncio.sleep(tries.pause(error))


def _opened(kind: Callable[..., H], url: str, api_key: str | None) -> H:
    try:
        headers = {} if api_key is None else {"authorization": f"Bearer {api_key}".encode("ascii")}
        return kind(base_url=url, headers=headers)
    except httpx2.InvalidURL as error:
        raise ClientError(f"{url!r} is not a URL: {error}") from None
    except UnicodeEncodeError:
        raise ClientError("the API key has characters beyond ASCII: send it as `mixstage keys` printed it") from None
