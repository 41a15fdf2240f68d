"""Low-rank adapters: trained beside frozen weights, merged into them for export."""

from pathlib import Path
from typing import Any

from mixstage.errors import TrainingError
from mixstage.plan.stages import LoraPlan

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


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
