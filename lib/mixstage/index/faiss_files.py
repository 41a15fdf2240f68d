"""One FAISS file of a generation: built from stored vectors by a factory string, searched, scored again.

The FAISS files of a generation, or some of them, searched as one.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixstage.errors import PlanError
from mixstage.index.arithmetic import Found, exact_scores, find_exact, merge_found, sort_found
from mixstage.index.generation import Generation, Shard
from mixstage.plan.schema import IndexPlan

_FEW = 2048  # allowed rows that are scored one by one, whatever the index: some 5 ms a query at 384 dimensions


class FaissShard:
    """Rows `start` to `start + size` of a corpus.

    stored: (rows, dim) vectors to score candidates with, from a file that is mapped, not read; None: the index's own
    scores are what counts.
    """

    def __init__(self, index: Any, start: int, settings: IndexPlan, stored: np.ndarray | None) -> None:
        self.index, self.start, self.settings, self.stored = index, start, settings, stored
        self.size = int(index.ntotal)

    @classmethod
    def open(cls, folder: Path, shard: Shard, settings: IndexPlan) -> "FaissShard":
        import faiss

        path = str(folder / shard["name"])
        # mapped: replicas of one machine share the pages, and what is not searched is not read
        index = faiss.read_index_binary(path) if is_binary(settings) else faiss.read_index(path, faiss.IO_FLAG_MMAP_IFC)
        if settings.search:
            _set_parameters(index, settings)
        stored = np.load(folder / shard["vectors"], mmap_mode="r") if settings.rescore else None
        return cls(index, shard["start"], settings, stored)

    def search(self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> Found:
        """(Q, dim) float32 -> scores (Q, k') float32 descending, rows (Q, k') int64 of the corpus, -1 for none.

        k' = min(k, size). allowed: (size,) bool, the rows that may be returned: all of them if they are k or fewer.
        """
        k = min(k, self.size)
        if allowed is None:
            scores, rows = self._search(queries, k, None)
        else:
            scores, rows = self._search_within(queries, k, allowed)
        return scores, np.where(rows < 0, -1, rows + self.start)

    def _search(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> Found:
        def nearest(queries: np.ndarray, k: int) -> Found:
            return self._nearest(queries, min(k, self.size), allowed)

        if is_exact(self.settings):
            return find_exact(nearest, self.score, queries, k)
        scores, rows = nearest(queries, k * (self.settings.rescore or 1))
        if self.stored is not None:
            scores = self.score(queries, rows)
        return sort_found(scores.astype(np.float32), rows, k)

    def _search_within(self, queries: np.ndarray, k: int, allowed: np.ndarray) -> Found:
        """A graph or clusters may miss allowed rows that are there: then all of them are scored."""
        some = np.flatnonzero(allowed)
        if len(some) <= max(_FEW, k):
            return self._best_of(queries, some, k)
        scores, rows = self._search(queries, k, allowed)
        short = rows[:, -1] < 0
        if short.any():
            scores[short], rows[short] = self._best_of(queries[short], some, k)
        return scores, rows

    def _best_of(self, queries: np.ndarray, rows: np.ndarray, k: int) -> Found:
        """The best k of the given rows, filled up with -1."""
        best = np.full((len(queries), k), -np.inf, dtype=np.float32), np.full((len(queries), k), -1, dtype=np.int64)
        for start in range(0, len(rows), _FEW):
            part = np.broadcast_to(rows[start : start + _FEW], (len(queries), len(rows[start : start + _FEW])))
            best = merge_found([best, (self.score(queries, part), part)], k)
        return best

    def _nearest(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> Found:
        given = _as_indexed(queries, self.settings)
        if allowed is None:
            scores, rows = self.index.search(given, k)
            return scores, rows
        only = _parameters(self.index, allowed)
        if only is not None:
            scores, rows = self.index.search(given, k, params=only)
            return scores, rows
        fetched = min(self.size, 2 * k * self.size // int(allowed.sum()))
        scores, rows = self.index.search(given, fetched)
        return _keep(scores, rows, allowed, k)

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


def _parameters(index: Any, allowed: np.ndarray) -> Any:
    """FAISS's parameters of a search in the allowed rows, with what is set of the index; None if it takes none.

    Residual and product codes without clusters, refining, graphs other than HNSW and binary clusters take none.
    """
    import faiss

    kinds: Any = faiss  # its types know little of these
    only = kinds.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
    if isinstance(index, kinds.IndexIVF):
        return kinds.SearchParametersIVF(sel=only, nprobe=index.nprobe, max_codes=index.max_codes)
    if isinstance(index, kinds.IndexHNSW | kinds.IndexBinaryHNSW):
        return kinds.SearchParametersHNSW(sel=only, efSearch=index.hnsw.efSearch)
    if isinstance(index, kinds.IndexFlat | kinds.IndexScalarQuantizer | kinds.IndexBinaryFlat):
        return kinds.SearchParameters(sel=only)
    return None


def _keep(scores: np.ndarray, rows: np.ndarray, allowed: np.ndarray, k: int) -> Found:
    """The first k allowed rows of each line, in order; -1 where there are fewer."""
    good = (rows >= 0) & allowed[rows]
    order = np.argsort(~good, axis=1, kind="stable")[:, :k]
    kept = np.take_along_axis(np.where(good, rows, -1), order, axis=1)
    own = np.take_along_axis(scores.astype(np.float32), order, axis=1)
    return np.where(kept < 0, -np.inf, own), kept


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


class FaissFiles:
    """Neighbouring files of a generation; rows are numbered as in the corpus."""

    def __init__(self, shards: Sequence[FaissShard]) -> None:
        self.shards = shards

    @classmethod
    def open(cls, generation: Generation, shards: Sequence[Shard] | None = None) -> "FaissFiles":
        """A generation's files on this machine's disk. shards: some of its `meta`, to fetch and open no others."""
        settings = IndexPlan.model_validate(generation.index)
        if shards is None:
            folder, shards = generation.local(), generation.shards
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
