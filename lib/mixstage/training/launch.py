"""The Ray Train edge: a fit as a TorchTrainer run that survives its workers and its driver.

The run is named by the recipe of what it makes, so whoever starts it again, after a killed driver or on another day,
takes up its last checkpoint: the very thing that Ray Train does with a name it knows. Checkpoints are measured on dev
by Ray tasks beside the training; the folder of the run goes when its model is published.
"""

import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import ray.train

from mixstage.cluster import join, require
from mixstage.errors import MixstageError, TrainingError
from mixstage.models.checkpoint import SETTINGS
from mixstage.plan.stages import TrainWorkers, ValidationPlan, Workers
from mixstage.progress import Progress
from mixstage.store.store import Store
from mixstage.training.fitting.fit import fit
from mixstage.training.fitting.run import Fit
from mixstage.training.meter import open_meter, shown
from mixstage.training.validation import Measured, Probe, choose_step, is_over, validate

_FINISHED = "finished.json"  # marks the last checkpoint of a run and holds its curve
_REPORTS = (
    "/ray/train/v2/_internal/execution/context.py"  # a logger that Ray Train names by its file, outside its level
)
_RETRIES = 3  # a worker may die so often; preempted nodes are not counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a run left; the folders are gone when the context ends."""

    best: Path  # model folder of the step that dev prefers; without validation the last one
    last: Path  # ... of the last step; equal to `best` where they are the same step
    adapter: Path | None
    curve: list[dict[str, float]]
    measured: list[dict[str, float]]  # step, score and each application's measure
    steps: tuple[int, int]  # of best and last


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A fit and where it runs."""

    fit: Fit
    store: Store  # its folder of runs holds the checkpoints
    digest: str  # of what it makes: a run of the same digest that was killed is taken up again
    workers: TrainWorkers
    probe: Probe | None = None  # what checkpoints are measured on
    validators: Workers = field(default_factory=Workers)  # what one measurement may take

    @property
    def name(self) -> str:
        return f"{self.fit.component}-{self.digest}"

    @property
    def together(self) -> int:
        """Workers that have to be there for it to start."""
        return self.workers.workers if isinstance(self.workers.workers, int) else self.workers.workers[0]

    @property
    def storage(self) -> str:
        return f"{self.store.root}/run"

    def trainer(self, meter: Any) -> Any:
        """A TorchTrainer. meter: an actor that takes the points of the loss curve."""
        from ray.train.torch import TorchConfig, TorchTrainer  # imports torch

        workers = self.workers
        return TorchTrainer(
            _work,  # type: ignore[arg-type]  # what it returns arrives in the result
            train_loop_config={
                "run": self.fit,
                "settings": self.fit.parent.settings,
                "meter": meter,
                "log_level": _log_level(),
            },
            torch_config=TorchConfig(backend="nccl" if workers.gpus else "gloo"),
            scaling_config=ray.train.ScalingConfig(
                num_workers=workers.workers,  # type: ignore[arg-type]  # a pair is what makes it elastic
                use_gpu=workers.gpus > 0,
                accelerator_type=workers.accelerator,
                resources_per_worker={"CPU": workers.cpus} | ({"GPU": workers.gpus} if workers.gpus else {}),
            ),
            run_config=ray.train.RunConfig(
                name=self.name,
                storage_path=self.storage,
                storage_filesystem=self.store.filesystem,
                logging_config=ray.train.LoggingConfig(log_level=_log_level()),  # type: ignore[call-arg]
                failure_config=ray.train.FailureConfig(max_failures=_RETRIES),
                checkpoint_config=ray.train.CheckpointConfig(  # measured ones are all kept: any may be the best
                    num_to_keep=None if self.probe is not None else 1
                ),
            ),
            validation_config=self._validation(),
        )

    def _validation(self) -> ray.train.ValidationConfig | None:
        if self.probe is None:
            return None
        return ray.train.ValidationConfig(
            fn=_Validate(self.store, self.probe.digest, self.fit.component),
            ray_remote_kwargs={"num_cpus": self.validators.cpus, "num_gpus": self.validators.gpus},
        )


@contextmanager
def launch(run: Launch, progress: Progress) -> Iterator[Trained]:
    """Trains, or goes on where a killed run of this digest stopped; what it left goes when the context ends.

    Raises what a worker raised if a user can act on it.
    """
    join()
    require(run.workers, together=run.together)
    run.store.filesystem.create_dir(run.storage, recursive=True)
    meter = open_meter()
    trainer = run.trainer(meter)
    with shown(meter, progress, run.fit.label):
        result = _fit(trainer, run.fit.label)
    with ExitStack() as stack:
        yield _read(stack, result, run.fit.label, run.fit.stage.validation)
    run.store.filesystem.delete_dir(f"{run.storage}/{run.name}")


def _log_level() -> str:
    """What the driver shows of Ray Train is what its workers print."""
    return logging.getLevelName(logging.getLogger("ray.train").getEffectiveLevel())


def _fit(trainer: Any, label: str) -> Any:
    try:
        result = trainer.fit()
    except ray.train.TrainingFailedError as error:
        failures = getattr(error, "worker_failures", {}).values()
        causes = [getattr(failure, "_base_exc", failure) for failure in failures]
        known = next((cause for cause in causes if isinstance(cause, MixstageError)), None)
        if known is None:
            raise
        raise known from None
    if isinstance(result.return_value, MixstageError):
        raise result.return_value
    if result.checkpoint is None:
        raise TrainingError(f"{label}: the run ended without a checkpoint; see the workers' output above")
    return result


def _read(stack: ExitStack, result: Any, label: str, validation: ValidationPlan | None) -> Trained:
    """Opens the checkpoints of a finished run and picks a step."""

    def opened(checkpoint: Any) -> Path:
        return Path(stack.enter_context(checkpoint.as_directory()))

    final = opened(result.checkpoint)
    curve = json.loads((final / _FINISHED).read_text())
    adapter = final / "adapter"
    both = {"adapter": adapter if adapter.is_dir() else None, "curve": curve}
    if validation is None:
        end = int(curve[-1]["step"])
        return Trained(best=final / "model", last=final / "model", measured=[], steps=(end, end), **both)
    reported = [(int(metrics["step"]), checkpoint, metrics) for checkpoint, metrics in result.best_checkpoints]
    scored = {step: (checkpoint, metrics) for step, checkpoint, metrics in reported if "score" in metrics}
    missing = sorted({step for step, _, _ in reported} - set(scored))
    if missing:
        raise TrainingError(f"{label}: the checkpoints of steps {missing} could not be measured; see the output above")
    measured = [Measured(step=step, score=metrics["score"]) for step, (_, metrics) in sorted(scored.items())]
    best, last = choose_step(measured, validation.patience)
    return Trained(
        best=opened(scored[best][0]) / "model",
        last=opened(scored[last][0]) / "model",
        measured=[{k: float(v) for k, v in scored[one.step][1].items()} for one in measured],
        steps=(best, last),
        **both,
    )


@dataclass(frozen=True, slots=True)
class _Validate:
    """What measures a checkpoint, as a Ray task."""

    store: Store
    probe: str
    component: Any

    def __call__(self, checkpoint: ray.train.Checkpoint, **_: Any) -> dict[str, float]:
        with checkpoint.as_directory() as folder:
            return validate(Path(folder) / "model", self.store.get(Probe, self.probe), self.component)


@dataclass(frozen=True, slots=True)
class _Report:
    """Hears a fit inside a worker: points to the driver, checkpoints to the run's folder."""

    run: Fit
    settings: dict[str, Any]
    meter: Any

    def on_step(self, point: dict[str, float]) -> None:
        self.meter.put.remote(point)

    def on_save(self, checkpoint: Path, step: int) -> bool:
        """Every worker brings its own random state; their folders become one."""
        checkpoint.mkdir(exist_ok=True)  # a worker that had nothing to write
        validation = self.run.stage.validation
        model = checkpoint / "model"
        if model.is_dir():
            (model / SETTINGS).write_text(json.dumps(self.settings))
        ray.train.report(
            {"step": step},
            checkpoint=ray.train.Checkpoint.from_directory(str(checkpoint)),
            validation=validation is not None,
        )
        return validation is not None and self._is_over(validation)

    def _is_over(self, validation: ValidationPlan) -> bool:
        """Whether patience ran out, by the scores so far. A step more or less changes nothing: see `choose_step`."""
        if validation.patience is None:
            return False
        mode = ray.train.CheckpointConsistencyMode.COMMITTED
        reported = ray.train.get_all_reported_checkpoints(consistency_mode=mode)
        known = takewhile(lambda metrics: "score" in metrics, (one.metrics for one in reported))
        measured = [Measured(step=int(metrics["step"]), score=metrics["score"]) for metrics in known]
        return is_over(measured, validation.patience)


def _work(config: dict[str, Any]) -> MixstageError | None:
    """What each worker runs. Every rank reports once at the end; rank 0 brings the model."""
    run: Fit = config["run"]
    context = ray.train.get_context()
    warnings.simplefilter("ignore", FutureWarning)  # of libraries about each other
    reports = [name for name in logging.root.manager.loggerDict if name.endswith(_REPORTS)]
    for name in ("sentence_transformers", *reports):
        logging.getLogger(name).setLevel(config["log_level"])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        before = ray.train.get_checkpoint()
        resume = None if before is None else Path(stack.enter_context(before.as_directory()))
        if resume is not None and (resume / _FINISHED).exists():
            return None  # the driver was killed between the end of the run and its publication
        report = _Report(run, config["settings"], config["meter"])
        try:
            curve = fit(run, folder, context.get_world_size(), resume=resume, listener=report)
        except MixstageError as error:
            if context.get_world_size() > 1:
                raise  # the other workers wait for this one
            return error  # raised, it would be tried again
        _finish(report, folder, curve, context.get_world_rank())
    return None


def _finish(report: _Report, folder: Path, curve: list[dict[str, float]], rank: int) -> None:
    shutil.rmtree(folder / "scratch", ignore_errors=True)
    metrics = {"step": int(curve[-1]["step"])}
    if rank > 0:
        ray.train.report(metrics)
        return
    (folder / "model" / SETTINGS).write_text(json.dumps(report.settings))
    (folder / _FINISHED).write_text(json.dumps(curve))
    final = ray.train.Checkpoint.from_directory(str(folder))
    ray.train.report(metrics, checkpoint=final)  # with validation the last step was saved and is measured already
