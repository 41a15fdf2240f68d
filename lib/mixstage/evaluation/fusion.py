"""Fusion of a retriever's and a reranker's scores: the same arithmetic offline and in the server."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def mix_scores(retriever: Floats, reranker: Floats, weight: float, listed: NDArray[np.bool_]) -> Floats:
    """weight x normalised reranker + (1 - weight) x normalised retriever, (Q, D) float32.

    Each score is min-max normalised over the listed candidates of its query; a constant list becomes 0. Entries
    that are not listed are undefined. weight 1 returns the reranker's scores as they are: no rounding moves a rank.
    """
    if weight == 1:
        return reranker
    mixed = weight * _normalised(reranker, listed) + (1 - weight) * _normalised(retriever, listed)
    return mixed.astype(np.float32)


def _normalised(scores: Floats, listed: NDArray[np.bool_]) -> NDArray[np.float64]:
    wide = scores.astype(np.float64)
    low = np.where(listed, wide, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    high = np.where(listed, wide, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    span = high - low
    usable = np.isfinite(span) & (span > 0)
    return np.where(usable & listed, (wide - low) / np.where(usable, span, 1), 0.0)
