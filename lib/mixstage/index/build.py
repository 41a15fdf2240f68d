"""Index generations: what a retriever is served with, built from stored vectors and never by embedding again.

A generation is built beside the live ones, checked (rows, checksums, recall against exact search) and published as an
artifact, whole or not at all.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mixstage.cluster import Item, run_shards, run_tasks
from mixstage.embedding.vectors import Embedding, read_vectors
from mixstage.errors import DamagedError, StoreError
from mixstage.index.arithmetic import Found, merge_found
from mixstage.index.exact import search_exact
from mixstage.index.faiss_files import FaissShard, copy_of, fill, is_exact, train_index, write
from mixstage.index.generation import Generation
from mixstage.plan.schema import IndexPlan
from mixstage.plan.stages import Workers
from mixstage.progress import Progress
from mixstage.store.plain import Json
from mixstage.store.store import Draft, Store, digest_of

TRAINED = "trained.faiss"  # kept: a shard that a disk spoils is filled into the same clusters
_RECALL_AT = 10
_TIES = 8  # exact results beyond the tenth
_DECIDES = {"factory", "search", "dims", "rescore", "shard_rows", "train_rows"}  # fields of the plan that make a file


def find_generation(store: Store, embedding: Embedding, settings: IndexPlan) -> Generation | None:
    return store.find(Generation, digest_of(_recipe(embedding, settings)))


def build_generation(
    store: Store,
    embedding: Embedding,
    settings: IndexPlan,
    queries: np.ndarray,
    *,
    label: str,
    workers: Workers,
    progress: Progress,
) -> Generation:
    """The FAISS generation of a corpus's embedding by the plan's factory, from the store or built now.

    queries: (Q, dim) float32 that the recall is measured on; none: stored vectors stand in.
    meta: documents, corpus, retriever (fingerprint), dim, index (the settings), recall, shards (name, start, stop,
    vectors; in row order).
    Raises StoreError below the plan's floor, PlanError for a factory that can't be made, DamagedError.
    """
    build = partial(_build, embedding, settings, queries, label=label, workers=workers, progress=progress)
    return store.made(Generation, _recipe(embedding, settings), build)


def _build(
    embedding: Embedding,
    settings: IndexPlan,
    queries: np.ndarray,
    draft: Draft[Generation],
    *,
    label: str,
    workers: Workers,
    progress: Progress,
) -> Generation:
    alone = workers.model_copy(update={"workers": 1})
    if not draft.has(TRAINED):
        list(run_tasks(write_trained, [(embedding, settings, draft)], workers=alone))
    groups = groups_of(embedding, settings)
    built = run_shards(draft, groups, ShardBuilder(embedding, settings, draft), workers=workers)
    sized = ((shard, shard["stop"] - shard["start"]) for shard in built)
    total = embedding.rows
    shards = sorted(progress.track_sized(sized, f"index {label}", total=total, unit="rows"), key=lambda s: s["start"])
    draft.prune([TRAINED, *(name for shard in shards for name in shard["files"])])
    meta = {
        "documents": total,
        "dim": embedding.dim,
        "corpus": embedding.texts,
        "retriever": embedding.retriever,
        "index": settings.model_dump(mode="json", include=_DECIDES),
        "shards": [{key: shard[key] for key in ("name", "start", "stop", "vectors")} for shard in shards],
    }
    known = {TRAINED: draft.facts(TRAINED)} | {n: facts for shard in shards for n, facts in shard["files"].items()}
    sample = (queries if len(queries) else _stand_ins(embedding))[: settings.check_queries]
    exact = _search_with_ties(embedding, sample, workers)
    call = (draft.unpublished(meta, known), settings, sample, exact)
    (recall,) = run_tasks(check_generation, [call], workers=alone)
    if recall < settings.floor:
        draft.delete()
        raise StoreError(
            f"index {label}: recall@{_RECALL_AT} of {settings.factory!r} against exact search is {recall:.3f}, below "
            f"index.floor {settings.floor:g}: nothing was published; raise nprobe or efSearch (index.search), set "
            "index.rescore, or lower the floor"
        )
    if not is_exact(settings):
        progress.say(f"index {label}: recall@{_RECALL_AT} {recall:.3f} against exact search")
    return draft.publish({**meta, "recall": round(recall, 4)}, known)


def _recipe(embedding: Embedding, settings: IndexPlan) -> dict[str, Json]:
    index = settings.model_dump(mode="json", include=_DECIDES)
    return {"what": "generation", "format": Generation.FORMAT, "embedding": embedding.digest, "index": index}


def write_trained(embedding: Embedding, settings: IndexPlan, draft: Draft[Generation]) -> None:
    """Writes an empty index, trained on rows from all over the corpus."""
    names, starts = embedding.shards, embedding.starts()
    count = min(settings.train_rows, embedding.rows) if not is_exact(settings) else 1  # nothing to learn
    rows = np.arange(count) * embedding.rows // count
    cuts = np.split(rows, np.searchsorted(rows, starts[1:-1]))
    parts = [
        read_vectors(embedding, name)[own - start]
        for name, start, own in zip(names, starts, cuts, strict=False)
        if len(own)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / TRAINED
        write(train_index(np.concatenate(parts), settings), path, settings)
        draft.file(TRAINED, path)


def groups_of(embedding: Embedding, settings: IndexPlan) -> list[Item]:
    """Neighbouring vector shards that go into one FAISS file."""
    names, starts = embedding.shards, embedding.starts()
    groups: list[Item] = []
    for number, name in enumerate(names):
        start, stop = int(starts[number]), int(starts[number + 1])
        if not groups or stop - groups[-1]["start"] > settings.shard_rows:
            groups.append({"name": f"index-{len(groups):05d}.faiss", "start": start, "stop": stop, "shards": []})
        groups[-1]["shards"].append(name)
        groups[-1]["stop"] = stop
    return groups


@dataclass(frozen=True, slots=True)
class ShardBuilder:
    """Fills one FAISS file, and a file of vectors beside it where candidates are to be scored again."""

    embedding: Embedding
    settings: IndexPlan
    draft: Draft[Generation]

    def __call__(self, item: Item) -> Item:
        """{name, start, stop, shards} -> {name, start, stop, vectors, files: {name: facts}}."""
        files = {}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder)
            self.draft.fetch(TRAINED, path / TRAINED)
            index = copy_of(path / TRAINED, self.settings)
            fill(index, self._parts(item), self.settings)
            write(index, path / item["name"], self.settings)
            files[item["name"]] = self.draft.file(item["name"], path / item["name"])
            vectors = ""
            if self.settings.rescore:
                vectors = item["name"].replace(".faiss", ".npy")
                self._store(item, path / vectors)
                files[vectors] = self.draft.file(vectors, path / vectors)
        return {key: item[key] for key in ("name", "start", "stop")} | {"vectors": vectors, "files": files}

    def _parts(self, item: Item) -> Iterator[np.ndarray]:
        for name in item["shards"]:
            yield read_vectors(self.embedding, name)

    def _store(self, item: Item, path: Path) -> None:
        shape = (item["stop"] - item["start"], self.embedding.dim)
        dtype = np.dtype(self.embedding.dtype)
        stored = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        at = 0
        for part in self._parts(item):
            stored[at : at + len(part)] = part
            at += len(part)
        stored.flush()


def _stand_ins(embedding: Embedding) -> np.ndarray:
    """Documents as queries, where an application has none."""
    return read_vectors(embedding, embedding.shards[0])


def _search_with_ties(embedding: Embedding, queries: np.ndarray, workers: Workers) -> Found:
    """The ten best of each query and all that tie with the tenth: any of them is as good."""
    depth, size = _RECALL_AT + _TIES, embedding.rows
    scores, rows = search_exact(embedding, queries, depth, workers)
    while depth < size and (scores[:, -1] == scores[:, _RECALL_AT - 1]).any():
        depth *= 2
        scores, rows = search_exact(embedding, queries, depth, workers)
    return scores, rows


def check_generation(built: Generation, settings: IndexPlan, queries: np.ndarray, exact: Found) -> float:
    """Recall@10 of what was built, from the files themselves. exact: the best rows, and those that tie with the tenth.

    Raises DamagedError if the files are not what was written or miss a row.
    """
    built.verify()
    with built.on_disk() as folder:
        shards = [FaissShard.open(folder, shard, settings) for shard in built.shards]
        rows = sum(shard.size for shard in shards)
        if rows != built.documents:
            raise DamagedError(f"{built.path} holds {rows} of {built.documents} rows: delete it and run again")
        _, best = merge_found([shard.search(queries, _RECALL_AT) for shard in shards], _RECALL_AT)
    return recall(best, exact)


def recall(rows: np.ndarray, exact: Found) -> float:
    """Share of the ten best documents of each query that (Q, 10) rows name; a tie of the tenth counts as well."""
    scores, best = exact
    last = scores[:, min(_RECALL_AT, scores.shape[1]) - 1, None]
    good = np.where(scores >= last, best, -2)
    hits = (rows[:, :, None] == good[:, None, :]).any(axis=2).sum(axis=1)
    return float((hits / min(_RECALL_AT, scores.shape[1])).mean())
