"""Addresses of artifacts: a plan digests to what it always has, so that no store is computed again after an update.

A digest may change only together with a format number, on purpose, and then here, too.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from mixstage.pipeline import Pipeline
from mixstage.plan.load import parse_plan
from mixstage.progress import Progress
from mixstage.store.store import Store, digest_of

pytestmark = pytest.mark.slow

# Every phase at work, with models whose weights are arithmetic: their fingerprints are the same on all machines.
PLAN: dict[str, Any] = {
    "name": "addresses",
    "corpora": {"statutes": {"source": "sample://statutes", "shard_kib": 80, "language": "english"}},
    "applications": {
        "counsel": {"corpus": "statutes", "source": "sample://counsel", "queries": {"dev": 8, "test": 8}},
        "drafting": {
            "corpus": "statutes",
            "source": "sample://drafting",
            "queries": {"dev": 8, "test": 8},
            "weight": 2,
        },
    },
    "retriever": {"base": "hashing://64"},
    "reranker": {"base": "hashing://64"},
    "index": {"factory": "SQ8"},
    "grid": {
        "depths": [5, 10],
        "ranking_depth": 30,
        "fusions": {
            "both": {"of": ["base", "bm25"]},
            "weighted": {"of": ["base", "bm25"], "method": "weighted", "weights": [1, 2]},
        },
    },
    "selection": {"bootstrap": 200},
}
# What a recipe says of this machine, or of files that another version of a library writes otherwise.
_CHANGES = {"cost": {"processor"}, "choice": {"dev"}, "report": {"choice", "cost"}}
ADDRESSES = {
    "application": ["3432e7f91fa70bd163bad6aa", "6b31715707abee3ebc121b8e"],
    "checkpoint": ["049aafeddaed58d02c1ec5db", "896a99b81bc136c9261687c0"],
    "choice": ["4326cded09910018324d50ae"],
    "corpus": ["31cbfa7168c6787ab1b39d98"],
    "cost": ["e303814d48dbea7d0e6c4b62"],
    "embedding": ["14db153cd09d4e801c5b7ddd", "673fd7ac9869d3e3a8cad9ea", "fb7b83d3d6319e62a18f0ad3"],
    "generation": ["668cc927e3f147acc3512f42", "6cb440320f70c63493dbba99"],
    "grid": ["5e405418dfdf3286d9645bc8"],
    "look": ["dc2ee50c17726936dc8cdb74"],
    "ranking": [
        "3d11465bebd616f4d17d0c79",
        "3f301fb67b3838856e25cab9",
        "47cedb40d36351f6326e47a9",
        "818d7fd2983a4fc1800cde30",
        "a990378a33179e08f66f6ae3",
        "bc78b784b306ac3c9518c3c1",
        "cd18318494ee2d87473624c4",
        "d728c37bb013e221c03fcf66",
    ],
    "report": ["3ba67281283cc3362eceb2b5"],
    "served": ["2c8344c9b758615fd6c4caa5"],
}


def addresses(store: Path) -> dict[str, list[str]]:
    """kind -> digests of the recipes of what was published, what changes left out; read as any program can read it."""
    found: dict[str, list[str]] = {}
    for path in sorted(store.glob("*/*/manifest.json")):
        manifest = json.loads(path.read_text())
        kept = {k: v for k, v in manifest["recipe"].items() if k not in _CHANGES.get(manifest["kind"], ())}
        found.setdefault(manifest["kind"], []).append(digest_of(kept))
    return {kind: sorted(digests) for kind, digests in found.items()}


def test_a_plan_digests_to_what_it_always_has(ray_cluster: None, tmp_path: Path) -> None:
    plan = parse_plan({**PLAN, "store": str(tmp_path / "store")})
    pipeline = Pipeline(plan=plan, store=Store(plan.store), progress=Progress())
    assert pipeline.report.files
    assert addresses(tmp_path / "store") == ADDRESSES
