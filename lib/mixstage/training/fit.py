"""One training run of one stage: plain sentence-transformers, no Ray. `launch` puts it into Ray Train workers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from mixstage.plan import Component, StagePlan
from mixstage.store import Artifact

_LOG_EVERY = 10  # steps between two points of the loss curve


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What a worker needs to know; plain data and addresses, no models."""

    label: str  # "retriever broad"
    component: Component
    stage: StagePlan
    steps: int | None  # None: `epochs` passes
    epochs: int
    seed: int
    parent: Artifact  # checkpoint to start from
    samples: Artifact  # samples.parquet


def fit(run: Fit, folder: Path, workers: int) -> list[dict[str, float]]:
    """Trains from the parent on the samples and writes the model folder (in the main process of a group only).

    `workers` processes share each batch. Returns the loss curve: {"step", "loss", "learning_rate"} every 10 steps.
    """
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback

    torch.manual_seed(run.seed)
    frame = pl.DataFrame(run.samples.read_table("samples.parquet")).drop("source")
    build = _retriever if run.component == "retriever" else _reranker
    trainer = build(run, Dataset.from_dict(frame.to_dict(as_series=False)), str(folder / "scratch"), workers)
    trainer.remove_callback(PrinterCallback)  # prints what ours says
    trainer.train()
    if trainer.is_world_process_zero():
        trainer.model.save_pretrained(str(folder / "model"), create_model_card=False)
    return [
        {key: float(entry[key]) for key in ("step", "loss", "learning_rate")}
        for entry in trainer.state.log_history
        if "loss" in entry
    ]


def _retriever(run: Fit, samples: Any, scratch: str, workers: int) -> Any:
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

    model = SentenceTransformer(str(run.parent.local()), local_files_only=True)
    return SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(**_arguments(run, scratch, workers), batch_sampler="no_duplicates"),
        train_dataset=samples,
        loss=MultipleNegativesRankingLoss(model, gather_across_devices=workers > 1),
        callbacks=[_say_progress(run)],
    )


def _reranker(run: Fit, samples: Any, scratch: str, workers: int) -> Any:
    from sentence_transformers import CrossEncoder, CrossEncoderTrainer
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
    from sentence_transformers.cross_encoder.training_args import CrossEncoderTrainingArguments

    model = CrossEncoder(str(run.parent.local()), local_files_only=True)
    return CrossEncoderTrainer(
        model=model,
        args=CrossEncoderTrainingArguments(**_arguments(run, scratch, workers)),
        train_dataset=samples,
        loss=BinaryCrossEntropyLoss(model),
        callbacks=[_say_progress(run)],
    )


def _arguments(run: Fit, scratch: str, workers: int) -> dict[str, Any]:
    import torch

    return {
        "output_dir": scratch,
        "max_steps": run.steps or -1,
        "num_train_epochs": run.epochs,
        "per_device_train_batch_size": max(1, run.stage.batch_size // workers),
        "learning_rate": run.stage.learning_rate,
        "warmup_steps": run.stage.warmup,  # a share: below 1
        "seed": run.seed,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": torch.cuda.is_available(),
        "logging_steps": _LOG_EVERY,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        # A retriever's pooler head takes no part in mean pooling; in a cross-encoder every weight is used, and looking
        # for unused ones marks its classifier twice.
        "ddp_find_unused_parameters": run.component == "retriever",
    }


def _say_progress(run: Fit) -> Any:
    from transformers import TrainerCallback

    class SayProgress(TrainerCallback):
        """One line every few steps; Ray brings a worker's output to the driver."""

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if state.is_world_process_zero and logs and "loss" in logs:
                loss = float(logs["loss"])
                print(f"{run.label}: step {state.global_step} of {state.max_steps}, loss {loss:.4f}", flush=True)

    return SayProgress()
