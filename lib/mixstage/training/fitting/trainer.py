"""transformers' Trainer as every run uses it: whole state in a checkpoint, one schedule over rounds, full points."""

import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

from mixstage.errors import TrainingError
from mixstage.training.fitting.batches import Batches
from mixstage.training.fitting.learner import export
from mixstage.training.fitting.run import Fit, Listener

STATE, TRAINER_STATE = "state.safetensors", "trainer_state.json"
POINT = ("step", "loss", "learning_rate", "grad_norm", "samples_per_second")


def rate(step: int, total: int, warmup: float) -> float:
    """Share of the full learning rate that step `step` (from 0) of `total` trains with: up, then down to 0."""
    rise = math.ceil(total * warmup)
    return step / rise if step < rise else max(0.0, (total - step) / max(1, total - rise))


def step_of(checkpoint: Path) -> int:
    """Optimiser steps done when it was written."""
    return int(json.loads((checkpoint / TRAINER_STATE).read_text())["global_step"])


class Course:
    """What is ours in a trainer; mixed in before one of transformers' or sentence-transformers'.

    It stands without a base because that one may be imported inside functions only.
    """

    run: Fit
    listener: Listener
    batches: Batches
    written: int | None = None  # step of the last checkpoint
    good: int | None = None  # the same, once a step from there had a loss that is a number
    seen: int = 0  # samples of this worker since the last point
    since: float = 0.0

    # What the trainer brings.
    args: Any
    model: Any
    state: Any
    optimizer: Any
    lr_scheduler: Any
    accelerator: Any
    data_collator: Any

    def get_train_dataloader(self) -> Any:
        from torch.utils.data import ConcatDataset, DataLoader

        self.since = time.monotonic()
        rows: Any = ConcatDataset(self.batches.groups)
        return self.accelerator.prepare(DataLoader(rows, batch_sampler=self.batches, collate_fn=self.data_collator))

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Warm-up and linear decay over all rounds of a stage, of which this run may be a later one."""
        from torch.optim.lr_scheduler import LambdaLR

        first = self.run.first_step
        total = self.run.schedule_steps or first + num_training_steps
        self.lr_scheduler = LambdaLR(
            optimizer or self.optimizer, lambda step: rate(first + step, total, self.run.stage.warmup)
        )
        return self.lr_scheduler

    def training_step(self, *inputs: Any, **options: Any) -> Any:
        loss = super().training_step(*inputs, **options)  # type: ignore[misc]
        self.seen += self.batches.batch_size
        if not loss.isfinite():
            good = "none yet" if self.good is None else f"step {self.good}"
            raise TrainingError(
                f"{self.run.label}: the loss of step {self.state.global_step + 1} is {loss.item()}; last good "
                f"checkpoint: {good}. Lower learning_rate ({self.run.stage.learning_rate:g}) or set precision: float32"
            )
        self.good = self.written
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds what a point lacks before TensorBoard and others see it."""
        if "loss" not in logs:
            return
        now = time.monotonic()
        speed = self.seen / max(now - self.since, 1e-9)
        self.seen, self.since = 0, now
        super().log(logs | {"samples_per_second": speed}, start_time)  # type: ignore[misc]
        if self.state.is_world_process_zero:
            self.listener.on_step(self._point(self.state.log_history[-1]))

    def curve(self) -> list[dict[str, float]]:
        """Every point since step 1; a checkpoint brings those before it."""
        return [self._point(entry) for entry in self.state.log_history]

    def _point(self, entry: dict[str, float]) -> dict[str, float]:
        return {"steps": float(self.state.max_steps)} | {key: float(entry[key]) for key in POINT}

    def _save(self, output_dir: str, state_dict: Any = None) -> None:
        """Weights as they are in training: adapters apart, tied tensors once. Upstream writes a folder to be opened as
        a model of its own, which knows neither."""
        from safetensors.torch import save_model

        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_model(self.model, str(folder / STATE))
        if self.run.stage.validation:
            export(self.run, self.model.state_dict(), folder / "model")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        from safetensors.torch import load_model

        load_model(self.model, Path(resume_from_checkpoint) / STATE)
        self.written = step_of(Path(resume_from_checkpoint))

    def restore(self, checkpoint: Path) -> bool:
        """Takes up a checkpoint of a finished training; False if steps are left. Upstream would train one more."""
        from transformers import TrainerState

        state: Any = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE))
        if state.global_step < state.max_steps:
            return False
        self._load_from_checkpoint(str(checkpoint))
        self.state = state
        return True

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """None: exports have no model card."""


def watch(trainer: Any) -> Any:
    """The callback that tells the listener of checkpoints and the batches of epochs."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            # Upstream's own call stops short where batches are both skipped, after a resume, and shared among workers:
            # they would be those of the first epoch.
            trainer.batches.set_epoch(int(state.epoch or 0))

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            last = state.global_step >= state.max_steps
            control.should_save = control.should_save and (not last or trainer.run.stage.validation is not None)
            # No average of the curve spans a checkpoint: the half before it would be lost with the process.
            control.should_log = control.should_log or control.should_save or last

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            trainer.written = state.global_step
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            stop = trainer.listener.on_save(checkpoint, state.global_step)
            control.should_training_stop = control.should_training_stop or _anyone(trainer, stop)
            for older in set(checkpoint.parent.glob("checkpoint-*")) - {checkpoint}:
                shutil.rmtree(older, ignore_errors=True)  # upstream deletes the main process's only

    return Watch()


def _anyone(trainer: Any, stop: bool) -> bool:
    """True in every worker if one says so: a worker that stops alone leaves the others waiting for its gradients."""
    import torch

    flag = torch.tensor([float(stop)], device=trainer.args.device)
    return bool(trainer.accelerator.gather(flag).any())
