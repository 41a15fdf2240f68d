"""Batches of equal cost: similar lengths together, as many as fit a token budget.

Padding is what unsorted batches pay for; on CPU, sorted batches of 1,000-2,000 tokens were 3-4 times faster than
unsorted batches of 32 texts.
"""

from collections.abc import Iterator, Sequence

import numpy as np

CPU_BUDGET = 2048  # tokens a forward pass, padding included
GPU_BUDGET = 32768


def token_batches(lengths: Sequence[int] | np.ndarray, budget: int) -> Iterator[np.ndarray]:
    """Index arrays (int64) that together cover range(len(lengths)), longest first.

    Each batch costs its longest length times its size, at most `budget`; a text longer than the budget stands alone.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        size = max(1, budget // longest)
        yield order[start : start + size]
        start += size


def budget_for(device: str) -> int:
    """Tokens a forward pass on a torch device type ("cpu", "cuda", ...)."""
    return CPU_BUDGET if device == "cpu" else GPU_BUDGET
