"""The Ray Train edge gives what plain Python gives, survives a killed worker, and measures beside the training."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

from mixstage.corpus.prepare import prepare
from mixstage.errors import TrainingError
from mixstage.models.checkpoint import open_unchecked
from mixstage.plan.load import parse_plan
from mixstage.plan.stages import TrainWorkers, ValidationPlan
from mixstage.progress import Progress
from mixstage.store.store import Store
from mixstage.training.fitting.fit import Silent, fit
from mixstage.training.fitting.run import Fit
from mixstage.training.launch import Launch, launch
from mixstage.training.validation import make_probe, validate
from mixstage.workspace import Workspace
from tests.training.conftest import rows_of

pytestmark = pytest.mark.slow
ONE = TrainWorkers(workers=1, cpus=1)
RunMaker = Callable[..., Fit]


def launched(run: Fit, store: Store, digest: str, **more: Any) -> Launch:
    return Launch(fit=run, store=store, digest=digest, **{"workers": ONE, **more})


@pytest.mark.parametrize("component", ["retriever", pytest.param("reranker", marks=pytest.mark.long)])
def test_one_ray_worker_trains_what_plain_python_trains(
    component: str, ray_cluster: None, store: Store, tmp_path: Path, make_run: RunMaker
) -> None:
    run = make_run(component, rows_of(negatives=2), steps=6)
    curve = fit(run, tmp_path, workers=1, listener=Silent())
    plain = load_file(tmp_path / "model/model.safetensors")
    before = load_file(run.parent.local() / "model.safetensors")
    assert max(np.abs(plain[name] - before[name]).max() for name in plain) > 1e-3, "training moved the model"
    with launch(launched(run, store, "d1"), Progress()) as trained:
        weights = load_file(trained.best / "model.safetensors")
        assert trained.best == trained.last and trained.steps == (6, 6) and trained.adapter is None
        assert [point["loss"] for point in trained.curve] == pytest.approx([p["loss"] for p in curve], abs=1e-6)
        open_unchecked(trained.best)  # settings are there
    assert max(np.abs(plain[name] - weights[name]).max() for name in plain) < 1e-6
    assert not list(Path(store.root, "run").iterdir()), "nothing of the run is left"


@pytest.mark.long
@pytest.mark.parametrize("workers", [2, (1, 2)])
def test_two_workers_train_one_model(
    workers: int | tuple[int, int], ray_cluster: None, store: Store, make_run: RunMaker
) -> None:
    run = make_run("retriever", rows_of(negatives=1), steps=4, lora={"rank": 2}, save_every=2)
    before = load_file(run.parent.local() / "model.safetensors")
    with launch(launched(run, store, "d2", workers=TrainWorkers(workers=workers, cpus=1)), Progress()) as trained:
        weights = load_file(trained.last / "model.safetensors")
        assert trained.adapter is not None and (trained.adapter / "adapter_model.safetensors").is_file()
    assert weights.keys() == before.keys()
    assert max(np.abs(weights[name] - before[name]).max() for name in weights) > 1e-4
    assert len(trained.curve) == 4


def workers_of_ray_train() -> list[psutil.Process]:
    """This process started Ray, so its workers descend from it."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if any("RayTrainWorker" in part for part in child.cmdline())]


def kill_a_worker_once(run_folder: Path, killed: list[int]) -> None:
    """Waits for the run's first checkpoint, then kills the worker that trains."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if list(run_folder.glob("checkpoint_*/trainer_state.json")):
            for process in workers_of_ray_train():
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)
            return
        time.sleep(0.02)


@pytest.mark.long
def test_a_run_whose_worker_is_killed_ends_like_one_whose_was_not(
    ray_cluster: None, store: Store, tmp_path: Path, make_run: RunMaker
) -> None:
    run = make_run("retriever", rows_of(64), epochs=40, save_every=40)  # 8 steps an epoch
    whole = fit(run, tmp_path, workers=1, listener=Silent())
    killed: list[int] = []
    folder = Path(store.root) / "run" / "retriever-d3"
    killer = threading.Thread(target=kill_a_worker_once, args=(folder, killed))
    killer.start()
    with launch(launched(run, store, "d3"), Progress()) as trained:
        killer.join()
        assert killed, "a worker was killed"
        assert [point["step"] for point in trained.curve] == [point["step"] for point in whole]
        assert [p["loss"] for p in trained.curve] == pytest.approx([p["loss"] for p in whole], abs=1e-6)


def test_a_loss_that_is_no_number_ends_the_run_with_one_error_and_without_a_retry(
    ray_cluster: None, store: Store, make_run: RunMaker
) -> None:
    run = make_run("reranker", rows_of(negatives=2), steps=60, learning_rate=1e30)
    with pytest.raises(TrainingError, match=r"reranker broad: the loss .*last good checkpoint: none yet"):  # noqa: SIM117
        with launch(launched(run, store, "d4"), Progress()):
            pass
    assert not list(Path(store.root).glob("checkpoint/*.partial"))


@pytest.mark.long
@pytest.mark.parametrize("component", ["retriever", "reranker"])
def test_every_checkpoint_is_measured_and_the_best_step_is_kept(
    component: str, ray_cluster: None, store: Store, make_run: RunMaker, tiny_model: Path
) -> None:
    settings = ValidationPlan(every=2, queries=10, documents=60, keep="both")
    plan = parse_plan(
        {
            "name": "t",
            "store": store.uri,
            "corpora": {"statutes": {"source": "sample://statutes", "shard_kib": 400}},
            "applications": {"drafting": {"corpus": "statutes", "source": "sample://drafting"}},
        }
    )
    prepared = prepare(Workspace(plan=plan, store=store, progress=Progress()))
    probe = make_probe(prepared, component, settings)  # type: ignore[arg-type]
    run = make_run(component, rows_of(negatives=2), steps=6, validation=settings.model_dump())
    with launch(launched(run, store, "d5", probe=probe), Progress()) as trained:
        assert [one["step"] for one in trained.measured] == [2, 4, 6]
        scores = {one["step"]: one["score"] for one in trained.measured}
        best = max(scores, key=lambda step: (scores[step], -step))
        assert trained.steps == (best, 6)
        for folder, step in ((trained.best, best), (trained.last, 6)):
            again = validate(folder, probe, component)  # type: ignore[arg-type]
            assert again["score"] == pytest.approx(scores[step], abs=1e-9)
            assert set(again) == {"drafting", "score"}
