"""What a gateway observes, kept in memory and written to the registry's database about once a second.

No request waits for the database: what it can't take stays here, up to a limit, and is then dropped and counted. Of one
event loop; the writing is done on a thread.
"""

import asyncio
import logging
import uuid
from collections import Counter, deque
from contextlib import suppress
from dataclasses import replace

from sqlalchemy.exc import SQLAlchemyError

from mixstage.release.trials.interleave import Team
from mixstage.release.trials.observed import Impression, Observations, TrialSide
from mixstage.release.trials.tally import Tally

logger = logging.getLogger("ray.serve")


class Recorder:
    """Counts and impressions of one replica. `close` writes what is left."""

    def __init__(self, observations: Observations, seconds: float = 1.0, most: int = 10_000) -> None:
        self.observations = observations
        self.seconds = seconds
        self.most = most  # impressions that wait
        self.replica = uuid.uuid4().hex
        self.dropped = 0  # impressions
        self._tallies: dict[TrialSide, Tally] = {}  # never forgotten: what is written are totals, and trials are few
        self._written: dict[TrialSide, Tally] = {}
        self._impressions: deque[Impression] = deque()
        self._writing = asyncio.Lock()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def tally(self, application: str, number: int, side: Team) -> Tally:
        """Where to count for a side of a trial."""
        self._start()
        return self._tallies.setdefault((application, number, side), Tally())

    def show(self, impression: Impression) -> None:
        self._start()
        if len(self._impressions) < self.most:
            self._impressions.append(impression)
        else:
            self.dropped += 1
            if self.dropped % 1000 == 1:
                logger.warning("%d impressions dropped: %d wait to be written", self.dropped, self.most)

    async def flush(self) -> None:
        """Writes what is new; what the database does not take now is kept for the next time."""
        async with self._writing:  # else two would write the same impressions
            await self._flush()

    async def close(self) -> None:
        """Writes what is left and ends; for the shutdown of the application."""
        if self._task is not None and not self._task.done():
            self._stop.set()
            await self._task
        await self.flush()

    async def _flush(self) -> None:
        shown = list(self._impressions)
        tallies = {side: _copy(tally) for side, tally in self._tallies.items() if tally != self._written.get(side)}
        if not shown and not tallies:
            return
        try:
            await asyncio.to_thread(self.observations.write, self.replica, tallies, shown)
        except SQLAlchemyError:
            logger.exception("what was observed can't be written: it is kept and tried again")
            return
        self._written |= tallies
        for _ in shown:
            self._impressions.popleft()

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._stop = asyncio.Event()
            self._task = asyncio.create_task(self._run(self._stop))

    async def _run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self.seconds):
                    await stop.wait()
            await self.flush()


def _copy(tally: Tally) -> Tally:
    return replace(tally, latencies=Counter(tally.latencies))
