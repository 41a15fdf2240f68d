"""A real gateway behind a real HTTP server, with faults in between."""

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import uvicorn
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mixstage.release.record import Note
from mixstage.release.registry import Registry
from tests.serve.fakes import Answering, gateway, pin


@dataclass
class Faults:
    """Stands before an application; each request takes the next fault: a response, "cut", "hang", or none when all are
    used up."""

    app: ASGIApp
    port: int = 0
    next: list[Response | str] = field(default_factory=list)
    seen: list[dict[str, str]] = field(default_factory=list)  # headers of the requests that came

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

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
    server = uvicorn.Server(uvicorn.Config(faults, host="127.0.0.1", port=0, log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    faults.port = server.servers[0].sockets[0].getsockname()[1]
    yield faults
    server.should_exit = server.force_exit = True
    thread.join(timeout=20)


def busy(status: int = 503, **headers: str) -> Response:
    """An answer of a proxy that is no problem document."""
    return PlainTextResponse("come again", status, {name.replace("_", "-"): value for name, value in headers.items()})
