"""What a run trains, and how it leaves it: plain model folders in float32, adapters merged."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixstage.models.checkpoint import Checkpoint
from mixstage.plan.losses import Trained
from mixstage.training.fitting.adapters import attach, merge, save_adapter
from mixstage.training.fitting.kinds import KINDS
from mixstage.training.fitting.masking import around
from mixstage.training.fitting.run import Fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """`trained` holds the weights that move: the whole, or a masked-language model around its encoder."""

    whole: Any  # SentenceTransformer, CrossEncoder or MultiVectorEncoder
    trained: Any
    adapter: Any  # PeftModel around a part of `whole`, or None

    @property
    def limit(self) -> int:
        return int(self.whole.max_seq_length or 512)  # tokens of a text


def open_learner(run: Fit, device: str | None = None) -> Learner:
    """The run's parent, ready to train; new weights (adapter, head of mlm) are drawn from torch's seed."""
    whole = open_model(run.trained, run.parent, device)
    part = whole.transformers_model
    trained = whole
    if run.stage.mlm:
        part = part.base_model
        trained = around(part)
    adapter = attach(part, run.stage.lora) if run.stage.lora else None
    return Learner(whole=whole, trained=trained, adapter=adapter)


def open_model(trained: Trained, checkpoint: Checkpoint, device: str | None = None) -> Any:
    """A SentenceTransformer, CrossEncoder or MultiVectorEncoder in float32: small steps vanish in bfloat16."""
    return KINDS[trained].model(str(checkpoint.local()), device=device, local_files_only=True).float()


def export(run: Fit, weights: Mapping[str, Any], folder: Path, adapter: Path | None = None) -> None:
    """Writes the model folder that `weights` (the state of a learner's `trained`) make.

    A second learner takes the weights, so that a merge never touches the one in training; its new weights are drawn
    aside of torch's generator, so that a run goes on as if nothing had been written.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        learner = open_learner(run, "cpu")
    learner.trained.load_state_dict(weights)
    if learner.adapter is not None:
        if adapter is not None:
            save_adapter(learner.adapter, adapter)
        merge(learner.adapter)
    learner.whole.save_pretrained(str(folder), create_model_card=False)
