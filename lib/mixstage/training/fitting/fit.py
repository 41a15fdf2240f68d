"""One training run of one stage: plain sentence-transformers, no Ray. `launch` puts it into Ray Train workers."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mixstage.errors import TrainingError
from mixstage.training.fitting.batches import Batches
from mixstage.training.fitting.kinds import KINDS, MASKED, TrainedKind
from mixstage.training.fitting.learner import Learner, export, open_learner, open_model
from mixstage.training.fitting.losses import open_loss
from mixstage.training.fitting.masking import MaskTokens
from mixstage.training.fitting.rows import most_negatives, read_rows
from mixstage.training.fitting.run import Fit, Listener, Silent
from mixstage.training.fitting.trainer import Course, step_of, watch

__all__ = ["Fit", "Listener", "Silent", "fit"]


def fit(
    run: Fit, folder: Path, workers: int, *, resume: Path | None = None, listener: Listener
) -> list[dict[str, float]]:
    """Trains from the parent on the samples; `workers` processes share each batch.

    The main process leaves `folder/model`, and with LoRA `folder/adapter`; checkpoints stand in `folder/scratch`
    meanwhile. `resume`: such a checkpoint; the run goes on from it as if it had never stopped. Returns the loss curve
    from step 1: step, steps, loss, learning_rate, grad_norm, samples_per_second. Raises TrainingError for a loss that
    is not a number, too little memory, or samples that do not fit the loss; then no model is left.
    """
    import torch

    torch.set_num_threads(run.threads)
    torch.manual_seed(run.seed)
    size = _batch_of_worker(run, workers)
    batches = Batches(
        read_rows(run, size * workers),
        size=size,
        workers=workers,
        distinct=run.in_batch,
        seed=run.seed,
        label=run.label,
    )
    with _memory_explained(run):
        trainer = _trainer(run, folder / "scratch", batches, listener)
        assert trainer.args.world_size == workers
        if resume is None or not trainer.restore(resume):
            with _curves(run, trainer, resume):
                trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
        if trainer.is_world_process_zero():
            export(run, trainer.model.state_dict(), folder / "scratch" / "model", folder / "adapter")
            (folder / "scratch" / "model").rename(folder / "model")  # whole or not at all
    curve: list[dict[str, float]] = trainer.curve()
    return curve


def _batch_of_worker(run: Fit, workers: int) -> int:
    """Rows of one forward pass in one worker."""
    stage = run.stage
    size, rest = divmod(stage.batch_size, workers * stage.accumulate)
    if rest and not run.elastic:
        raise TrainingError(
            f"{run.label}: batch_size {stage.batch_size} can't be shared by {workers} workers x {stage.accumulate} "
            f"parts (accumulate): make it a multiple of {workers * stage.accumulate}"
        )
    if size < 2 and run.in_batch:
        raise TrainingError(
            f"{run.label}: batch_size {stage.batch_size} leaves {workers} workers x {stage.accumulate} parts "
            f"(accumulate) {size} row each, and {run.loss} needs 2: raise batch_size or lower accumulate"
        )
    return size


def _trainer(run: Fit, scratch: Path, batches: Batches, listener: Listener) -> Any:
    from transformers import PrinterCallback

    learner = open_learner(run)
    if run.stage.gradient_checkpointing:
        learner.whole.transformers_model.activation_checkpointing_enable({"use_reentrant": False})
    kind = MASKED if run.stage.mlm else KINDS[run.trained]
    upstream = kind.trainer.load()
    trainer: Any = type(upstream.__name__, (Course, upstream), {})(
        model=learner.trained,
        args=kind.arguments(**_arguments(run, kind, str(scratch), batches.batch_size)),
        **_lesson(run, learner, batches),
    )
    trainer.run, trainer.batches, trainer.listener = run, batches, listener
    # Masked-language models take the count of hidden tokens and average without it: their loss would then be multiplied
    # by the number of workers and of parts.
    trainer.model_accepts_loss_kwargs = False
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(watch(trainer))
    return trainer


def _lesson(run: Fit, learner: Learner, batches: Batches) -> dict[str, Any]:
    """What the trainer learns from: a loss, or masked texts for the model's own loss."""
    if run.stage.mlm:
        mask = MaskTokens(learner.whole.tokenizer, limit=learner.limit, mask=run.stage.mlm.mask, seed=run.seed)
        return {"data_collator": mask}
    guide = None if run.guide is None else open_model("bi_encoder", run.guide).eval().requires_grad_(False)
    negatives, workers = most_negatives(batches.groups), batches.workers
    loss = open_loss(run.trained, run.stage.loss, learner.whole, workers=workers, negatives=negatives, guide=guide)
    return {"loss": loss}


def _arguments(run: Fit, kind: TrainedKind, scratch: str, size: int) -> dict[str, Any]:
    import torch

    stage, gpu = run.stage, torch.cuda.is_available()
    if stage.precision == "float16" and not gpu:
        raise TrainingError(f"{run.label}: precision float16 needs a GPU: set auto, bfloat16 or float32")
    return {
        "output_dir": scratch,
        "max_steps": run.steps or -1,
        "num_train_epochs": run.epochs,
        "per_device_train_batch_size": size,
        "gradient_accumulation_steps": stage.accumulate,
        "learning_rate": stage.learning_rate,
        "weight_decay": stage.weight_decay,
        "max_grad_norm": stage.max_grad_norm,
        "seed": run.seed,
        "use_cpu": not gpu,
        "bf16": stage.precision == "bfloat16" or (stage.precision == "auto" and gpu),
        "fp16": stage.precision == "float16",
        "logging_steps": run.log_every,
        "logging_nan_inf_filter": False,  # would hide what ends a run
        "save_strategy": "steps",
        "save_steps": stage.validation.every if stage.validation else stage.save_every,
        "report_to": _reports(run),
        "run_name": run.run_name or run.label,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "dataloader_drop_last": True,
        "ddp_find_unused_parameters": kind.unused_weights,
        "ddp_broadcast_buffers": False,
    }


def _reports(run: Fit) -> list[str]:
    """What the trainer reports to by itself; TensorBoard gets its folder in `_curves`."""
    names = [name for name in run.report_to if name != "tensorboard"]
    for name in names:
        if find_spec(name) is None:
            raise TrainingError(f"{run.label}: report_to {name}: not installed on a worker; pip install {name}")
    return names


@contextmanager
def _curves(run: Fit, trainer: Any, resume: Path | None) -> Iterator[None]:
    """Event files in `run.curves`; points that a killed run wrote after its last checkpoint are marked as void."""
    if run.curves is None or "tensorboard" not in run.report_to or not trainer.is_world_process_zero():
        yield
        return
    from tensorboardX import SummaryWriter  # type: ignore[import-untyped]
    from transformers.integrations.integration_utils import TensorBoardCallback

    void = None if resume is None else step_of(resume) + 1
    writer = SummaryWriter(run.curves, purge_step=void)
    trainer.add_callback(TensorBoardCallback(writer))  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        writer.close()


@contextmanager
def _memory_explained(run: Fit) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error)
        if not isinstance(error, MemoryError) and "out of memory" not in text and "can't allocate memory" not in text:
            raise
        stage = run.stage
        raise TrainingError(
            f"{run.label}: out of memory with batch_size {stage.batch_size}, accumulate {stage.accumulate}, "
            f"loss.cached {stage.loss.cached}: raise accumulate or workers, set loss.cached (infonce keeps all its "
            "negatives) or gradient_checkpointing, or lower max_length or batch_size; it said: "
            f"{text.partition(chr(10))[0]}"
        ) from error
