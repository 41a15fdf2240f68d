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
ADDRESSES: dict[str, list[str]] = {}


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
