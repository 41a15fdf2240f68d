"""The components that the gateway asks, and the names under which they run."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypedDict

import numpy as np
from ray import serve
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException
from ray.serve.handle import DeploymentHandle

from mixstage.errors import MixstageError
from mixstage.release.record import Member, Pin
from mixstage.serve.problems import refusal_of
from mixstage.serve.workers.deployment import PAUSES
from mixstage.store.plain import JsonObject


def retriever_app(member: Member) -> str:
    """Name of the Serve application that answers for a retriever and its generation."""
    return f"retriever-{member.generation[:12]}"


def reranker_app(reranker: str) -> str:
    """Name of the Serve application that scores for a reranker's checkpoint."""
    return f"reranker-{reranker[:12]}"


def component_apps(pin: Pin) -> list[str]:
    """Names of the Serve applications that a pin needs."""
    rerankers = [] if pin.reranker is None else [reranker_app(pin.reranker)]
    return [*map(retriever_app, pin.members), *rerankers]


class Candidate(TypedDict):
    """A document that a retriever answers with."""

    id: str
    score: float
    title: str  # "" where the document has none
    text: str  # all of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """Vectors of texts, and how much was read for them."""

    vectors: np.ndarray  # (N, dim) float32, unit length
    tokens: int


class Components(Protocol):
    """Where the gateway finds the services of a pin."""

    async def retrieve(
        self, member: Member, query: str, depth: int, filter: JsonObject | None = None
    ) -> list[Candidate]:
        """The top `depth` documents that pass the filter, best first.

        Raises FilterError for a filter that is none: the caller's mistake.
        """
        ...

    async def score(self, reranker: str, query: str, documents: list[str]) -> list[float]:
        """(N,) document texts -> N raw logits of the reranker's checkpoint, in input order."""
        ...

    async def embed(self, member: Member, texts: list[str], kind: Literal["query", "document"]) -> Embedded:
        """Vectors of the member's retriever, which is not BM25."""
        ...

    async def check(self, app: str) -> None:
        """Raises if a Serve application does not answer."""
        ...


class ServeComponents:
    """Components behind Serve handles; a handle is opened at first use, so a new pin needs no restart.

    Serve loses what a dying replica was at. All calls only read, so they are sent again to another one.
    """

    def __init__(self, open_handle: Callable[[str], DeploymentHandle[Any]] = serve.get_app_handle) -> None:
        self.open_handle = open_handle
        self.handles: dict[str, DeploymentHandle[Any]] = {}

    async def _handle(self, app: str) -> DeploymentHandle[Any]:
        """On a thread, because it asks Serve's controller and waits. It serves an application that comes back, too."""
        if app not in self.handles:
            opened = await asyncio.to_thread(self.open_handle, app)
            self.handles.setdefault(app, opened)  # two may have opened it
        return self.handles[app]

    async def retrieve(
        self, member: Member, query: str, depth: int, filter: JsonObject | None = None
    ) -> list[Candidate]:
        return list(await self._ask(retriever_app(member), "retrieve", query, depth, filter))

    async def score(self, reranker: str, query: str, documents: list[str]) -> list[float]:
        return list(await self._ask(reranker_app(reranker), "score", query, documents))

    async def embed(self, member: Member, texts: list[str], kind: Literal["query", "document"]) -> Embedded:
        vectors, tokens = await self._ask(retriever_app(member), "embed", texts, kind)
        return Embedded(vectors=vectors, tokens=tokens)

    async def check(self, app: str) -> None:
        await self._ask(app, "ready")

    async def _ask(self, app: str, method: str, *arguments: Any) -> Any:
        """Raises RayActorError if the replica died each time, and what a component refused as it raised it."""
        for pause in PAUSES:
            try:
                return await self._call(app, method, *arguments)
            except RayActorError:
                await asyncio.sleep(pause)
        return await self._call(app, method, *arguments)

    async def _call(self, app: str, method: str, *arguments: Any) -> Any:
        try:
            handle = await self._handle(app)
        except RayServeException as error:
            raise refusal_of(error) from None  # the application is gone, or not there yet
        response = getattr(handle, method).remote(*arguments)
        try:
            return await response
        except asyncio.CancelledError:
            response.cancel()  # Serve does so for a client that left; a deadline of ours it knows nothing of
            raise
        except (BackPressureError, DeploymentUnavailableError) as error:
            raise refusal_of(error) from None  # Serve gives the gateway's FastAPI handlers of its own for these two
        except RayTaskError as error:
            if isinstance(error.cause, MixstageError):  # FilterError, OverloadError ...: without Ray's traceback
                raise error.cause from None
            raise
