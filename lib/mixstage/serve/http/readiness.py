"""Whether every pinned component answers, by real calls of each."""

import asyncio
import time

from mixstage.serve.answering.components import Components, component_apps
from mixstage.serve.answering.routing import Routes
from mixstage.serve.problems import Refusal

_ANSWER_S = 2.0  # in which a component answers, or is not ready
_FRESH_S = 1.0  # for which an answer holds


class Readiness:
    """Asks components once for all callers of the same moment, and again after a second at the earliest.

    The route is open to everybody and passes all that waits for a model: without a bound it would starve searches.
    """

    def __init__(self, routes: Routes, components: Components) -> None:
        self.routes, self.components = routes, components
        self._asking: asyncio.Task[dict[str, str]] | None = None
        self._fresh_until = 0.0

    async def states(self) -> dict[str, str]:
        """Serve application -> "ok", or what is wrong."""
        if self._asking is None or (self._asking.done() and time.monotonic() >= self._fresh_until):
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)  # a caller that leaves does not end it for the others

    async def _ask(self) -> dict[str, str]:
        apps = sorted({app for pin in await self.routes.running_pins() for app in component_apps(pin)})
        states = await asyncio.gather(*(self._state(app) for app in apps))
        self._fresh_until = time.monotonic() + _FRESH_S
        return dict(zip(apps, states, strict=True))

    async def _state(self, app: str) -> str:
        """The word ok, or why a component is not ready, without a trace."""
        try:
            await asyncio.wait_for(self.components.check(app), _ANSWER_S)
        except TimeoutError:
            return f"no answer in {_ANSWER_S:g} s"
        except Exception as error:
            return str(error) if isinstance(error, Refusal) else type(error).__name__
        return "ok"
