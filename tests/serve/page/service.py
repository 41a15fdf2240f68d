"""The API that the search page asks, in its documented shapes, over lists written by hand; and a server for it."""

import threading
from typing import Any

from fastapi import FastAPI, Header
from fastapi.responses import JSONResponse

from mixstage.serve.http.page import page_router

LIVE = "retriever:robust@20 > reranker:refine@10"
PLAIN = "retriever:robust@20 > none@10"
TRIED = "retriever:robust@20 > 0.5*reranker:refine@10"
DOCUMENTS = {
    "d1": ("Return of the deposit", "The landlord returns the deposit within two months."),
    "d2": ("Deposits kept", "What was kept of it is accounted for."),
    "d3": ("Notice", "One month's notice in writing."),
    "d4": ("<img src=x onerror=document.title='evil'>", "Text with <b>markup</b> & a c++ [a-z]* of (brackets)."),
    "d5": ("", "A document without a title: Übertragung."),
    "d6": ("L" * 90, "https://long.example/" + "x" * 200),
}
SECONDS = 30.0  # that a held query waits at most


class Service:
    """What the page is answered, changed by tests; and what it asked."""

    def __init__(self) -> None:
        self.documents = dict(DOCUMENTS)
        self.role = "live"  # of answers to searches that name no composition
        self.lists = {LIVE: ["d1", "d2", "d3", "d4"], PLAIN: ["d3", "d2", "d5", "d6"]}
        self.standings: dict[str, Any] = {
            "counsel": {
                "release": 12,
                "composition": LIVE,
                "generation": "3f2a91bc0d12e4f7",
                "wanted": None,
                "trial": None,
            },
            "drafting": {
                "release": 3,
                "composition": PLAIN,
                "generation": "9c0d12e4f73f",
                "wanted": None,
                "trial": None,
            },
        }
        self.compositions: dict[str, Any] = {"live": LIVE, "trial": None, "available": [LIVE, PLAIN]}
        self.key: str | None = None
        self.problems: dict[str, tuple[int, dict[str, Any]]] = {}  # path -> status and body; "retry-after" 2
        self.held: dict[str, threading.Event] = {}  # a query, a judgement or "refusal" -> answered when it is set
        self.searches: list[dict[str, Any]] = []
        self.feedback: list[dict[str, Any]] = []

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.searches.append(asked)
        number = len(self.searches)
        if (event := self.held.get(asked["query"])) is not None:
            event.wait(SECONDS)
        composition = asked.get("composition", self.standings[asked["application"]]["composition"])
        ids = [] if asked["query"] == "nothing" else self.lists[composition]
        reranked = "none@" not in composition
        return {
            "request_id": f"q{number}",
            "application": asked["application"],
            "composition": composition,
            "release": 12,
            "generation": "3f2a91bc0d12e4f7",
            "role": "named" if "composition" in asked else self.role,
            "hits": [self._hit(doc_id, place, reranked) for place, doc_id in enumerate(ids, 1)],
            "timings": {
                "retrieve_ms": 20.0,
                "rerank_ms": 60.0 if reranked else 0.0,
                "total_ms": 84.4 if reranked else 24.4,
            },
        }

    def _hit(self, doc_id: str, place: int, reranked: bool) -> dict[str, Any]:
        title, text = self.documents[doc_id]
        before = {1: 4, 4: 1}.get(place, place) if reranked else place  # reranking swaps the first and the fourth
        ranks = {"retrieval": before, "reranking": place if reranked else None}
        scores = {"retrieval": 1 / before, "reranking": 5.25 - place if reranked else None}
        return {"id": doc_id, "score": 5.25 - place, "title": title, "text": text, "ranks": ranks, "scores": scores}

    def refusal(self, path: str, authorization: str | None) -> JSONResponse | None:
        """The problem that a path answers with, if any."""
        status, body = self.problems.get(path, (0, {}))
        if self.key is not None and authorization != f"Bearer {self.key}":
            status, body = 401, {"title": "Unauthorized", "detail": "This service wants an API key."}
        if not status:
            return None
        headers = {"retry-after": "2"} if status == 503 else {}
        content = {"type": "about:blank", "status": status, "request_id": "r-77", **body}
        return JSONResponse(content, status_code=status, headers=headers, media_type="application/problem+json")


def build(service: Service) -> FastAPI:
    api = FastAPI()
    api.include_router(page_router())

    @api.post("/v1/search")
    def search(body: dict[str, Any], authorization: str | None = Header(None)) -> Any:
        refusal = service.refusal("search", authorization)
        if refusal is not None and "composition" in body and (event := service.held.get("refusal")) is not None:
            event.wait(SECONDS)
        return refusal or service.answer(body)

    @api.post("/v1/feedback", status_code=202)
    def feedback(body: dict[str, Any], authorization: str | None = Header(None)) -> Any:
        if (refusal := service.refusal("feedback", authorization)) is not None:
            return refusal
        if (event := service.held.get(body["kind"])) is not None:
            event.wait(SECONDS)
        service.feedback.append(body)
        return {}

    @api.get("/v1/applications")
    def applications(authorization: str | None = Header(None)) -> Any:
        return service.refusal("applications", authorization) or JSONResponse(service.standings)

    @api.get("/v1/compositions/{application}")
    def compositions(application: str, authorization: str | None = Header(None)) -> Any:
        return service.refusal("compositions", authorization) or service.compositions

    return api
