"""Rerankers: pairs of query and document to one raw score each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mixstage.models.batching import budget_for, token_batches

_QUERIES_KEPT = 20_000  # of 20 tokens: 600 MB at 384 dimensions


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


class LateInteraction:
    """A sentence-transformers MultiVectorEncoder folder: the mean over the query's tokens of the best cosine to a token
    of the document (MaxSim; ColBERT, arXiv 2004.12832, with the mean of MeanMaxSim).

    Texts are read alone, so a call reads each distinct one once; queries are kept between calls.
    """

    def __init__(self, folder: Path) -> None:
        from sentence_transformers import MultiVectorEncoder

        self.model = MultiVectorEncoder(str(folder), local_files_only=True)
        self.model.eval()
        self.query_vectors: dict[str, np.ndarray] = {}

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
        if len(self.query_vectors) > _QUERIES_KEPT:
            self.query_vectors.clear()
        new = [query for query in dict.fromkeys(queries) if query not in self.query_vectors]
        self.query_vectors.update(zip(new, self._vectors(new, "query"), strict=True))
        scores = np.empty(len(queries), dtype=np.float32)
        pairs: dict[str, list[int]] = {}
        for number, document in enumerate(documents):
            pairs.setdefault(document, []).append(number)
        for numbers, document_vectors in zip(pairs.values(), self._vectors(list(pairs), "document"), strict=True):
            scores[numbers] = _mean_best([self.query_vectors[queries[number]] for number in numbers], document_vectors)
        return scores

    def _vectors(self, texts: list[str], task: str) -> list[np.ndarray]:
        """(tokens, dim) float32 of each text, rows of unit length."""
        import torch

        limit = int(self.model.max_seq_length or 512)
        budget = max(limit, budget_for(self.model.device.type))
        vectors: list[np.ndarray] = [np.empty(0)] * len(texts)
        encoded = self.model.tokenizer(texts, truncation=True, max_length=limit)["input_ids"] if texts else []
        with torch.inference_mode():
            for batch in token_batches([len(ids) for ids in encoded], budget):
                features = self.model.preprocess([texts[i] for i in batch], task=task)
                features = {k: v.to(self.model.device) if hasattr(v, "to") else v for k, v in features.items()}
                read = self.model(features, task=task)
                masks = read["attention_mask"].bool()
                words = read["token_embeddings"][masks].float().cpu().numpy()  # a GPU answers once a batch
                ends = np.cumsum(masks.sum(dim=1).cpu().numpy())
                for place, tokens in zip(batch, np.split(words, ends[:-1]), strict=True):
                    vectors[place] = tokens
        return vectors


def _mean_best(queries: list[np.ndarray], document: np.ndarray) -> np.ndarray:
    """(tokens, dim) of each query and of one document -> (queries,): one product for all, not one a pair."""
    lengths = np.array([len(query) for query in queries])
    best = (np.concatenate(queries) @ document.T).max(axis=1)
    return np.asarray(np.add.reduceat(best, np.cumsum(lengths) - lengths) / lengths)


def pair_lengths(tokenizer: Any, limit: int, queries: list[str], documents: list[str]) -> list[int]:
    """Tokens of every pair after truncation to `limit`."""
    if not queries:
        return []
    encoded = tokenizer(queries, documents, truncation=True, max_length=limit, return_attention_mask=False)
    return [len(ids) for ids in encoded["input_ids"]]
