"""How often and when a call is sent again."""

import json
import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx2

from mixstage.client.answers import Object, refused
from mixstage.client.calls import Call, T
from mixstage.errors import ClientError

_PASSING: Final = (429, 502, 503, 504)  # may go well in a moment
_FIRST_PAUSE: Final = 0.1  # seconds; it doubles
_SHOWN: Final = 200  # characters of an answer that is not a problem document


class Tries:
    """The tries of one call, all inside one deadline."""

    def __init__(self, deadline_s: float, retries: int) -> None:
        self.deadline_s = deadline_s
        self._end = time.monotonic() + deadline_s
        self._retries = retries
        self._repeated = 0

    def left_s(self) -> float:
        """Seconds until the deadline, at least a millisecond."""
        return max(self._end - time.monotonic(), 0.001)

    def options(self, call: Call[T]) -> dict[str, Any]:
        """Arguments of the HTTP library's `request`. The deadline goes with it, so that the gateway works no longer.

        Raises ClientError for values that JSON can't say.
        """
        content = None if call.body is None else _encoded(call.body)
        left = self.left_s()
        headers = {"x-timeout-ms": str(max(1, int(left * 1000)))}
        if content is not None:
            headers["content-type"] = "application/json"
        return {"method": call.method, "url": call.path, "content": content, "headers": headers, "timeout": left}

    def pause(self, error: Exception) -> float:
        """Seconds to wait before the next try; raises the ClientError if there is none.

        The pause is drawn between half and all of 0.1 s, 0.2 s, ..., so that clients that failed together do not come
        back together; Retry-After lengthens it.
        """
        refusal = self._refusal(error)
        lost = isinstance(error, httpx2.NetworkError | httpx2.RemoteProtocolError)
        died = refusal.status == 500 and refusal.problem is None  # Serve's proxy of a gateway that died under a request
        passing = refusal.status in _PASSING or lost or died
        pause: float = _FIRST_PAUSE * 2**self._repeated * random.uniform(0.5, 1)
        pause = max(pause, refusal.retry_after_s or 0)
        if not passing or self._repeated >= self._retries or pause >= self._end - time.monotonic():
            raise refusal from error
        self._repeated += 1
        return pause

    def _refusal(self, error: Exception) -> ClientError:
        if isinstance(error, ClientError):
            return error
        if isinstance(error, httpx2.TimeoutException | TimeoutError):
            return ClientError(
                f"no answer in {self.deadline_s:g} s: is the gateway overloaded? deadline_s is the limit"
            )
        if isinstance(error, httpx2.DecodingError):
            return ClientError(f"the answer can't be decoded ({error}): is the URL a gateway's?")
        return ClientError(f"the gateway can't be reached: {error or type(error).__name__}")


def _encoded(body: Object) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ClientError(f"the call holds what JSON can't say ({error}): nothing was sent") from None


def answer_of(call: Call[T], response: httpx2.Response) -> T:
    """Raises ClientError unless the gateway answered what was asked."""
    if not response.is_success:
        raise _refused(response)
    try:
        return call.read(response.json())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClientError(
            f"{response.url} did not answer like a mixstage gateway ({error!r}): is the URL right?"
        ) from None


def _refused(response: httpx2.Response) -> ClientError:
    try:
        error = refused(json.loads(response.content))
    except (ValueError, KeyError, TypeError, AttributeError):  # of a proxy in between
        error = ClientError(f"{response.status_code} {response.reason_phrase}: {response.text[:_SHOWN]}")
        error.status = response.status_code
    error.retry_after_s = _seconds(response.headers.get("retry-after"))
    return error


def _seconds(sent: str | None) -> float | None:
    """The pause that a Retry-After header (seconds or a date) asks for; None without one that can be read."""
    if sent is None:
        return None
    try:
        return max(
            0.0, float(sent) if sent.isdecimal() else (parsedate_to_datetime(sent) - datetime.now(UTC)).total_seconds()
        )
    except (ValueError, TypeError):
        return None
