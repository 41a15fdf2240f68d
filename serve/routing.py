"""Where each application stands, as the registry says it; read again when it is older than a second."""

import asyncio
import logging
import time

from sqlalchemy.exc import SQLAlchemyError

from mixstage.release.record import Pin, Standing
from mixstage.release.registry import Registry

logger = logging.getLogger("ray.serve")


class Routes:
    """application -> Standing. What was read last stays in force while the registry can't be reached."""

    def __init__(self, registry: Registry, seconds: float = 1.0) -> None:
        self.registry = registry
        self.seconds = seconds
        self._read_at = -float("inf")
        self._reading = asyncio.Lock()
        self._standings: dict[str, Standing] = {}

    async def all(self) -> dict[str, Standing]:
        """Every application with a release that answers."""
        async with self._reading:
            if time.monotonic() - self._read_at > self.seconds:
                await self._read()
                self._read_at = time.monotonic()
        return self._standings

    async def _read(self) -> None:
        try:
            standings = await asyncio.to_thread(self.registry.standings)
        except SQLAlchemyError:
            if not self._standings:
                raise
            logger.exception("the registry can't be read: what it said last stays in force")
            return
        self._standings = {name: known for name, known in standings.items() if known.served is not None}

    async def running_pins(self) -> list[Pin]:
        """Pins whose components run: served ones and active trials."""
        found = []
        for standing in (await self.all()).values():
            found += [release.pin for release in (standing.served, standing.active_trial) if release is not None]
        return found
