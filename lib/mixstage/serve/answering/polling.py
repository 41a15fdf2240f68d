"""A value of the registry's database that is read again and again."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
_PATIENCE_S = 0.5  # that a request waits for a new reading where there is an older one

logger = logging.getLogger("ray.serve")


class Polled(Generic[T]):
    """What `read` returned last, read anew on a thread when it is older than `seconds`.

    It stays in force while the database refuses or hangs: no request waits for that longer than half a second, and one
    reading at most is under way. An instance belongs to one event loop.
    """

    def __init__(self, read: Callable[[], T], seconds: float) -> None:
        self._read = read
        self.seconds = seconds
        self._read_at = -float("inf")
        self._value: tuple[T] | None = None  # in a tuple, since it may be anything
        self._reading: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """Raises what the first reading raises."""
        if self._reading is None and time.monotonic() - self._read_at > self.seconds:
            self._reading = asyncio.create_task(asyncio.to_thread(self._read))
            self._reading.add_done_callback(self._keep)
        if self._value is None and self._reading is not None:
            return await asyncio.shield(self._reading)  # a caller that leaves does not end it for the others
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=_PATIENCE_S)
        assert self._value is not None, "the first reading was awaited"
        return self._value[0]

    def _keep(self, reading: "asyncio.Task[T]") -> None:
        self._reading = None
        if reading.cancelled():
            return
        error = reading.exception()
        if error is None:
            self._value = (reading.result(),)
            self._read_at = time.monotonic()
        elif self._value is not None:
            self._read_at = time.monotonic()
            logger.error("the registry can't be read: what it said last stays in force", exc_info=error)
