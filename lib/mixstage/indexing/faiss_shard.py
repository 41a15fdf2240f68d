"""One FAISS file of a generation: made from stored vectors by a factory string, searched, scored again."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mixstage.errors import PlanError
from mixstage.indexing.scoring import Found, exact_scores, find_exact, sort_found
from mixstage.plan import IndexPlan


class FaissShard:
    """Rows `start` to `start + size` of a corpus.

    stored: (rows, dim) vectors to score candidates with, from a file that is mapped, not read; None: the index's own
    scores are what counts.
    """

    def __init__(self, index: Any, start: int, settings: IndexPlan, stored: np.ndarray | None) -> None:
        self.index, self.start, self.settings, self.stored = index, start, settings, stored
        self.size = int(index.ntotal)

    @classmethod
    def open(cls, folder: Path, shard: dict[str, Any], settings: IndexPlan) -> "FaissShard":
        import faiss

        path = str(folder / shard["name"])
        # mapped: replicas of one machine share the pages, and what is not searched is not read
        index = faiss.read_index_binary(path) if is_binary(settings) else faiss.read_index(path, faiss.IO_FLAG_MMAP_IFC)
        if settings.search:
            _set_parameters(index, settings)
        stored = np.load(folder / shard["vectors"], mmap_mode="r") if settings.rescore else None
        return cls(index, shard["start"], settings, stored)

    def search(self, queries: np.ndarray, k: int) -> Found:
        """(Q, dim) float32 -> scores (Q, k') float32 descending, rows (Q, k') int64 of the corpus, -1 for none."""
        k = min(k, self.size)
        if is_exact(self.settings):
            scores, rows = find_exact(self._nearest, self.score, queries, k)
        else:
            scores, rows = self._nearest(queries, k * (self.settings.rescore or 1))
            if self.stored is not None:
                scores = self.score(queries, rows)
            scores, rows = sort_found(scores.astype(np.float32), rows, k)
        return scores, np.where(rows < 0, -1, rows + self.start)

    def _nearest(self, queries: np.ndarray, k: int) -> Found:
        scores, rows = self.index.search(_as_indexed(queries, self.settings), min(k, self.size))
        return scores, rows

    def score(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(Q, dim) float32, (Q, P) rows of this shard -> (Q, P) float32 on the scale of `search`, -inf for row -1."""
        if self.stored is None:
            queries = _as_indexed(queries, self.settings)
        return exact_scores(queries, self.vectors, rows)

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """(N,) rows of this shard -> (N, dim) float32: the stored vectors, else what the index makes of its codes."""
        if self.stored is not None:
            return np.asarray(self.stored[rows], dtype=np.float32)
        import faiss

        clustered = faiss.try_extract_index_ivf(self.index)
        if clustered is not None:
            clustered.make_direct_map()  # once: where each row's code lies
        return np.asarray(self.index.reconstruct_batch(np.ascontiguousarray(rows)))


def train_index(vectors: np.ndarray, settings: IndexPlan) -> Any:
    """An empty index by the factory, trained if it needs to be. vectors: (N, dim) float32, a sample.

    Raises PlanError for a factory that FAISS does not know or can't train on so few vectors, and for search
    parameters that it does not have.
    """
    import faiss

    given = _as_indexed(vectors, settings)
    dim = settings.dims or vectors.shape[1]
    make: Any = faiss.index_binary_factory if is_binary(settings) else faiss.index_factory
    metric = () if is_binary(settings) else (faiss.METRIC_INNER_PRODUCT,)
    try:
        index = make(dim, settings.factory, *metric)
        if not index.is_trained:
            index.train(given)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise PlanError(
            f"index.factory {settings.factory!r} over {len(vectors)} vectors of {dim} dimensions: {reason}; "
            "'Flat' always works"
        ) from None
    if settings.search:
        _set_parameters(index, settings)  # refused now rather than after all shards are filled
    return index


def fill(index: Any, parts: Iterable[np.ndarray], settings: IndexPlan) -> None:
    """Adds (N, dim) float32 vectors, part by part."""
    for part in parts:
        index.add(_as_indexed(part, settings))


def write(index: Any, path: Path, settings: IndexPlan) -> None:
    import faiss

    (faiss.write_index_binary if is_binary(settings) else faiss.write_index)(index, str(path))


def copy_of(path: Path, settings: IndexPlan) -> Any:
    import faiss

    return (faiss.read_index_binary if is_binary(settings) else faiss.read_index)(str(path))


def is_binary(settings: IndexPlan) -> bool:
    return settings.factory.startswith("B")


def is_exact(settings: IndexPlan) -> bool:
    """Whether the index holds the vectors as they are and looks at all of them."""
    return settings.factory == "Flat" and settings.dims is None


def _as_indexed(vectors: np.ndarray, settings: IndexPlan) -> np.ndarray:
    """What the index is given: unit vectors of the kept dimensions, or their signs, eight a byte."""
    if settings.dims is not None:
        vectors = vectors[:, : settings.dims]
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    if is_binary(settings):
        return np.packbits(vectors > 0, axis=1)
    return np.ascontiguousarray(vectors, dtype=np.float32)


def _set_parameters(index: Any, settings: IndexPlan) -> None:
    import faiss

    try:
        if is_binary(settings):
            for part in settings.search.split(","):
                name, _, value = part.partition("=")
                target = index.hnsw if name == "efSearch" else index
                setattr(target, name, type(getattr(target, name))(value))
        else:
            space: Any = faiss.ParameterSpace()
            space.set_index_parameters(index, settings.search)
    except (RuntimeError, AttributeError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise PlanError(f"index.search {settings.search!r} for {settings.factory!r}: {reason}") from None
