"""A small report made by hand: two retrievers, two depths, two applications, names that try to be HTML."""

from typing import Any

import polars as pl
import pytest

EVIL = "</script><script>document.title = 'evil'</script><!-- <b>"
WINNER, INCUMBENT = "retriever:broad@10 > reranker:base@10", "retriever:base@10 > none@10"
MIXED = "retriever:base@20 > 0.5*reranker:base@10"
# retriever, depth, reranker, mix -> mean of application a on dev; b's is .1 higher, test's .05 lower
MEANS = {
    ("base", 10, "none", 1.0): 0.30,
    ("base", 10, "oracle", 1.0): 0.90,
    ("base", 10, "base", 1.0): 0.40,
    ("broad", 10, "none", 1.0): 0.35,
    ("broad", 10, "oracle", 1.0): 0.95,
    ("broad", 10, "base", 1.0): 0.50,
    ("base", 20, "none", 1.0): 0.30,
    ("base", 20, "base", 1.0): 0.46,
    ("base", 20, "base", 0.5): 0.45,
    ("broad", 20, "none", 1.0): 0.35,
    ("broad", 20, "base", 1.0): 0.48,
    ("broad", 20, "base", 0.5): 0.49,
}


NO_LOSS = {"a": 0.0, "b": 0.002}


def priced(name: str, mean: float, pairs: int) -> dict[str, Any]:
    fronts = {"on_front": True, "share": 0.9, "on_pairs_front": True, "pairs_share": 0.9}
    return {"composition": name, "mean": mean, "p95_ms": None, "pairs": pairs, **fronts}


def name_of(retriever: str, depth: int, reranker: str, mix: float) -> str:
    weight = "" if mix == 1 else f"{mix:g}*"
    second = reranker if reranker in ("none", "oracle") else f"{weight}reranker:{reranker}"
    return f"retriever:{retriever}@{depth} > {second}@10"


@pytest.fixture
def means() -> pl.DataFrame:
    rows = [
        {
            "split": split,
            "application": application,
            "composition": name_of(retriever, depth, reranker, mix),
            "retriever": retriever,
            "depth": depth,
            "reranker": reranker,
            "mix": mix,
            "pairs": 0 if reranker in ("none", "oracle") else depth,
            "queries": 8,
            "nDCG@10": value + more - less,
            "R@10": value + more - less,
            "R@20": value + more - less + 0.02,
            "primary": value + more - less,
        }
        for split, less in (("dev", 0.0), ("test", 0.05))
        for application, more in (("all", 0.05), ("a", 0.0), ("b", 0.1))
        for (retriever, depth, reranker, mix), value in MEANS.items()
    ]
    return pl.DataFrame(rows)


def estimate(mean: float, half: float = 0.02) -> dict[str, Any]:
    return {"mean": mean, "low": mean - half, "high": mean + half, "queries": 8}


def difference(mean: float, half: float = 0.02) -> dict[str, Any]:
    return {**estimate(mean, half), "wins": 5, "losses": 3, "verdict": "better"}


def against(composition: str, mean: float) -> dict[str, Any]:
    parts = {"a": difference(mean - 0.01), "b": difference(mean + 0.01)}
    return {"composition": composition, "overall": difference(mean), "applications": parts}


def example(delta: float, query: str = "who pays?") -> dict[str, Any]:
    documents = [{"doc_id": "d1", "title": "", "snippet": query, "grade": 1}]
    documents += [{"doc_id": "d2", "title": query, "snippet": "text", "grade": None}]
    told = {"query_id": "q", "query": query, "delta": delta, "cause": "reordered up" if delta > 0 else "reordered down"}
    return {**told, "winner": documents, "incumbent": documents[::-1]}


def explained(examples: list[dict[str, Any]]) -> dict[str, Any]:
    split = {part: estimate(mean) for part, mean in zip(("achieved", "ceiling"), (0.5, 0.9), strict=True)}
    split |= {"retrieval": estimate(0.1), "ranking": estimate(0.4), "efficiency": 0.5 / 0.9}  # type: ignore[dict-item]
    curve = [
        {"stage": "base", "mean": 0.3, "step": None},
        {"stage": "broad", "mean": 0.35, "step": {**estimate(0.05), "queries": 8}},
        {"stage": "robust", "mean": 0.34, "step": {**estimate(-0.01), "queries": 8}},
    ]
    return {
        "metric": "nDCG@10",
        "queries": 8,
        "gap": estimate(0.2),
        "shares": {"retriever": estimate(0.05), "reranker": estimate(0.15)},
        "interaction": estimate(0.01),
        "interacts": False,
        "anova": None,
        "union_bound": None,
        "shared": [],
        "confounds": {},
        "losses": {"winner": split, "incumbent": split},
        "stages": {"retrievers": curve, "rerankers": curve[:1], "end_to_end": curve, "tau": 0.5},
        "holes": {
            "winner": 0.5,
            "incumbent": 0.7,
            "uneven": True,
            "counted": {},
            "correlation": None,
            "correlated": False,
        },
        "names_decide": False,
        "few_queries": True,
        "detectable": 0.25,
        "examples": examples,
    }


def trained() -> dict[str, Any]:
    steps = [{"step": 1.0, "loss": 4.0}, {"step": 2.0, "loss": 2.0}]
    measured = [{"step": 1.0, "score": 0.25}, {"step": 2.0, "score": 0.5}]
    one = {"samples": {"sources": {EVIL: 3}}, "ledger": None, "curve": steps, "measured": measured, "step": 2}
    return {"checkpoint": "c" * 24, "parents": ["base"], "soup": None, "adapter": None, "rounds": [one, one]}


@pytest.fixture
def report() -> dict[str, Any]:
    incumbent = against(INCUMBENT, 0.2)
    none = {"composition": WINNER, "overall": None, "applications": {}}
    bounds = {**estimate(0.2), "needed": 4}
    return {
        "plan": {
            "name": EVIL,
            "applications": {name: {"metric": "nDCG@10"} for name in "ab"},
            "grid": {"ranking_depth": 20},
            "selection": {"max_regression": 0.01},
            "index": {"factory": "Flat", "search": ""},
        },
        "choice": {
            "winner": WINNER,
            "near": [WINNER, MIXED],
            "rivals": {"incumbent": INCUMBENT, "base + base": WINNER},
            "per_application": {"a": WINNER, "b": WINNER},
            "gain": {**estimate(0.18), "shares": {WINNER: 1.0}},
            "eligible": 7,
            "over_budget": 1,
            "regressing": 2,
            "reason": f"cheapest of 2 {EVIL}",
        },
        "verdict": {
            "word": "SHIP",
            "sentence": f"SHIP {WINNER}: +0.2000 on test.",
            "overall": bounds,
            "applications": {"a": bounds, "b": bounds},
        },
        "confirmation": {split: {"incumbent": incumbent, "base + base": none} for split in ("dev", "test")},
        "why": {
            "applications": {"a": explained([example(0.5, EVIL), example(-0.1)]), "b": explained([example(0.4)])},
            "leaks": {"counts": {"dev and test": 2}, "trained": {}},
            "equal_documents": {"c": {"documents": 9, "copies": 0}},
        },
        "sharing": {
            "winner": WINNER,
            "own": {"a": WINNER, "b": MIXED},
            "price": {name: estimate(0.01) for name in "ab"},
            "cover": {
                "retrievers": ["broad"],
                "rerankers": [EVIL],
                "assignment": {"a": WINNER, "b": WINNER},
                "loss": NO_LOSS,
            },
            "services": {"winner": 2, "own": 3, "cover": 2},
            "test": {"price": {name: estimate(0.0) for name in "ab"}, "loss": NO_LOSS},
        },
        "operating_points": [],
        "race": None,
        "front": {name: [priced(WINNER, 0.5, 10), priced(INCUMBENT, 0.3, 0)] for name in ("overall", "a", "b")},
        "timed": None,
        "digests": {"grid": "g" * 24, "choice": "h" * 24},
        "queries": {split: {"a": 8, "b": 8} for split in ("dev", "test")},
        "pairs": {"naive": 8, "union": 4, "found": 0, "scored": 4, "seconds": 0.1},
        "served": [],
        "forgetting": [
            {
                "component": "retriever",
                "stage": "broad",
                "parent": "base",
                "application": "a",
                "measure": "R@60",
                "before": 0.5,
                "after": 0.4,
            }
        ],
        "training": {"retriever": {"broad": trained()}},
        "machine": {"processor": "x86_64", "python": "3.11.7"},
        "libraries": {"mixstage": "0.1.0"},
    }
