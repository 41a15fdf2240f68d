"""Which of an application's pins answers a request: the live one, or the one on trial."""

from collections.abc import Awaitable, Callable

from mixstage.release.record import Release, Standing
from serve.search import SearchResponse

Run = Callable[[Release], Awaitable[SearchResponse]]


class Trials:
    """Answers requests by the live pin."""

    async def answer(self, standing: Standing, user: str, run: Run) -> SearchResponse:
        """run: answers the request by a release's pin. user: the same key is always on the same side of a trial."""
        assert standing.served is not None, "routes hold served applications only"
        return await run(standing.served)
