"""The Ray Train edge: a fit as a TorchTrainer run of N workers, its model brought back as a local folder."""

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray.train

from mixstage.plan import Workers
from mixstage.store import Store
from mixstage.training.fit import Fit, fit


@contextmanager
def launch(run: Fit, store: Store, workers: Workers) -> Iterator[tuple[Path, list[dict[str, float]]]]:
    """Yields the trained model's folder and the loss curve; both are gone afterwards.

    Every attempt has a name of its own: a name used twice would make Ray Train take up the old run silently.
    """
    from ray.train.torch import TorchConfig, TorchTrainer  # imports torch

    name = f"{run.component}-{uuid.uuid4().hex[:12]}"
    storage = f"{store.root}/run"
    store.filesystem.create_dir(storage, recursive=True)
    trainer = TorchTrainer(
        _work,
        train_loop_config={"run": run},
        torch_config=TorchConfig(backend="nccl" if workers.gpus else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=workers.workers,
            use_gpu=workers.gpus > 0,
            resources_per_worker={"CPU": workers.cpus} | ({"GPU": workers.gpus} if workers.gpus else {}),
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=storage,
            storage_filesystem=store.filesystem,
            logging_config=ray.train.LoggingConfig(log_level="WARNING"),  # type: ignore[call-arg]
            failure_config=ray.train.FailureConfig(max_failures=1),
        ),
    )
    try:
        result = trainer.fit()
        assert result.checkpoint is not None and result.metrics is not None
        with result.checkpoint.as_directory() as folder:
            yield Path(folder), result.metrics["curve"]
    finally:
        store.filesystem.delete_dir_contents(f"{storage}/{name}", missing_dir_ok=True)
        store.filesystem.delete_dir(f"{storage}/{name}")


def _work(config: dict[str, Any]) -> None:
    """What each worker runs. Every rank reports once; rank 0 brings the model."""
    context = ray.train.get_context()
    with tempfile.TemporaryDirectory() as scratch:
        curve = fit(config["run"], Path(scratch), context.get_world_size())
        metrics = {"curve": curve}
        if context.get_world_rank() == 0:
            model = str(Path(scratch) / "model")
            ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(model))
        else:
            ray.train.report(metrics)
