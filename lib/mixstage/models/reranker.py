"""Rerankers: pairs of query and document to one raw score each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mixstage.models.batching import budget_for, token_batches


class Reranker(Protocol):
    """Anything that scores pairs, each by itself (pointwise)."""

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
        """(N,) queries, (N,) documents -> (N,) float32 raw logits, higher is better, in input order.

        Raw, because a float32 sigmoid maps distinct logits to equal probabilities at the head of a list.
        """
        ...


class PairClassifier:
    """A sentence-transformers CrossEncoder folder with one output."""

    def __init__(self, folder: Path) -> None:
        from sentence_transformers import CrossEncoder

        self.model = CrossEncoder(str(folder), local_files_only=True)
        self.model.eval()

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
        import torch

        lengths = pair_lengths(self.model.tokenizer, self.model.max_seq_length or 512, list(queries), list(documents))
        scores = np.empty(len(lengths), dtype=np.float32)
        with torch.inference_mode():
            for batch in token_batches(lengths, budget_for(self.model.device.type)):
                features = self.model.preprocess([(queries[i], documents[i]) for i in batch])
                features = {k: v.to(self.model.device) if hasattr(v, "to") else v for k, v in features.items()}
                scores[batch] = self.model(features)["scores"].float().reshape(-1).cpu().numpy()
        return scores


def pair_lengths(tokenizer: Any, limit: int, queries: list[str], documents: list[str]) -> list[int]:
    """Tokens of every pair after truncation to `limit`."""
    if not queries:
        return []
    encoded = tokenizer(queries, documents, truncation=True, max_length=limit, return_attention_mask=False)
    return [len(ids) for ids in encoded["input_ids"]]
