"""Ten-line components, registry rows and clients for tests of the gateway."""

from typing import Any

from fastapi.testclient import TestClient

from mixstage.composition import Composition
from mixstage.plan.serving import ServingPlan
from mixstage.release.record import Fusion, Member, Pin, Release
from mixstage.release.registry import Registry
from mixstage.serve.answering.components import Components
from mixstage.serve.answering.routing import Routes
from mixstage.serve.gateway import build_api

CANDIDATES = [("d1", 0.9), ("d2", 0.8), ("d9", 0.7), ("d10", 0.7), ("d3", 0.1)]
SCORES = {"d1": -2.0, "d2": 3.0, "d9": 1.0, "d10": 1.0, "d3": 0.5}


LISTS = {"g": CANDIDATES, "g1": CANDIDATES[:3], "g2": [("d2", 30.0), ("d1", 20.0), ("d3", 10.0)]}


class Fakes:
    """Ten lines that are a full citizen: what a pin's services would answer."""

    async def retrieve(
        self, member: Member, query: str, depth: int, filter: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        found = LISTS[member.generation][:depth]
        return [{"id": i, "title": f"Title of {i}", "text": f"text of {i}", "score": s} for i, s in found]

    async def score(self, reranker: str, query: str, documents: list[str]) -> list[float]:
        return [SCORES[text.rpartition(" ")[2]] for text in documents]

    async def check(self, app: str) -> None:
        pass


class Answering(Registry):
    """A registry whose releases are served at once."""

    def _append(self, *arguments: Any) -> Release:
        release = super()._append(*arguments)
        self.mark_answering(release)
        return release


def pin(composition: str) -> Pin:
    return Pin(
        composition=Composition.parse(composition), corpus="c", generation="g", retriever="r", reranker="k", report="p"
    )


def fused(composition: str, depth: int = 3) -> Pin:
    members = (Member(generation="g1", retriever="r1"), Member(generation="g2", retriever=None))
    fusion = Fusion(members=members, constant=1, depth=depth)
    return Pin(
        composition=Composition.parse(composition),
        corpus="c",
        generation="",
        retriever=None,
        reranker="k",
        report="p",
        fusion=fusion,
    )


def gateway(registry: Registry, components: object = None, **serving: Any) -> TestClient:
    """A client of a gateway that reads the registry anew for each request."""
    told: Components = components or Fakes()  # type: ignore[assignment]
    api = build_api(Routes(registry, seconds=-1), told, ServingPlan(**serving))
    return TestClient(api, raise_server_exceptions=False)
