"""Where each application stands, as the registry says it."""

from mixstage.release.record import Pin, Standing
from mixstage.release.registry import Registry
from mixstage.serve.answering.polling import Polled


class Routes:
    """application -> Standing, read again when it is older than `seconds`.

    What was read last stays in force while the registry can't be reached.
    """

    def __init__(self, registry: Registry, seconds: float = 1.0) -> None:
        self.registry = registry
        self.seconds = seconds
        self._standings = Polled(registry.standings, seconds)

    async def all(self) -> dict[str, Standing]:
        """Every application with a release that answers. Raises SQLAlchemyError if it was never read."""
        standings = await self._standings.get()
        return {name: standing for name, standing in standings.items() if standing.served is not None}

    async def running_pins(self) -> list[Pin]:
        """Pins whose components run: served ones and active trials."""
        releases = [
            release
            for standing in (await self.all()).values()
            for release in (standing.served, standing.active_trial)
            if release is not None
        ]
        return [release.pin for release in releases]
