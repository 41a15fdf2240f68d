"""Where each application stands, as the registry says it; read again when it is older than a second.

A value that is read from the registry's database again and again.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from mixstage.release.record import Pin, Standing
from mixstage.release.registry import Registry

T = TypeVar("T")
_PATIENCE_S = 0.5  # that a request waits for a new reading where there is an older one

logger = logging.getLogger("ray.serve")


class Refreshed(Generic[T]):
    """What `read` returned last, read anew on a thread when it is older than `seconds`.

    It stays in force while the database refuses or hangs: no request waits for that longer than half a second, and one
    reading at most is under way. Of one event loop.
    """

    def __init__(self, read: Callable[[], T], seconds: float) -> None:
        self._read = read
        self.seconds = seconds
        self._read_at = -float("inf")
        self._held: tuple[T] | None = None  # in a tuple, since it may be anything
        self._reading: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """Raises what the first reading raises."""
        if self._reading is None and time.monotonic() - self._read_at > self.seconds:
            self._reading = asyncio.create_task(asyncio.to_thread(self._read))
            self._reading.add_done_callback(self._keep)
        if self._held is None and self._reading is not None:
            return await asyncio.shield(self._reading)  # a caller that leaves does not end it for the others
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=_PATIENCE_S)
        assert self._held is not None, "the first reading was awaited"
        return self._held[0]

    def _keep(self, reading: "asyncio.Task[T]") -> None:
        self._reading = None
        if reading.cancelled():
            return
        error = reading.exception()
        if error is None:
            self._held = (reading.result(),)
            self._read_at = time.monotonic()
        elif self._held is not None:
            self._read_at = time.monotonic()
            logger.error("the registry can't be read: what it said last stays in force", exc_info=error)


class Routes:
    """application -> Standing. What was read last stays in force while the registry can't be reached."""

    def __init__(self, registry: Registry, seconds: float = 1.0) -> None:
        self.registry = registry
        self.seconds = seconds
        self._standings = Refreshed(registry.standings, seconds)

    async def all(self) -> dict[str, Standing]:
        """Every application with a release that answers. Raises SQLAlchemyError if it was never read."""
        return {name: known for name, known in (await self._standings.get()).items() if known.served is not None}

    async def running_pins(self) -> list[Pin]:
        """Pins whose components run: served ones and active trials."""
        found = []
        for standing in (await self.all()).values():
            found += [release.pin for release in (standing.served, standing.active_trial) if release is not None]
        return found
