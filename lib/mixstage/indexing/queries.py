"""Vectors of queries: those of applications lie in the store, others are encoded when asked for."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from mixstage.cluster import run_tasks
from mixstage.corpus.documents import text_key
from mixstage.indexing.vectors import vectors_of
from mixstage.models.checkpoint import GOLDEN, open_encoder
from mixstage.stage_plan import Workers
from mixstage.store import Artifact


class QueryVectors:
    """Of one retriever."""

    def __init__(self, checkpoint: Artifact, embeddings: Sequence[Artifact], workers: Workers) -> None:
        """embeddings: of applications, by this retriever."""
        self.checkpoint, self.embeddings = checkpoint, embeddings
        self.workers = workers.model_copy(update={"workers": 1})

    def of(self, queries: Sequence[str]) -> np.ndarray:
        """(Q,) texts -> (Q, dim) float32, rows of unit length."""
        keys = [text_key(query) for query in queries]
        missing = [query for query, key in zip(queries, keys, strict=True) if key not in self.known]
        if missing:
            texts = list(dict.fromkeys(missing))
            (vectors,) = run_tasks(encode_queries, [(self.checkpoint, texts)], workers=self.workers)
            self.known.update(zip(map(text_key, texts), vectors, strict=True))
        dim = len(self.checkpoint.read_json(GOLDEN)[0])
        return np.array([self.known[key] for key in keys], dtype=np.float32).reshape(len(keys), dim)

    @cached_property
    def known(self) -> dict[bytes, np.ndarray]:
        """By `text_key`."""
        found: dict[bytes, np.ndarray] = {}
        for embedding in self.embeddings:
            table = embedding.read_checked("vectors/part-00000.parquet", ["key", "vector"])
            found.update(zip(table["key"].to_pylist(), vectors_of(table), strict=True))
        return found


def encode_queries(checkpoint: Artifact, texts: list[str]) -> np.ndarray:
    """What a task does: (Q, dim) float32."""
    return open_encoder(checkpoint).encode(texts, "query")
