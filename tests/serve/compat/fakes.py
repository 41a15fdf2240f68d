"""Ten-line components with numbers that are worked out by hand, and pins that name them."""

import asyncio
from typing import Any, Literal

import numpy as np

from mixstage.composition import Composition
from mixstage.release.record import Fusion, Member, Pin
from mixstage.serve.answering.components import Embedded

FOUND = {
    "deposit": [("d1", 0.75, "Deposits"), ("d2", 0.5, ""), ("d3", 0.25, "Rent")],
    "rent": [("d3", 0.875, "Rent"), ("d1", 0.125, "Deposits")],
}


class Fakes:
    """Vectors are (characters, 1 of a query or -1 of a document, 0.1); a document's logit is its last word."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.calls: list[tuple[Any, ...]] = []

    async def retrieve(
        self, member: Member, query: str, depth: int, filter: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        self.calls.append((query, filter))
        self.fail()
        found = FOUND.get(query, [])[:depth]
        return [{"id": i, "score": s, "title": title, "text": f"{'Long. ' * 200}{i}"} for i, s, title in found]

    async def embed(self, member: Member, texts: list[str], kind: Literal["query", "document"]) -> Embedded:
        self.calls.append((member.generation, texts, kind))
        self.fail()
        rows = [[len(text), 1 if kind == "query" else -1, 0.1] for text in texts]
        return Embedded(vectors=np.array(rows, dtype=np.float32), tokens=sum(len(text.split()) for text in texts))

    async def score(self, reranker: str, query: str, documents: list[str]) -> list[float]:
        self.calls.append((reranker, query, documents))
        self.fail()
        if query == "slow":
            await asyncio.sleep(30)
        return [float(document.split()[-1].lstrip("d")) for document in documents]

    async def check(self, app: str) -> None:
        self.fail()

    def fail(self) -> None:
        if self.error is not None:
            raise self.error


def whole(doc_id: str) -> str:
    """The text of a document, longer than a snippet."""
    return "Long. " * 200 + doc_id


def pin(composition: str, retriever: str = "r", reranker: str = "k", generation: str = "g") -> Pin:
    """A pin of digests that are one letter, 64 times."""
    return Pin(
        composition=Composition.parse(composition),
        corpus="c" * 64,
        generation=generation * 64,
        retriever=None if composition.startswith("bm25") else retriever * 64,
        reranker=None if "> none" in composition else reranker * 64,
        report="p" * 64,
    )


def fused() -> Pin:
    """Of the retriever x over the generation y, and BM25."""
    members = (Member(generation="y" * 64, retriever="x" * 64), Member(generation="b" * 64, retriever=None))
    return Pin(
        composition=Composition.parse("retriever:ensemble@5 > none@10"),
        corpus="c" * 64,
        generation="",
        retriever=None,
        reranker=None,
        report="p" * 64,
        fusion=Fusion(members=members, constant=60, depth=10),
    )
