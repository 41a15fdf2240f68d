"""Scores as other APIs promise them: between 0 and 1, best first."""

from collections.abc import Sequence

import numpy as np

from mixstage.composition import Composition


def sigmoid(logit: float) -> float:
    """1 / (1 + e^-x) in float64, without overflow on either side."""
    return float(np.exp(-np.logaddexp(0, -logit)))


def ranked(logits: Sequence[float], *, raw: bool) -> list[tuple[int, float]]:
    """(index, score) by (logit desc, index asc); raw: scores are the logits, else their sigmoids.

    Ordered by logits, because sigmoids of distinct large ones may be equal.
    """
    order = sorted(range(len(logits)), key=lambda index: -logits[index])  # stable: equal ones stay in input order
    return [(index, logits[index] if raw else sigmoid(logits[index])) for index in order]


def relevance(score: float, composition: Composition) -> float:
    """A hit's score in [0, 1], in the order of the hits; a threshold on it holds for one composition only.

    The reranker alone: the sigmoid of its logit. BM25: x / (1 + x). A cosine, a mix and a sum of reciprocal ranks are
    in the range already, but for cosines below 0 and weighted fusions above 1, which are cut.
    """
    if composition.pairs and composition.mix == 1:
        return sigmoid(score)
    if composition.pairs == 0 and composition.retriever == "bm25":
        return max(score, 0.0) / (1 + max(score, 0.0))
    return min(max(score, 0.0), 1.0)
