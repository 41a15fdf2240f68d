"""Who may come in: API keys, once the registry has one."""

import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mixstage.release.keys import Keys, hashed
from serve.problems import Refusal
from serve.refreshed import Refreshed

# Monitors have no keys, and the page is where a user types one.
OPEN = ("/", "/healthz", "/readyz", "/metrics")
OPEN_FOLDER = "/static/"


class KeyRing:
    """Hashes of the keys that are valid, read again when they are older than a second.

    What was read last stays in force while the registry can't be reached: a key that is revoked then still opens.
    """

    def __init__(self, keys: Keys, seconds: float = 1.0) -> None:
        self._hashes = Refreshed(keys.valid, seconds)

    async def admits(self, key: str) -> bool:
        """Whether the key is valid, or none is needed. Compared in constant time, with all."""
        hashes = await self._hashes.get()
        matches = [hmac.compare_digest(hashed(key), known) for known in hashes]
        return not hashes or any(matches)


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
