"""What a training run is: plain data that travels to workers, and who hears of its steps."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mixstage.models.checkpoint import Checkpoint
from mixstage.models.kinds import LATE
from mixstage.plan.losses import Trained, find_loss, losses_of
from mixstage.plan.stages import Component, StagePlan
from mixstage.training.artifacts import Samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What a worker needs to know; plain data and addresses, no models."""

    label: str  # "retriever broad": the head of every message
    component: Component
    stage: StagePlan
    steps: int | None  # optimiser steps of this run; None: `epochs` passes
    epochs: int
    seed: int
    parent: Checkpoint  # checkpoint to start from
    samples: Samples  # samples.parquet: anchor, positive, negatives, scores, source; mlm: text
    guide: Checkpoint | None = None  # retriever checkpoint that masks false negatives
    first_step: int = 0  # steps of earlier rounds of the same stage
    schedule_steps: int | None = None  # steps of the learning-rate schedule over all rounds; None: this run's own
    threads: int = 1  # of torch, a worker: sums of floats depend on it
    report_to: tuple[str, ...] = ()  # "tensorboard", "mlflow", "wandb"
    log_every: int = 10  # steps between two points of the loss curve
    curves: str | None = None  # folder of TensorBoard event files
    run_name: str | None = None  # for mlflow and wandb; None: the label
    elastic: bool = False  # workers come and go: a batch that they can't share evenly loses the rest

    @property
    def trained(self) -> Trained:
        """What is trained: of a retriever's or a reranker's architectures."""
        if self.component == "retriever":
            return "bi_encoder"
        kind = self.parent.settings["kind"]
        return "late_interaction" if kind == LATE else "cross_encoder"

    @property
    def loss(self) -> str:
        """The loss's name, with the default of what is trained filled in."""
        return self.stage.loss.name or losses_of(self.trained)[0]

    @property
    def in_batch(self) -> bool:
        """Whether other rows of a batch are negatives: no text may stand twice in a step."""
        return not self.stage.mlm and find_loss(self.loss).in_batch


class Listener(Protocol):
    """Who hears of a run while it goes on. An exception of either method ends the run and is passed on as it is."""

    def on_step(self, point: dict[str, float]) -> None:
        """A logged step, in the main process: step, steps (in all), loss, learning_rate, grad_norm and
        samples_per_second (of one worker, since the point before)."""
        ...

    def on_save(self, checkpoint: Path, step: int) -> bool:
        """A checkpoint was written under folder/scratch; on every rank. True ends the training after this step.

        The checkpoint stays until the next one is written. With `stage.validation` it holds `model/`, the model
        folder of that step; only the main process may rely on it.
        """
        ...


class Silent:
    """Hears everything and does nothing."""

    def on_step(self, point: dict[str, float]) -> None: ...

    def on_save(self, checkpoint: Path, step: int) -> bool:
        return False
