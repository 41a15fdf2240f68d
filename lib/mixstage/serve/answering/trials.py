"""Which of an application's pins answers a request: the live one, or the one on trial.

A trial never fails a request: where its side fails, the live pin answers.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime

from mixstage.release.record import Release, Standing
from mixstage.release.trials.interleave import Drafted, team_draft
from mixstage.release.trials.observed import Impression, hash_user
from mixstage.serve.answering.recorder import Recorder
from mixstage.serve.answering.search import Hit, SearchResponse

# When the request at hand is answered with 504, in seconds of the event loop's clock; unset outside of requests.
ends_at: ContextVar[float] = ContextVar("ends_at")


Run = Callable[[Release], Awaitable[SearchResponse]]

_FAIR_S = 1.0  # a trial that had no answer in this time failed, even if the caller gave it no more

logger = logging.getLogger("ray.serve")


class Trials:
    """Answers requests by the live pin or the one on trial, and observes both."""

    def __init__(self, recorder: Recorder, patience_s: float = 5.0, copies: int = 8) -> None:
        """patience_s: that the side on trial gets before the live one answers in its place, or half of what is left of
        the request's time. copies: shadow copies under way at once; more are dropped."""
        self.recorder = recorder
        self.patience_s = patience_s
        self.copies = copies
        self._under_way: set[asyncio.Task[None]] = set()  # the loop itself keeps no reference to a task

    async def answer(self, standing: Standing, user: str, run: Run, *, query: str) -> SearchResponse:
        """The answer of the pin whose turn it is, recorded as shown.

        run: answers the request by a release's pin. user: the same key is always on the same side of a trial.
        """
        live, trial = standing.served, standing.active_trial
        assert live is not None, "routes hold served applications only"
        drafted: Sequence[Drafted] = ()
        if trial is None:
            answer = await run(live)
        elif not concerns(trial, user):
            answer = await (self._live(trial, live, run) if trial.action == "canary" else run(live))
        elif trial.action == "canary":
            answer = await self._canary(trial, live, run)
        elif trial.action == "shadow":
            answer = await self._shadow(trial, live, run)
        else:
            answer, drafted = await self._interleave(trial, live, run)
        self.show(answer, user, query, drafted)
        return answer

    def show(self, answer: SearchResponse, user: str, query: str, drafted: Sequence[Drafted] = ()) -> None:
        """Records what a user was shown, so that feedback on it can be understood. drafted: who brought which hit."""
        self.recorder.show(
            Impression(
                request_id=answer.request_id,
                application=answer.application,
                number=answer.release,
                role=answer.role,
                user=hash_user(answer.application, user),
                query=query,
                documents=tuple(drafted) or tuple((hit.id, None) for hit in answer.hits),
                created=datetime.now(UTC),
            )
        )

    async def close(self) -> None:
        """Lets shadow copies end and writes what was observed; for the shutdown of the application."""
        await asyncio.gather(*self._under_way)
        await self.recorder.close()

    async def _live(self, trial: Release, live: Release, run: Run) -> SearchResponse:
        """Counts the live side. Its errors include requests that are wrong themselves: nothing is decided on them."""
        tally = self.recorder.tally(trial.application, trial.number, "live")
        start = time.perf_counter()
        try:
            answer = await run(live)
        except Exception:
            tally.failed()
            raise
        tally.answered(time.perf_counter() - start)
        return answer

    async def _tried(self, trial: Release, run: Run, patience_s: float) -> tuple[SearchResponse, float]:
        """The trial's answer and its seconds; TimeoutError if it has none in time."""
        start = time.perf_counter()
        async with asyncio.timeout(patience_s):
            answer = await run(trial)
        return answer, time.perf_counter() - start

    def _patience(self) -> float:
        """Seconds that the trial gets of the request at hand: the live pin may need the other half."""
        now = asyncio.get_running_loop().time()
        return min(self.patience_s, (ends_at.get(float("inf")) - now) / 2)

    def _failed(self, trial: Release, error: BaseException, patience_s: float) -> None:
        """Counts a failure, unless the caller's own haste is to blame."""
        if not isinstance(error, TimeoutError) or patience_s >= min(self.patience_s, _FAIR_S):
            self.recorder.tally(trial.application, trial.number, "trial").failed()
        logger.warning("%s %d of %s failed: %r", trial.action, trial.number, trial.application, error)

    async def _canary(self, trial: Release, live: Release, run: Run) -> SearchResponse:
        tally = self.recorder.tally(trial.application, trial.number, "trial")
        patience_s = self._patience()
        try:
            answer, seconds = await self._tried(trial, run, patience_s)
        except Exception as error:
            instead = await run(live)  # where this fails, too, the request is to blame or both sides: no count
            self._failed(trial, error, patience_s)
            return instead
        tally.answered(seconds)
        return answer.model_copy(update={"role": "canary"})

    async def _shadow(self, trial: Release, live: Release, run: Run) -> SearchResponse:
        """The live answer; a copy of the request starts once it is made."""
        answer = await self._live(trial, live, run)
        if len(self._under_way) >= self.copies:
            self.recorder.tally(trial.application, trial.number, "trial").dropped += 1
        else:
            task = asyncio.create_task(self._copy(trial, run, answer.hits))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return answer

    async def _copy(self, trial: Release, run: Run, hits: list[Hit]) -> None:
        tally = self.recorder.tally(trial.application, trial.number, "trial")
        try:
            answer, seconds = await self._tried(trial, run, self.patience_s)
        except Exception as error:
            self._failed(trial, error, self.patience_s)
            return
        tally.answered(seconds)
        tally.compare(overlap(hits, answer.hits))

    async def _interleave(self, trial: Release, live: Release, run: Run) -> tuple[SearchResponse, Sequence[Drafted]]:
        """Hits of both sides, which answer at the same time: the request takes as long as the slower one.

        The answer has the trial's release and the live one's composition and timings.
        """
        tally = self.recorder.tally(trial.application, trial.number, "trial")
        patience_s = self._patience()
        sides = self._live(trial, live, run), self._tried(trial, run, patience_s)
        answer, tried = await asyncio.gather(*sides, return_exceptions=True)
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(tried, BaseException):
            self._failed(trial, tried, patience_s)
            return answer, ()
        theirs, seconds = tried
        tally.answered(seconds)
        ours, hits = answer.hits, {hit.id: hit for hit in (*theirs.hits, *answer.hits)}
        longer = max(len(theirs.hits), len(ours))
        coins = answer.request_id  # a request that is sent again is shown the same list
        drafted = team_draft([hit.id for hit in ours], [hit.id for hit in theirs.hits], longer, coins)
        woven = [hits[document] for document, _ in drafted]
        shown = {"hits": woven, "role": "interleave", "release": trial.number}
        return answer.model_copy(update=shown), drafted


def concerns(trial: Release, user: str) -> bool:
    """Whether a user belongs to the share that a trial is made on: a fixed draw for each trial and user."""
    key = f"{trial.application}\0{trial.number}\0{user}".encode(errors="surrogatepass")
    draw = int.from_bytes(hashlib.sha256(key).digest()[:8]) / 2**64
    return draw < (trial.share or 0.0)


def overlap(live: list[Hit], trial: list[Hit]) -> float:
    """Documents that two answers share, of those in the longer one; two empty ones agree."""
    longest = max(len(live), len(trial))
    return len({hit.id for hit in live} & {hit.id for hit in trial}) / longest if longest else 1.0
