"""Both clients against a real gateway on a real port, and what they make of its faults."""

import asyncio
import pickle
import socket
from typing import Any

import pytest
from starlette.responses import JSONResponse

from mixstage.client import AsyncClient, Client, ClientError, Compositions, Ranks, Release, Trial, calls
from mixstage.release.keys import Keys
from mixstage.release.record import Note
from mixstage.release.registry import Registry
from tests.client.conftest import Faults, busy
from tests.serve.fakes import pin

LIVE = "retriever:robust@5 > reranker:refine@10"


def play(kind: str, url: str, method: str, *sent: Any, client: dict[str, Any] | None = None, **options: Any) -> Any:
    """Calls a method of the blocking client or of the other."""
    if kind == "sync":
        with Client(url, **(client or {})) as blocking:
            return getattr(blocking, method)(*sent, **options)

    async def run() -> Any:
        async with AsyncClient(url, **(client or {})) as awaited:
            return await getattr(awaited, method)(*sent, **options)

    return asyncio.run(run())


both = pytest.mark.parametrize("kind", ["sync", "async"])


@both
def test_an_answer_is_a_value(faults: Faults, kind: str) -> None:
    answer = play(kind, faults.url, "search", "app", "deposit", k=2, explain=True, depth=4)
    assert (answer.application, answer.release, answer.generation, answer.role) == ("app", 1, "g", "live")
    assert answer.composition == "retriever:robust@4 > reranker:refine@10"
    assert [(hit.id, hit.score, hit.title, hit.text) for hit in answer.hits] == [
        ("d2", 3.0, "Title of d2", "text of d2"),
        ("d9", 1.0, "Title of d9", "text of d9"),
    ]
    assert answer.hits[0].ranks == Ranks(retrieval=2, reranking=1)
    assert answer.hits[0].scores.retrieval == pytest.approx(0.8)
    assert answer.timings.total_ms >= answer.timings.retrieve_ms


@both
def test_a_batch_has_an_answer_a_query(faults: Faults, kind: str) -> None:
    answers = play(kind, faults.url, "search_many", "app", ["deposit", "rent"], k=1)
    assert [answer.hits[0].id for answer in answers] == ["d2", "d2"]
    assert answers[0].request_id != answers[1].request_id


def test_a_query_that_failed_is_an_error_in_its_place(faults: Faults) -> None:
    problem = {"type": "about:blank", "title": "Internal Server Error", "status": 500, "detail": "a component failed"}
    faults.next = [JSONResponse({"answers": [{"error": problem}]})]
    (error,) = play("sync", faults.url, "search_many", "app", ["deposit"])
    assert isinstance(error, ClientError)
    assert (error.status, error.problem) == (500, problem)
    assert str(error) == "500 Internal Server Error; a component failed"


@both
def test_applications_and_compositions_are_values(faults: Faults, registry: Registry, kind: str) -> None:
    silent = Registry(registry.url)  # what it writes does not answer yet
    silent.try_out("app", "canary", pin("bm25@9 > none@10"), 0.5, Note())
    told = play(kind, faults.url, "applications")["app"]
    assert (told.release, told.composition, told.generation, told.wanted) == (1, LIVE, "g", None)
    assert told.trial == Trial(release=2, composition="bm25@9 > none@10", action="canary", share=0.5)
    silent.promote("app", pin("bm25@5 > none@10"), Note())
    told = play(kind, faults.url, "applications")["app"]
    assert (told.wanted, told.trial) == (Release(release=3, composition="bm25@5 > none@10"), None)
    assert play(kind, faults.url, "compositions", "app") == Compositions(
        live=LIVE, trial=None, available=(LIVE, "retriever:robust@5 > none@10")
    )


def test_names_with_slashes_reach_the_gateway_whole(faults: Faults) -> None:
    with pytest.raises(ClientError) as refused:
        play("sync", faults.url, "compositions", "../applications?x=1")
    assert refused.value.status == 404


@both
def test_a_full_queue_is_asked_again_when_it_says_so(faults: Faults, kind: str) -> None:
    faults.next = [busy(503, retry_after="0"), busy(429)]
    assert play(kind, faults.url, "search", "app", "deposit").hits[0].id == "d2"
    assert len(faults.seen) == 3
    limits = [int(headers["x-timeout-ms"]) for headers in faults.seen]
    assert 10_000 >= limits[0] > limits[1] > limits[2] > 0  # one deadline over all tries


@both
def test_a_lost_connection_is_made_again(faults: Faults, kind: str) -> None:
    faults.next = ["cut", "cut"]
    assert play(kind, faults.url, "search", "app", "deposit").hits[0].id == "d2"
    assert len(faults.seen) == 3


@both
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_it_is_sent_three_times_at_most(faults: Faults, kind: str, status: int) -> None:
    faults.next = [busy(status) for _ in range(9)]
    with pytest.raises(ClientError, match=f"^{status} .*come again") as refused:
        play(kind, faults.url, "search", "app", "deposit")
    assert (refused.value.status, refused.value.problem, len(faults.seen)) == (status, None, 3)


@both
def test_a_refusal_is_not_sent_again_and_says_why(faults: Faults, kind: str) -> None:
    with pytest.raises(ClientError) as refused:
        play(kind, faults.url, "search", "app", "deposit", k=0)
    error = refused.value
    assert str(error).endswith("; the request is malformed; k: Input should be greater than or equal to 1")
    assert error.problem is not None and error.problem["problems"][0]["field"] == "k"
    assert len(faults.seen) == 1
    faults.next = [JSONResponse({"status": 500, "title": "a component failed"}, 500)]
    with pytest.raises(ClientError, match="500"):
        play(kind, faults.url, "search", "app", "deposit")
    assert len(faults.seen) == 2


@both
def test_a_gateway_that_died_under_a_call_is_asked_again(faults: Faults, kind: str) -> None:
    faults.next = [busy(500)]  # what Serve's proxy says of it
    assert play(kind, faults.url, "search", "app", "deposit").hits[0].id == "d2"
    assert len(faults.seen) == 2


@both
def test_a_slow_answer_ends_at_the_deadline(faults: Faults, kind: str) -> None:
    faults.next = ["hang", "hang"]
    with pytest.raises(ClientError, match=r"no answer in 0\.3 s") as refused:
        play(kind, faults.url, "search", "app", "deposit", client={"deadline_s": 0.3})
    assert (refused.value.status, len(faults.seen)) == (None, 1)


@both
def test_a_wait_beyond_the_deadline_is_not_begun(faults: Faults, kind: str) -> None:
    faults.next = [busy(503, retry_after="60")]
    with pytest.raises(ClientError) as refused:
        play(kind, faults.url, "search", "app", "deposit")
    assert (refused.value.retry_after_s, len(faults.seen)) == (60, 1)


@both
def test_where_nobody_listens_there_is_an_error(kind: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ClientError, match="can't be reached") as refused:
            play(kind, url, "applications")
    assert refused.value.status is None


@both
def test_another_servers_answer_is_an_error(faults: Faults, kind: str) -> None:
    faults.next = [busy(200), JSONResponse([1]), JSONResponse({"hits": [{}]})]
    for _ in range(3):
        with pytest.raises(ClientError, match="did not answer like a mixstage gateway"):
            play(kind, faults.url, "search", "app", "deposit")


@both
def test_the_key_is_sent(faults: Faults, registry: Registry, kind: str) -> None:
    key = Keys(registry.engine).create("counsel")
    with pytest.raises(ClientError, match="401 Unauthorized; an API key is needed"):
        play(kind, faults.url, "applications")
    assert set(play(kind, faults.url, "applications", client={"api_key": key})) == {"app"}


def test_feedback_is_sent_as_the_gateway_takes_it() -> None:
    call = calls.feedback("app", "abc", "d1", "click", "ada")
    assert (call.method, call.path) == ("POST", "/v1/feedback")
    assert call.body == {"application": "app", "request_id": "abc", "document_id": "d1", "kind": "click", "user": "ada"}
    assert calls.feedback("app", "abc", "d1", "click", None).body == {
        "application": "app",
        "request_id": "abc",
        "document_id": "d1",
        "kind": "click",
    }


def test_an_awaited_call_can_be_cancelled(faults: Faults) -> None:
    async def leave() -> None:
        async with AsyncClient(faults.url) as client:
            task = asyncio.create_task(client.search("app", "deposit"))
            while not faults.seen:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    faults.next = ["hang"]
    asyncio.run(leave())


def test_an_error_survives_pickling_with_all_it_tells() -> None:
    error = ClientError("503 Service Unavailable")
    error.status, error.problem, error.retry_after_s = 503, {"detail": "x"}, 2.0
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.status, again.problem, again.retry_after_s) == (str(error), 503, {"detail": "x"}, 2.0)


class Odd:
    """Nothing that JSON can say."""


NESTED: list[Any] = []
NESTED.append(NESTED)


@both
@pytest.mark.parametrize(
    "filter",
    [{"year": float("nan")}, {"year": Odd()}, {"court": "\ud800"}, {"court": NESTED}],
    ids=lambda f: str(f)[:20],
)
def test_what_json_cannot_say_is_an_error_of_ours(kind: str, filter: Any) -> None:
    with pytest.raises(ClientError, match="nothing was sent") as refused:
        play(kind, "http://127.0.0.1:9", "search", "app", "deposit", filter=filter)
    assert refused.value.status is None


@both
@pytest.mark.parametrize("name", ["\ud800", "x" * 70_000])
def test_a_name_that_no_url_can_hold_is_an_error_of_ours(faults: Faults, kind: str, name: str) -> None:
    with pytest.raises(ClientError):
        play(kind, faults.url, "compositions", name)


@both
def test_an_answer_that_cannot_be_decoded_is_an_error_of_ours(faults: Faults, kind: str) -> None:
    faults.next = [busy(200, content_encoding="gzip")]
    with pytest.raises(ClientError, match="can't be decoded"):
        play(kind, faults.url, "search", "app", "deposit")
    assert len(faults.seen) == 1


@both
@pytest.mark.parametrize(
    ("url", "key", "words"),
    [("http://a:b", None, "is not a URL"), ("http://a", "kéy", "beyond ASCII")],
)
def test_a_client_that_cannot_be_made_says_why(kind: str, url: str, key: str | None, words: str) -> None:
    with pytest.raises(ClientError, match=words):
        play(kind, url, "applications", client={"api_key": key})


def test_a_query_of_a_batch_keeps_when_to_come_again(faults: Faults) -> None:
    problem = {"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": "x", "retry_after": 3}
    faults.next = [JSONResponse({"answers": [{"error": problem}, {"error": problem | {"retry_after": "soon"}}]})]
    errors = play("sync", faults.url, "search_many", "app", ["deposit", "rent"])
    assert [error.retry_after_s for error in errors] == [3, None]
