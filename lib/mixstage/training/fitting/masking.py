"""Masked-language-model training of the encoder inside a retriever or reranker."""

from copy import deepcopy
from typing import Any

from mixstage.errors import TrainingError
from mixstage.store.store import digest_of


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
