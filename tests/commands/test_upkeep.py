"""The index job's upkeep: what a disk spoilt is made again, generations that nothing needs any more go."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from mixstage.commands.index import main
from mixstage.composition import Composition
from mixstage.index.generation import Generation
from mixstage.index.pointers import history
from mixstage.plan.load import load_plan
from mixstage.release.pins import open_registry
from mixstage.release.record import Note, Pin
from mixstage.store.store import Artifact, Store

DOCUMENTS = [{"_id": f"d{n}", "text": f"article {n} of {n % 5} deposits"} for n in range(40)]


@pytest.fixture
def plan(tmp_path: Path, beir: Any) -> str:
    queries = [{"_id": f"q{n}", "text": f"article {n}"} for n in range(4)]
    folder = beir("law", documents=DOCUMENTS, queries=queries, dev=[("q0", "d0", 1)], test=[("q1", "d1", 1)])
    content = {
        "name": "tiny",
        "store": str(tmp_path / "store"),
        "corpora": {"law": {"source": str(folder)}},
        "applications": {"app": {"corpus": "law", "source": str(folder)}},
        "retriever": {"base": "hashing://64"},
        "index": {"keep": 1, "floor": 0},
        "grid": {"bm25": False},
        "resources": {"embed": {"workers": 1}},
    }
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.mark.slow
def test_only_the_last_generations_and_pinned_ones_outlive_a_pruning(
    ray_cluster: None, plan: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(load_plan(plan).store)

    def index(factory: str, *options: str) -> tuple[str, Artifact]:
        """What is printed and the current generation."""
        assert main([plan, *options, "--set", f"index.factory={factory}"]) == 0, capsys.readouterr().err
        return capsys.readouterr().out, store.get(Generation, history(store, "tiny", "law", "base")[0])

    _, flat = index("Flat")
    _, codes = index("SQ8")
    pin = Pin(
        composition=Composition.parse("bm25@5 > none@10"),
        corpus="c",
        generation=flat.digest,
        retriever=None,
        reranker=None,
        report="r",
    )
    open_registry(load_plan(plan), store).promote("app", pin, Note())
    printed, _ = index("SQ8", "--prune")
    assert "nothing to delete: every generation is among the last 1 or pinned" in printed
    spoilt = codes.local() / "index-00000.faiss"
    spoilt.write_bytes(spoilt.read_bytes()[:-20])
    printed, again = index("SQ8", "--verify")
    assert f"{spoilt} differs from its manifest: built again" in printed
    again.verify()
    printed, graph = index("HNSW8", "--prune")
    assert f"deleted {codes.path}" in printed
    assert {one.digest for one in store.all(Generation)} == {flat.digest, graph.digest}
    flat.verify()
    assert history(store, "tiny", "law", "base") == [graph.digest, codes.digest, flat.digest]
