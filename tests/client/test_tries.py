"""How long a client waits before it asks again."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest

from mixstage.client.tries import Tries, _seconds
from mixstage.errors import ClientError


def refusal(status: int | None = 503, wait: float | None = None) -> ClientError:
    error = ClientError("refused")
    error.status, error.retry_after_s = status, wait
    return error


def told(status: int) -> ClientError:
    """As a gateway itself says it."""
    error = refusal(status)
    error.problem = {"status": status}
    return error


def test_pauses_double_and_are_drawn_between_half_and_all() -> None:
    drawn = []
    for _ in range(50):
        tries = Tries(deadline_s=60, retries=3)
        drawn.append([tries.pause(refusal()) for _ in range(3)])
    for number, most in enumerate((0.1, 0.2, 0.4)):
        column = [pauses[number] for pauses in drawn]
        assert most / 2 <= min(column) < max(column) <= most


def test_retry_after_lengthens_a_pause_and_does_not_shorten_it() -> None:
    assert Tries(60, 2).pause(refusal(wait=3)) == 3
    assert Tries(60, 2).pause(refusal(wait=0)) >= 0.05


@pytest.mark.parametrize(
    "error",
    [refusal(400), refusal(401), refusal(404), refusal(422), told(500), refusal(None), httpx2.ReadTimeout("slow")],
)
def test_what_would_fail_again_is_not_tried_again(error: Exception) -> None:
    with pytest.raises(ClientError):
        Tries(60, 2).pause(error)


@pytest.mark.parametrize(
    "error",
    [
        httpx2.ConnectError("no"),
        httpx2.ReadError("reset"),
        httpx2.RemoteProtocolError("cut"),
        refusal(502),
        refusal(500),
    ],
)
def test_what_may_pass_is_tried_as_often_as_is_allowed(error: Exception) -> None:
    tries = Tries(60, 1)
    tries.pause(error)
    with pytest.raises(ClientError):
        tries.pause(error)
    with pytest.raises(ClientError):
        Tries(60, 0).pause(error)
    with pytest.raises(ClientError):  # a pause of 50 ms or more ends after the deadline
        Tries(0.01, 2).pause(error)


def test_retry_after_is_seconds_or_a_date() -> None:
    assert (_seconds("7"), _seconds(None), _seconds("soon"), _seconds("-1")) == (7, None, None, None)
    later = _seconds(format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True))
    assert later is not None and 20 < later <= 30
    assert _seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0
