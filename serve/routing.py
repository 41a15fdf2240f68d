"""Where each application stands, as the registry says it; read again when it is older than a second."""

from mixstage.release.record import Pin, Standing
from mixstage.release.registry import Registry
from serve.refreshed import Refreshed


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
