"""The FAISS files of a generation, or some of them, searched as one."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mixstage.indexing.faiss_shard import FaissShard
from mixstage.indexing.scoring import Found, merge_found
from mixstage.plan import IndexPlan
from mixstage.store import Artifact


class FaissFiles:
    """Neighbouring files. Rows are those of the corpus."""

    def __init__(self, shards: Sequence[FaissShard]) -> None:
        self.shards = shards

    @classmethod
    def open(cls, generation: Artifact, shards: Sequence[dict[str, Any]] | None = None) -> "FaissFiles":
        """From this machine's disk. shards: some of the generation's `meta`, to fetch and open no others."""
        settings = IndexPlan.model_validate(generation.meta["index"])
        if shards is None:
            folder, shards = generation.local(), generation.meta["shards"]
        else:
            folder = generation.local([name for shard in shards for name in (shard["name"], shard["vectors"]) if name])
        return cls([FaissShard.open(folder, shard, settings) for shard in shards])

    def search(self, vectors: np.ndarray, k: int, allowed: np.ndarray | None = None) -> Found:
        """(Q, dim) float32 -> scores (Q, k) float32 descending, rows (Q, k) int64, -1 for none.

        allowed: (rows of these files,) bool.
        """
        return merge_found([shard.search(vectors, k, self._own(shard, allowed)) for shard in self.shards], k)

    def _own(self, shard: FaissShard, allowed: np.ndarray | None) -> np.ndarray | None:
        start = shard.start - self.shards[0].start
        return None if allowed is None else allowed[start : start + shard.size]

    def score(self, vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(Q, dim), (Q, P) rows -> (Q, P) float32 inner products with what the files hold; NaN for rows of others."""
        scores = np.full(rows.shape, np.nan, dtype=np.float32)
        for shard in self.shards:
            inside = (rows >= shard.start) & (rows < shard.start + shard.size)
            found = shard.score(vectors, np.where(inside, rows - shard.start, -1))
            scores = np.where(inside, found, scores)
        return scores
