"""What stands before the routes, as plain ASGI: names and counts requests, bounds their time and size, checks API keys.

Cancelling is how work stops: Serve cancels the request of a client that left, the deadline cancels one that takes too
long, and a cancelled await of a component cancels it there.
"""

import asyncio
import hmac
import re
import uuid

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mixstage.release.keys import Keys, hash_key
from mixstage.serve.answering.polling import Polled
from mixstage.serve.answering.trials import ends_at
from mixstage.serve.metrics import Meter
from mixstage.serve.problems import Refusal, refusal_of

_LEFT = 499  # counted for a client that was gone before its answer: nginx's number, no status of HTTP
_LONGEST_ID = 64
# Paths that need no key: monitors have none, and the page is where a user types one.
OPEN = ("/", "/healthz", "/readyz", "/metrics")
OPEN_FOLDER = "/static/"


def clean_id(sent: str) -> str:
    """A request id that is safe in headers and logs: letters, digits and -._ of what was sent, or a new one."""
    return re.sub(r"[^A-Za-z0-9._-]", "", sent)[:_LONGEST_ID] or uuid.uuid4().hex


class Guard:
    """The outermost: a request gets its id, is counted, and is answered with a problem if nothing else answered."""

    def __init__(self, app: ASGIApp, meter: Meter) -> None:
        self.app = app
        self.meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        name = clean_id(Headers(scope=scope).get("x-request-id", ""))
        scope["state"] = {**scope.get("state", {}), "request_id": name}
        status = _LEFT

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = name
            await send(message)

        with self.meter.in_flight.track_inprogress():
            try:
                await self.app(scope, receive, named)
            except Exception as error:
                refusal = refusal_of(error)
                if status != _LEFT:
                    raise  # half an answer is out
                await refusal.response(scope)(scope, receive, named)
            finally:
                self.meter.count(scope, status)


class Deadline:
    """504 for what takes longer; `x-timeout-ms` may shorten it for one request."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        seconds = self._seconds(Headers(scope=scope).get("x-timeout-ms"))
        ends_at.set(asyncio.get_running_loop().time() + seconds)
        try:
            async with asyncio.timeout(seconds) as limit:
                await self.app(scope, receive, send)
        except TimeoutError:
            if not limit.expired():
                raise
            raise Refusal(504, f"no answer in {seconds:g} s") from None

    def _seconds(self, sent: str | None) -> float:
        if sent is None:
            return self.seconds
        if not re.fullmatch("[1-9][0-9]{0,8}", sent):
            raise Refusal(422, "x-timeout-ms is not a number of milliseconds, 1 or more")
        return min(self.seconds, int(sent) / 1000)


class BodyLimit:
    """413 for larger bodies, before more than the limit is held, whatever Content-Length says.

    Starlette's own RequestBodyLimitMiddleware replaces our problem by plain text.
    """

    def __init__(self, app: ASGIApp, kib: int) -> None:
        self.app = app
        self.kib = kib

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        declared = Headers(scope=scope).get("content-length", "") if scope["type"] == "http" else ""
        most = self.kib * 1024
        too_large = HTTPException(413, f"the body is larger than {self.kib} KiB")
        if re.fullmatch("[0-9]{1,18}", declared) and int(declared) > most:
            raise too_large
        taken = 0

        async def limited() -> Message:
            nonlocal taken
            if taken <= most:  # else whoever reads again, after one that passed over the refusal, would wait for ever
                message = await receive()
                taken += len(message.get("body", b""))
            if taken > most:
                raise too_large  # FastAPI reads bodies: it hands this exception on, others it takes for bad JSON
            return message

        await self.app(scope, limited, send)


class KeyRing:
    """Hashes of the keys that are valid, read again when they are older than a second.

    What was read last stays in force while the registry can't be reached: a key that is revoked then still opens.
    """

    def __init__(self, keys: Keys, seconds: float = 1.0) -> None:
        self._hashes = Polled(keys.valid, seconds)

    async def admits(self, key: str) -> bool:
        """Whether the key is valid, or none is needed. It is compared with every valid key, each in constant time."""
        hashes = await self._hashes.get()
        matches = [hmac.compare_digest(hash_key(key), known) for known in hashes]
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
