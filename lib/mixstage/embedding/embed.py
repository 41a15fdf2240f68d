"""Embeddings: texts under a retriever's checkpoint, as Parquet shards of unit vectors.

One pass embeds everything that is missing, whatever its checkpoint: workers start once, and stages that read text alike
tokenise it once. Texts whose vectors are known are copied. How fast it goes stands beside the progress and in the
cluster's metrics.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from mixstage.cluster import Item, expose, finished, map_items, run_shards
from mixstage.corpus.tables import Application, Corpus
from mixstage.embedding.reuse import Sourcing, source
from mixstage.embedding.vectors import Embedding
from mixstage.embedding.worker import Assembler, Job, open_embedder, read_keys
from mixstage.errors import StoreError
from mixstage.models.checkpoint import GOLDEN, Checkpoint
from mixstage.models.encoder import Role
from mixstage.models.quantised import FORMAT as QUANTISED_FORMAT
from mixstage.plan.schema import IndexPlan
from mixstage.plan.stages import Workers
from mixstage.progress import Progress
from mixstage.store.files import free_bytes, table_facts
from mixstage.store.plain import Json, JsonObject
from mixstage.store.store import Draft, Store, digest_of

_EARLIER = ".earlier.json"  # a note of the draft


@dataclass(slots=True)
class Pace:
    """Sums up what workers report. The driver exposes the sums: it outlives the workers and knows what is left."""

    workers: Workers
    label: str  # what is embedded: the tag `embedding` of the metrics
    left: int  # texts
    texts: int = 0  # embedded so far
    tokens: int = 0
    start: float = field(default_factory=time.perf_counter)

    def note(self, summary: Item) -> str:
        """Called once a summary: {rows, tokens}."""
        self.texts += summary["rows"]
        self.left = max(0, self.left - summary["rows"])
        self.tokens += summary["tokens"]
        seconds = max(time.perf_counter() - self.start, 1e-9)
        self._expose(summary, seconds)
        return f"{self.tokens / seconds:,.0f} tokens/s, {self.workers.workers} worker" + "s" * (
            self.workers.workers > 1
        )

    def _expose(self, summary: Item, seconds: float) -> None:
        shown = {
            "embedded_texts_total": summary["rows"],
            "embedded_tokens_total": summary["tokens"],
            "embed_texts_per_second": self.texts / seconds,
            "embed_tokens_per_second": self.tokens / seconds,
            "embed_texts_left": self.left,
            "embed_seconds_left": self.left * seconds / max(1, self.texts),
            "embed_workers": self.workers.workers if self.left else 0,
        }
        for name, value in shown.items():
            expose(f"mixstage_{name}", value, {"embedding": self.label})


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRequest:
    """An embedding that is to be in the store: texts, as documents or queries, under a checkpoint."""

    texts: Corpus | Application  # whose documents or queries
    role: Role
    checkpoint: Checkpoint
    label: str  # how progress calls it

    def recipe(self, settings: IndexPlan) -> dict[str, Json]:
        """Addressed by texts and the checkpoint's fingerprint: stages with equal weights share it."""
        precision = "float32" if self.role == "query" and settings.precision == "int8" else settings.precision
        recipe: dict[str, Json] = {
            "what": "embedding",
            "format": Embedding.FORMAT,
            "of": self.texts.digest,
            "role": self.role,
            "retriever": self.checkpoint.fingerprint,
            "dtype": "float32" if self.role == "query" else settings.dtype,
            "precision": precision,
        }
        return recipe | ({"quantised": QUANTISED_FORMAT} if precision == "int8" else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Making:
    """A job with where its vectors come from."""

    request: EmbeddingRequest
    job: Job
    names: list[str]  # shards of the texts
    sourcing: Sourcing

    def target(self, shard: int) -> str:
        return f"vectors/part-{shard:05d}.parquet"

    def is_new(self, shard: int) -> bool:
        return all(file == -1 for _, _, file, _ in self.sourcing.runs[shard])

    def encoding(self, shard: int) -> Item | None:
        """The new texts of a shard and the file for them: the shard itself if all are new. None without any."""
        rows = [[row, count] for row, count, file, _ in self.sourcing.runs[shard] if file == -1]
        if not rows and self.sourcing.runs[shard]:
            return None
        return {"name": self._encoded(shard), "rows": rows}

    def assembly(self, shard: int) -> Item:
        """What is to be copied into a shard, and from which files."""
        runs = self.sourcing.runs[shard]
        files = {file: self._file(file, shard) for _, _, file, _ in runs}
        placed, at = [], 0  # where new texts stand in their file: one after another
        for row, count, file, start in runs:
            placed.append([row, count, file, at if file == -1 else start])
            at += count if file == -1 else 0
        return {"name": self.target(shard), "source": self.names[shard], "runs": placed, "files": list(files.items())}

    def _encoded(self, shard: int) -> str:
        return self.target(shard) if self.is_new(shard) else f"vectors/.new-{shard:05d}.parquet"

    def _file(self, file: int, shard: int) -> tuple[str, str]:
        if file == -1:
            return "", self._encoded(shard)
        own = self.sourcing.own(file)
        return self.sourcing.files[file] if own is None else ("", self._encoded(own))


def embed(
    store: Store,
    requests: Sequence[EmbeddingRequest],
    settings: IndexPlan,
    *,
    label: str,
    workers: Workers,
    progress: Progress,
) -> list[Embedding]:
    """The embeddings, in order: vectors/part-*.parquet with a row a text, those of documents in the corpus's shards.

    meta: rows, dim, of, retriever; tokens and truncated texts; how many were embedded, reused, repeated, removed.
    Raises StoreError if the disk is too small.
    """
    digests = [digest_of(one.recipe(settings)) for one in requests]
    embeddings = {digest: store.find(Embedding, digest) for digest in digests}
    missing = {digest: one for digest, one in zip(digests, requests, strict=True) if embeddings[digest] is None}
    makings = [_open(store, one, settings) for one in missing.values()]
    _refuse_full_disk(store, makings)
    for together in _passes(makings, settings.stages_per_pass):
        _encode(together, settings, label, workers, progress)
        for making in together:
            embeddings[making.job.draft.digest] = _publish(store, making, workers, progress)
    return [embedding for digest in digests if (embedding := embeddings[digest]) is not None]


def _passes(makings: Sequence[_Making], stages: int) -> list[list[_Making]]:
    """What is embedded together: everything of so many checkpoints."""
    checkpoints = list(dict.fromkeys(making.request.checkpoint.digest for making in makings))
    cut = [checkpoints[start : start + stages] for start in range(0, len(checkpoints), stages)]
    return [[making for making in makings if making.request.checkpoint.digest in part] for part in cut]


def _open(store: Store, request: EmbeddingRequest, settings: IndexPlan) -> _Making:
    draft = store.draft(Embedding, request.recipe(settings))
    names = request.texts.names("documents/", ".parquet") if request.role == "document" else ["queries.parquet"]
    job = Job(
        texts=request.texts,
        role=request.role,
        checkpoint=request.checkpoint,
        dtype=draft.recipe["dtype"],
        precision=draft.recipe["precision"],
        draft=draft,
    )
    keys = [read_keys(request.texts, request.role, name) for name in names]
    return _Making(request=request, job=job, names=names, sourcing=source(keys, _earlier(store, job.draft)))


def _earlier(store: Store, draft: Draft[Embedding]) -> list[Embedding]:
    """Embeddings that differ in their texts only: those that were there when this one was begun.

    One that a sibling published since would cut the work otherwise, and what a killed run had finished were lost.
    """
    if not draft.has(_EARLIER):
        alike = [one for one in store.all(Embedding) if {**one.recipe, "of": ""} == {**draft.recipe, "of": ""}]
        draft.text(_EARLIER, json.dumps([one.digest for one in alike]))
    with draft.filesystem.open_input_stream(f"{draft.path}/{_EARLIER}") as stream:
        digests = json.loads(stream.read())
    embeddings = [store.find(Embedding, digest) for digest in digests]
    return [one for one in embeddings if one is not None]


def _refuse_full_disk(store: Store, makings: Sequence[_Making]) -> None:
    """Better now than after hours."""
    free = free_bytes(store.filesystem, store.root)
    needed = sum(_vector_bytes(making) for making in makings)
    if free is not None and needed > free:
        raise StoreError(
            f"the missing embeddings take {needed:,} bytes, {store.root} has {free:,} free, {needed - free:,} missing: "
            "free some or put the store elsewhere"
        )


def _vector_bytes(making: _Making) -> int:
    """What the vectors take on disk, without the shards that a killed run has left there."""
    left = [n for n in range(len(making.names)) if not making.job.draft.has(making.target(n))]
    rows = sum(count for n in left for _, count, _, _ in making.sourcing.runs[n])
    dim = len(making.request.checkpoint.read_json(GOLDEN)[0])
    return rows * dim * np.dtype(making.job.dtype).itemsize


def _encode(makings: Sequence[_Making], settings: IndexPlan, label: str, workers: Workers, progress: Progress) -> None:
    """One pass over every shard that holds a new text for any of them."""
    items: dict[tuple[str, str], Item] = {}
    left = 0
    for number, making in enumerate(makings):
        for shard, name in enumerate(making.names):
            part = making.encoding(shard)
            if part is not None and finished(making.job.draft, part) is None:
                item = items.setdefault((making.request.texts.digest, name), {"source": name, "parts": []})
                item["parts"].append([number, part])
                left += sum(count for _, count in part["rows"])
    if items:
        make = partial(open_embedder, [making.job for making in makings], settings.batch_tokens, workers.cpus)
        done = map_items(list(items.values()), make, workers=workers)
        pace = Pace(workers, label, left)
        sized = ((summary, summary["rows"]) for summary in done)
        for _ in progress.track_sized(sized, f"embed {label}", total=left, unit="texts", note=pace.note):
            pass


def _publish(store: Store, making: _Making, workers: Workers, progress: Progress) -> Embedding:
    draft, sourcing = making.job.draft, making.sourcing
    shards = range(len(making.names))
    facts = {}
    for shard in shards:
        if making.is_new(shard):
            facts[making.target(shard)] = finished(draft, making.encoding(shard) or {})
    mixed = [making.assembly(shard) for shard in shards if not making.is_new(shard)]
    for summary in run_shards(draft, mixed, Assembler(making.job, store), workers=workers):
        facts[summary["name"]] = summary
    shards_done = [fact for _, fact in sorted(facts.items()) if fact is not None]
    draft.prune(facts)
    meta = {
        "rows": sum(fact["rows"] for fact in shards_done),
        "dim": shards_done[0]["dim"],
        "of": making.request.texts.digest,
        "retriever": making.request.checkpoint.fingerprint,
        "tokens": sum(fact["tokens"] for fact in shards_done),
        "truncated": sum(fact["truncated"] for fact in shards_done),
        "embedded": sourcing.embedded,
        "reused": sourcing.reused,
        "repeated": sourcing.repeated,
        "removed": sourcing.removed,
    }
    known = {name: table_facts(fact) for name, fact in facts.items() if fact}
    progress.say(f"{making.request.label}: {_summary(meta)}")
    return draft.publish(meta, known)


def _summary(meta: JsonObject) -> str:
    named = ("embedded", "reused", "repeated", "removed", "truncated")
    return f"{meta['rows']:,} texts: {', '.join(f'{meta[name]:,} {name}' for name in named if meta[name])}"
