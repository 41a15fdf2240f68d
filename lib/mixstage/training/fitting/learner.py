"""What a run trains, and how it leaves it: plain model folders in float32, low-rank adapters merged into them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixstage.errors import TrainingError
from mixstage.models.checkpoint import Checkpoint
from mixstage.plan.losses import Trained
from mixstage.plan.stages import LoraPlan
from mixstage.training.fitting.kinds import KINDS
from mixstage.training.fitting.masking import around
from mixstage.training.fitting.run import Fit

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


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


def attach(model: Any, plan: LoraPlan) -> Any:
    """Adds an adapter to a transformers model, in place, and freezes the rest; returns the PeftModel around it.

    What follows the encoder (a classifier) is not a target: it is trained whole and saved with the adapter. Raises
    TrainingError if no module has a name of `targets`.
    """
    from peft import LoraConfig, get_peft_model

    heads = _heads(model)
    settings: dict[str, Any] = {
        "r": plan.rank,
        "lora_alpha": plan.alpha,
        "lora_dropout": plan.dropout,
        "target_modules": plan.targets if isinstance(plan.targets, str) else list(plan.targets),
        "exclude_modules": rf"({'|'.join(heads)})(\..*)?" if heads else None,
        "modules_to_save": heads or None,
    }
    try:
        return get_peft_model(model, LoraConfig(**settings))
    except ValueError as error:
        raise TrainingError(f"lora.targets {plan.targets}: {error}") from None


def _heads(model: Any) -> list[str]:
    """Names of what follows the encoder; a bare encoder has none."""
    if model.base_model is model:
        return []
    parts = model.named_children()
    return [name for name, part in parts if part is not model.base_model and next(part.parameters(), None) is not None]


def save_adapter(adapter: Any, folder: Path) -> None:
    """Writes adapter_config.json and adapter_model.safetensors."""
    adapter.peft_config["default"].base_model_name_or_path = ""  # a path of this machine
    adapter.save_pretrained(str(folder), save_embedding_layers=False)
    for path in folder.iterdir():
        if path.name not in (_CONFIG, _WEIGHTS):
            path.unlink()


def merge(adapter: Any) -> None:
    """Adds the adapter to the weights that it stood beside, in place; nothing of it is left in the model."""
    adapter.merge_and_unload()
