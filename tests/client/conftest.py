"""A real gateway behind a real HTTP server, with faults in between."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mixstage.release.record import Note
from mixstage.release.registry import Registry
from tests.listening import listening
from tests.serve.fakes import Answering, gateway, pin


@dataclass
class Faults:
    """Stands before an application; each request takes the next fault: a response, "cut", "hang", or none when all are
    used up."""

    app: ASGIApp
    url: str = ""
    next: list[Response | str] = field(default_factory=list)
    seen: list[dict[str, str]] = field(default_factory=list)  # headers of the requests that came

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        self.seen.append({name.decode(): value.decode() for name, value in scope["headers"]})
        fault = self.next.pop(0) if self.next else self.app
        if fault == "hang":
            await asyncio.sleep(5)
        elif fault == "cut":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"99")]})
            await send({"type": "http.response.body", "body": b"{", "more_body": True})  # uvicorn closes the connection
        else:
            await cast(ASGIApp, fault)(scope, receive, send)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    opened = Answering(f"sqlite:///{tmp_path}/registry.db")
    opened.promote("app", pin("retriever:robust@5 > reranker:refine@10"), Note())
    return opened


@pytest.fixture
def faults(registry: Registry) -> Iterator[Faults]:
    """A gateway that is served on a port of its own."""
    faults = Faults(cast(Any, gateway(registry).app))
    with listening(faults) as url:
        faults.url = url
        yield faults


def busy(status: int = 503, **headers: str) -> Response:
    """An answer of a proxy that is not a problem document."""
    return PlainTextResponse("come again", status, {name.replace("_", "-"): value for name, value in headers.items()})
