"""Stages lean on each other, are found instead of trained twice, and come out the same every time."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixstage.corpus.prepare import prepare
from mixstage.models.checkpoint import Checkpoint, open_encoder
from mixstage.plan.load import load_plan, parse_plan
from mixstage.plan.schema import Plan
from mixstage.progress import Progress
from mixstage.store.store import Store
from mixstage.training.artifacts import Adapter, Samples
from mixstage.training.curriculum import Curriculum
from mixstage.workspace import Workspace

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parent.parent.parent
MINE = {"negatives": 1, "margin": 2.0, "depth": 20}


def raw_plan(store: Path, model: Path, **sections: Any) -> dict[str, Any]:
    return {
        "name": "t",
        "store": str(store),
        "corpora": {"statutes": {"source": "sample://statutes", "shard_kib": 400}},
        "applications": {"drafting": {"corpus": "statutes", "source": "sample://drafting"}},
        "retriever": {"base": str(model), "max_length": 48},
        "reranker": {"base": "hashing://64"},
        "resources": {"train": {"workers": 1, "cpus": 1}, "embed": {"workers": 1}},
        **sections,
    }


def curriculum(plan: Plan) -> Curriculum:
    store, progress = Store(plan.store), Progress()
    prepared = prepare(Workspace(plan=plan, store=store, progress=progress))
    return Curriculum(prepared=prepared)


@pytest.fixture
def plan(tmp_path: Path, tiny_model: Path) -> Plan:
    stages = {
        "robust": {
            "from": "broad",
            "mine": {**MINE, "refresh": True, "asynchronous": True},
            "epochs": 3,
            "steps": 6,
            "batch_size": 8,
        },
        "blend": {"soup": {"of": ["broad", "robust"]}},
        "broad": {"samples": {"title": 1, "cloze": 1}, "steps": 3, "batch_size": 8},
        "branch": {"from": "broad", "samples": {"generated": 1}, "steps": 2, "batch_size": 8, "lora": {"rank": 2}},
    }
    return parse_plan(
        raw_plan(
            tmp_path / "store", tiny_model, retriever={"base": str(tiny_model), "max_length": 48, "stages": stages}
        )
    )


def test_stages_come_from_their_parents_refresh_from_known_weights_and_are_found_the_next_time(
    ray_cluster: None, plan: Plan
) -> None:
    first = curriculum(plan)
    first.train()
    assert list(first.retrievers) == ["base", "robust", "blend", "broad", "branch"], "in the plan's order"
    assert list(first.rerankers) == ["base"]
    checkpoints = {c.digest: c for c in first.prepared.store.all(Checkpoint)}
    third = first.retrievers["robust"]
    second = checkpoints[third.meta["parent"]]
    one = checkpoints[second.meta["parent"]]
    assert one.meta["parent"] == first.retrievers["broad"].digest
    miners = [first.prepared.store.get(Samples, c.meta["samples"]).recipe["miners"] for c in (one, second, third)]
    broad = first.retrievers["broad"].meta["fingerprint"]
    # one epoch late: the second round trains on the first's negatives while the third's are mined
    assert miners == [[broad], [broad], [one.meta["fingerprint"]]]
    assert first.retrievers["branch"].meta["parent"] == first.retrievers["broad"].digest
    assert first.prepared.store.get(Adapter, first.retrievers["branch"].meta["adapter"]).files
    rates = [point["learning_rate"] for c in (one, second, third) for point in c.meta["curve"]]
    # one schedule over the rounds: six steps, one of warm-up
    assert rates == pytest.approx([0.0, 2e-5, 1.6e-5, 1.2e-5, 0.8e-5, 0.4e-5])
    for checkpoint in first.retrievers.values():
        open_encoder(checkpoint)
    assert list((Path(plan.store) / "tensorboard" / "t" / "retriever broad").glob("events*"))

    again = curriculum(plan)
    again.train()
    assert {c.digest for c in again.prepared.store.all(Checkpoint)} == set(checkpoints)
    assert {n: c.digest for n, c in again.retrievers.items()} == {n: c.digest for n, c in first.retrievers.items()}


def test_the_same_plan_trains_the_same_weights_in_another_store(
    ray_cluster: None, tmp_path: Path, tiny_model: Path
) -> None:
    stages = {"broad": {"samples": {"title": 1, "judged": 1}, "steps": 4, "batch_size": 8}}
    fingerprints = []
    for name in ("one", "two"):
        retriever = {"base": str(tiny_model), "max_length": 48, "stages": stages}
        trained = curriculum(parse_plan(raw_plan(tmp_path / name, tiny_model, retriever=retriever)))
        fingerprints.append(trained.checkpoint("retriever", "broad").meta["fingerprint"])
    assert fingerprints[0] == fingerprints[1]


def test_a_driver_killed_while_it_trains_goes_on_from_the_last_checkpoint_to_the_same_weights(
    tmp_path: Path, tiny_model: Path
) -> None:
    stage = {"samples": {"title": 1}, "steps": 300, "batch_size": 8, "save_every": 50}
    retriever = {"base": str(tiny_model), "max_length": 48, "stages": {"broad": stage}}
    plans = []
    for name in ("whole", "killed"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(raw_plan(tmp_path / name, tiny_model, retriever=retriever)))
        plans.append(path)
    command = [sys.executable, "-m", "jobs.train"]
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    with (tmp_path / "log").open("w") as log:
        victim = subprocess.Popen(
            [*command, str(plans[1])], cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        deadline = time.monotonic() + 300
        while not list(tmp_path.glob("killed/run/*/checkpoint_*/trainer_state.json")):
            assert victim.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()[-2000:]
            time.sleep(0.02)
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()
    (before,) = tmp_path.glob("killed/run/*")
    kept = {path.name for path in before.glob("checkpoint_*")}
    for path in plans:
        done = subprocess.run(
            [*command, str(path)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
    whole, killed = (curve_of(path) for path in plans)
    assert kept
    assert [point["step"] for point in killed["curve"]] == [float(step) for step in range(1, 301)]
    assert [p["loss"] for p in killed["curve"]] == pytest.approx([p["loss"] for p in whole["curve"]], abs=1e-6)
    assert killed["fingerprint"] == whole["fingerprint"]


def curve_of(path: Path) -> dict[str, Any]:
    store = Store(load_plan(path).store)
    (stage,) = [checkpoint for checkpoint in store.all(Checkpoint) if checkpoint.meta["stage"] == "broad"]
    return stage.meta
