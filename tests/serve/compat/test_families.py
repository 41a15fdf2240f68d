"""A family of endpoints that a package outside mixstage brings: one file, named by the plan."""

from pathlib import Path

import pytest

from mixstage.errors import PlanError
from mixstage.release.record import Note
from mixstage.release.registry import Registry
from mixstage.serve.compat.routers import FAMILIES, families
from tests.serve.compat.fakes import Fakes, pin
from tests.serve.fakes import gateway

VOYAGE = '''
"""Voyage's rerank endpoint, whose clients read `data` and `detail`."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from mixstage.serve.answering.calls import score_documents
from mixstage.serve.compat.family import Backend, Family, refused, sentence
from mixstage.serve.compat.scores import ranked
from mixstage.serve.problems import Refusal


class Request(BaseModel):
    query: str
    documents: list[str]
    model: str


def router(backend: Backend) -> APIRouter:
    routes = APIRouter()

    @routes.post("/voyage/rerank")
    async def _rerank(request: Request) -> dict[str, Any]:
        model = await backend.models.find("reranker", request.model)
        logits = await score_documents(backend.components, model.checkpoint, request.query, request.documents)
        rows = ranked(logits, raw=True)
        return {"object": "list", "data": [{"index": i, "relevance_score": score} for i, score in rows]}

    return routes


def shape(refusal: Refusal) -> JSONResponse:
    return refused(refusal, refusal.status, {"detail": sentence(refusal)})


FAMILY = Family(router=router, shapes={"voyage": shape})
GREEDY = Family(router=router, shapes={"retrieval": shape})
'''
ASKED = {"model": "reranker:refine", "query": "q", "documents": ["a 1", "b 3", "c 2"]}
ANSWER = {
    "object": "list",
    "data": [
        {"index": 1, "relevance_score": 3},
        {"index": 2, "relevance_score": 2},
        {"index": 0, "relevance_score": 1},
    ],
}


@pytest.fixture(params=["a name in the plan", "an entry point"])
def name(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a plan writes for the family of a package that is installed, or lies on the path."""
    package = f"voyage_{'installed' if request.param == 'an entry point' else 'on_the_path'}"
    (tmp_path / f"{package}.py").write_text(VOYAGE)
    monkeypatch.syspath_prepend(tmp_path)
    if request.param == "a name in the plan":
        return f"{package}:FAMILY"
    folder = tmp_path / f"{package}-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[mixstage.endpoints]\nvoyage = {package}:FAMILY\n")
    return "voyage"


def test_an_endpoint_from_outside_answers_by_the_served_models(registry: Registry, name: str) -> None:
    registry.promote("app", pin("retriever:robust@5 > reranker:refine@10"), Note())
    client = gateway(registry, Fakes(), endpoints=[name])
    assert client.post("/voyage/rerank", json=ASKED).json() == ANSWER
    assert client.post("/rerank", json=ASKED).status_code == 200, "those of mixstage are there as before"
    assert gateway(registry, Fakes()).post("/voyage/rerank", json=ASKED).status_code == 404


def test_it_refuses_in_its_own_shape_also_before_its_route_is_reached(registry: Registry, name: str) -> None:
    registry.promote("app", pin("retriever:robust@5 > reranker:refine@10"), Note())
    client = gateway(registry, Fakes(), endpoints=[name], max_body_kib=1)
    unknown = client.post("/voyage/rerank", json={**ASKED, "model": "gone"})
    assert (unknown.status_code, set(unknown.json())) == (404, {"detail"})
    large = client.post("/voyage/rerank", json={**ASKED, "query": "q" * 2000})
    assert (large.status_code, large.json()) == (413, {"detail": "the body is larger than 1 KiB"})


def test_what_is_not_there_is_refused_with_what_there_is() -> None:
    with pytest.raises(PlanError, match=r"no 'voyage' among endpoints: write openai, rerank, .*PACKAGE\.MODULE:NAME"):
        families(["voyage"])
    with pytest.raises(PlanError, match="'no_such_package:FAMILY' of endpoints can't be imported"):
        families(["no_such_package:FAMILY"])
    with pytest.raises(PlanError, match=r"json:dumps is of type function, and one of endpoints is a \S+family\.Family"):
        families(["json:dumps"])


def test_two_families_can_not_have_the_same_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "voyage_greedy.py").write_text(VOYAGE)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PlanError, match="'voyage_greedy:GREEDY' and 'dify' both answer /retrieval: leave one out"):
        families(["voyage_greedy:GREEDY"])


def test_a_plan_that_names_no_endpoints_or_one_of_mixstages_own_gets_those_of_mixstage() -> None:
    assert families() == families(["dify"]) == dict(FAMILIES)
