"""The Ray Train edge gives what plain Python gives, and stages are found instead of trained twice."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from mixstage.corpus.prepare import prepare
from mixstage.models.checkpoint import SETTINGS, open_encoder, open_unchecked, replay
from mixstage.plan import Plan, StagePlan, Workers, parse_plan
from mixstage.progress import Progress
from mixstage.store import Artifact, Store
from mixstage.training.curriculum import Curriculum, stage_order
from mixstage.training.fit import Fit, fit
from mixstage.training.launch import launch

pytestmark = pytest.mark.slow
STAGE = StagePlan(batch_size=8, learning_rate=1e-3, steps=20)


@pytest.fixture
def samples(store: Store) -> Callable[[pl.DataFrame], Artifact]:
    def make(frame: pl.DataFrame) -> Artifact:
        draft = store.draft("samples", {"columns": frame.columns})
        draft.table("samples.parquet", frame.to_arrow())
        return draft.publish({"samples": len(frame)})

    return make


PAIRS = pl.DataFrame(
    {
        "anchor": [f"may the tenant {verb} the deposit" for verb in "abcdefghijklmnopqrstuvwx"],
        "positive": [f"article {n}: the deposit and clause {n}" for n in range(24)],
        "source": ["judged:a"] * 24,
    }
)
LABELLED = pl.DataFrame(
    {
        "query": [f"notice period {n}" for n in range(24)],
        "document": [f"article {n} on notice" for n in range(24)],
        "label": [float(n % 2) for n in range(24)],
        "source": ["mined:a"] * 24,
    }
)


def run_of(component: str, parent: Artifact, samples: Artifact) -> Fit:
    return Fit(
        label=component, component=component, stage=STAGE, steps=20, epochs=1, seed=3, parent=parent, samples=samples
    )


def answers(folder: Path, parent: Artifact) -> np.ndarray:
    """The golden texts' vectors or scores under the weights of a folder."""
    if folder != parent.local():
        shutil.copy(parent.local() / SETTINGS, folder / SETTINGS)
    return replay(open_unchecked(folder))


@pytest.mark.parametrize(("component", "frame"), [("retriever", PAIRS), ("reranker", LABELLED)])
def test_one_ray_worker_trains_what_plain_python_trains(
    component: str,
    frame: pl.DataFrame,
    ray_cluster: None,
    store: Store,
    tmp_path: Path,
    tiny_model: Path,
    samples: Callable[[pl.DataFrame], Artifact],
    make_checkpoint: Callable[..., Artifact],
) -> None:
    parent = make_checkpoint(component, base=str(tiny_model), max_length=32)
    run = run_of(component, parent, samples(frame))
    curve = fit(run, tmp_path, workers=1)
    before, plain = answers(parent.local(), parent), answers(tmp_path / "model", parent)
    with launch(run, store, Workers(workers=1, cpus=1)) as (folder, same):
        trained = answers(folder, parent)
    # Adam divides by the gradient's size: where that is next to nothing, the order of additions decides a weight's
    # last digits. What the model says is compared, not its weights.
    assert np.abs(plain - before).max() > 0.05, "training moved the model"
    assert np.abs(plain - trained).max() < 0.002
    assert len(curve) == 2
    assert [point["loss"] for point in same] == pytest.approx([point["loss"] for point in curve], abs=1e-3)
    assert not list(Path(store.root, "run").iterdir()), "nothing of the run is left"


@pytest.mark.parametrize(("component", "frame"), [("retriever", PAIRS), ("reranker", LABELLED)])
def test_two_workers_train_one_model(
    component: str,
    frame: pl.DataFrame,
    ray_cluster: None,
    store: Store,
    tiny_model: Path,
    samples: Callable[[pl.DataFrame], Artifact],
    make_checkpoint: Callable[..., Artifact],
) -> None:
    parent = make_checkpoint(component, base=str(tiny_model), max_length=32)
    before = load_file(parent.local() / "model.safetensors")
    with launch(run_of(component, parent, samples(frame)), store, Workers(workers=2)) as (folder, _):
        trained = load_file(folder / "model.safetensors")
    assert trained.keys() == before.keys()
    assert max(np.abs(trained[name] - before[name]).max() for name in trained) > 1e-3


@pytest.fixture
def plan(tmp_path: Path, tiny_model: Path) -> Plan:
    mine = {"miner": "current", "negatives": 1, "margin": 2.0, "depth": 20, "refresh": True}
    return parse_plan(
        {
            "name": "t",
            "store": str(tmp_path / "store"),
            "corpora": {"statutes": {"source": "sample://statutes", "shard_kib": 400}},
            "applications": {"drafting": {"corpus": "statutes", "source": "sample://drafting"}},
            "retriever": {
                "base": str(tiny_model),
                "max_length": 48,
                "stages": {
                    "broad": {"samples": {"title": 1, "opening": 1}, "steps": 3, "batch_size": 8},
                    "robust": {
                        "from": "broad",
                        "mine": mine,
                        "epochs": 2,
                        "steps": 4,
                        "batch_size": 8,
                    },
                },
            },
            "reranker": {"base": "hashing://64"},
            "resources": {"train": {"workers": 1, "cpus": 1}, "embed": {"workers": 1}},
        }
    )


def curriculum(plan: Plan) -> Curriculum:
    store, progress = Store(plan.store), Progress()
    return Curriculum(plan=plan, store=store, prepared=prepare(plan, store, progress), progress=progress)


def test_each_stage_starts_from_its_parent_and_is_found_the_next_time(ray_cluster: None, plan: Plan) -> None:
    first = curriculum(plan)
    first.train()
    assert list(first.retrievers) == ["base", "broad", "robust"]
    assert list(first.rerankers) == ["base"]
    fingerprints = {checkpoint.meta["fingerprint"] for checkpoint in first.retrievers.values()}
    assert len(fingerprints) == 3
    rounds = {c.digest: c for c in first.store.all("checkpoint")}
    last = first.retrievers["robust"]
    middle = rounds[last.meta["parent"]]  # round 1 of robust
    assert middle.meta["stage"] == "robust" and middle.meta["parent"] == first.retrievers["broad"].digest
    mined = [first.store.get("samples", c.meta["samples"]) for c in (middle, last)]
    assert mined[0].recipe["miner"] == first.retrievers["broad"].meta["fingerprint"]
    assert mined[1].recipe["miner"] == middle.meta["fingerprint"], (
        "the second round mined with the weights of the first"
    )
    open_encoder(last)

    again = curriculum(plan)
    again.train()
    assert {c.digest for c in again.store.all("checkpoint")} == set(rounds)
    assert {n: c.digest for n, c in again.retrievers.items()} == {n: c.digest for n, c in first.retrievers.items()}


def test_stages_come_after_their_parents_whatever_the_plans_order() -> None:
    stages = {
        "late": StagePlan(from_="middle"),
        "branch": StagePlan(from_="first"),
        "middle": StagePlan(from_="first"),
        "first": StagePlan(),
    }
    order = stage_order(stages)
    assert sorted(order) == sorted(stages)
    assert all(stages[name].from_ == "base" or order.index(stages[name].from_) < order.index(name) for name in order)
