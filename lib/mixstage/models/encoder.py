"""Encoders: texts to unit vectors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from mixstage.models.batching import budget_for, token_batches

Role = Literal["query", "document"]


class Encoder(Protocol):
    """Anything that embeds texts."""

    @property
    def dim(self) -> int: ...

    def encode(self, texts: Sequence[str], role: Role) -> np.ndarray:
        """(N,) texts -> (N, dim) float32, rows of unit length, in input order."""
        ...


class SentenceEncoder:
    """A sentence-transformers model folder. Half-precision forwards are returned as float32."""

    def __init__(self, folder: Path, prompts: dict[str, str] | None = None) -> None:
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(str(folder), local_files_only=True)
        self.model.eval()
        self.prompts = prompts or {}

    @property
    def dim(self) -> int:
        return int(self.model.get_embedding_dimension() or 0)

    def encode(self, texts: Sequence[str], role: Role) -> np.ndarray:
        import torch

        prompted = [self.prompts.get(role, "") + text for text in texts]
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        with torch.inference_mode():
            for batch in token_batches(self._lengths(prompted), budget_for(self.model.device.type)):
                features = self.model.preprocess([prompted[i] for i in batch])
                features = {k: v.to(self.model.device) if hasattr(v, "to") else v for k, v in features.items()}
                vectors[batch] = self.model(features)["sentence_embedding"].float().cpu().numpy()
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny))

    def _lengths(self, texts: list[str]) -> list[int]:
        return token_lengths(self.model.tokenizer, int(self.model.max_seq_length or 512), texts)


def token_lengths(tokenizer: Any, limit: int, *texts: list[str]) -> list[int]:
    """Tokens of every text (or pair of texts) after truncation to `limit`."""
    if not texts[0]:
        return []
    encoded = tokenizer(*texts, truncation=True, max_length=limit, return_attention_mask=False)
    return [len(ids) for ids in encoded["input_ids"]]
