"""What a run trains, and how it leaves it: plain model folders in float32, adapters merged.

Low-rank adapters: trained beside frozen weights, merged into them for export.

Masked-language-model training of the encoder inside a retriever or reranker.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixstage.errors import TrainingError
from mixstage.models.checkpoint import LATE, SETTINGS, Checkpoint
from mixstage.plan.stages import Component, LoraPlan
from mixstage.store.store import digest_of
from mixstage.training.fitting.run import Fit


def around(encoder: Any) -> Any:
    """A masked-language model whose encoder is this very module: training moves the weights where they are.

    The head is new, except its decoder, which is the encoder's table of input embeddings. Raises TrainingError if
    transformers knows no such model for the architecture.
    """
    from transformers import AutoModelForMaskedLM

    config = deepcopy(encoder.config)
    config.tie_word_embeddings = True
    build: Any = AutoModelForMaskedLM.from_config
    try:
        masked = build(config)
    except ValueError:
        raise TrainingError(f"mlm: {config.model_type} has no masked-language model; drop the stage") from None
    setattr(masked, masked.base_model_prefix, encoder)
    masked.tie_weights()
    assert masked.get_output_embeddings().weight is encoder.get_input_embeddings().weight
    return masked.to(encoder.device)


class MaskTokens:
    """Texts to masked batches. The mask of a batch follows from the seed and its rows alone.

    Upstream draws all masks from one generator, whose state is not in a checkpoint: a resumed run would hide others.
    """

    def __init__(self, tokenizer: Any, *, limit: int, mask: float, seed: int) -> None:
        """`limit`: tokens a text is cut to; `mask`: share of tokens that are hidden."""
        from transformers import DataCollatorForLanguageModeling

        if tokenizer.mask_token is None:
            raise TrainingError("mlm: the tokenizer has no mask token; drop the stage")
        self.tokenizer, self.limit, self.seed = tokenizer, limit, seed
        self.collate: Any = DataCollatorForLanguageModeling(tokenizer, mlm_probability=mask)

    def __call__(self, rows: list[dict[str, Any]]) -> Any:
        """input_ids, attention_mask and labels, each (B, tokens) int64; a label is -100 where nothing is hidden."""
        import torch

        texts = [row["text"] for row in rows]
        encoded = self.tokenizer(texts, truncation=True, max_length=self.limit, return_special_tokens_mask=True)
        seed = int(digest_of([self.seed, [row["row"] for row in rows]]), 16) % 2**63
        self.collate.generator = torch.Generator().manual_seed(seed)
        return self.collate([{key: value[n] for key, value in encoded.items()} for n in range(len(rows))])


_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def attach(model: Any, plan: LoraPlan) -> Any:
    """Adds an adapter to a transformers model, in place, and freezes the rest; returns the PeftModel around it.

    What follows the encoder (a classifier) is no target: it is trained whole and saved with the adapter. Raises
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
    whole = open_model(run.component, run.parent, device)
    part = whole.transformers_model
    trained = whole
    if run.stage.mlm:
        part = part.base_model
        trained = around(part)
    adapter = attach(part, run.stage.lora) if run.stage.lora else None
    return Learner(whole=whole, trained=trained, adapter=adapter)


def open_model(component: Component, checkpoint: Checkpoint, device: str | None = None) -> Any:
    """A SentenceTransformer, CrossEncoder or MultiVectorEncoder in float32: small steps vanish in bfloat16."""
    from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer

    kind: Any = SentenceTransformer if component == "retriever" else CrossEncoder
    if checkpoint.read_json(SETTINGS)["kind"] == LATE:
        kind = MultiVectorEncoder
    return kind(str(checkpoint.local()), device=device, local_files_only=True).float()


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
