"""Who may come in: API keys, once the registry has one."""

import asyncio
import hmac
import logging
import time

from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mixstage.release.keys import Keys, hashed
from serve.problems import Refusal

logger = logging.getLogger("ray.serve")

# Monitors have no keys, and the page is where a user types one.
OPEN = ("/", "/healthz", "/readyz", "/metrics")
OPEN_FOLDER = "/static/"


class KeyRing:
    """Hashes of the keys that are valid, read again when they are older than a second.

    What was read last stays in force while the registry can't be reached: a key that is revoked then still opens.
    """

    def __init__(self, keys: Keys, seconds: float = 1.0) -> None:
        self.keys = keys
        self.seconds = seconds
        self._read_at = -float("inf")
        self._reading = asyncio.Lock()
        self._hashes: tuple[str, ...] | None = None

    async def admits(self, key: str) -> bool:
        """Whether the key is valid, or none is needed. Compared in constant time, with all."""
        hashes = await self._valid()
        matches = [hmac.compare_digest(hashed(key), known) for known in hashes]
        return not hashes or any(matches)

    async def _valid(self) -> tuple[str, ...]:
        async with self._reading:
            if self._hashes is None or time.monotonic() - self._read_at > self.seconds:
                self._hashes = await self._read(self._hashes)
                self._read_at = time.monotonic()
            return self._hashes

    async def _read(self, known: tuple[str, ...] | None) -> tuple[str, ...]:
        try:
            return await asyncio.to_thread(self.keys.valid)
        except SQLAlchemyError:
            if known is None:
                raise
            logger.exception("the registry can't be read: the keys that it had last stay in force")
            return known


class KeyCheck:
    """401 without a valid key in `Authorization: Bearer KEY`, bare in Authorization, or in `x-api-key`."""

    def __init__(self, app: ASGIApp, keys: KeyRing) -> None:
        self.app = app
        self.keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_open(scope["path"]):
            headers = Headers(scope=scope)
            sent = headers.get("authorization") or headers.get("x-api-key", "")
            scheme, _, rest = sent.partition(" ")
            if not await self.keys.admits(rest.strip() if scheme.lower() == "bearer" else sent):
                raise Refusal(401, "an API key is needed: Authorization: Bearer KEY", {"www-authenticate": "Bearer"})
        await self.app(scope, receive, send)


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(OPEN_FOLDER)
