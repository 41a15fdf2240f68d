"""What it will take to embed and index a plan's corpora, before anything is trained or embedded.

A task measures: it reads a sample of each corpus with the base retriever, whose architecture all stages share
(forecast_worker.py). Here is the arithmetic.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixstage.cluster import run_tasks
from mixstage.corpus.tables import Corpus
from mixstage.embedding.embed import EmbeddingRequest
from mixstage.embedding.reuse import source
from mixstage.embedding.vectors import Embedding
from mixstage.embedding.worker import read_keys
from mixstage.errors import PlanError
from mixstage.index.build import find_generation
from mixstage.index.forecast_worker import Sample, Size, measure, measure_index
from mixstage.models.checkpoint import Checkpoint
from mixstage.plan.schema import IndexPlan, RetrieverPlan
from mixstage.plan.stages import Workers
from mixstage.store.plain import Json
from mixstage.store.store import Store, digest_of

Key = tuple[str, str]  # corpus, retriever stage
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What embedding and indexing one corpus under one retriever stage takes."""

    corpus: str
    stage: str
    documents: int
    texts: int  # that have to be encoded: not in the store, not twice in the corpus
    shards: int
    tokens: float  # of a document, mean
    speed: float  # tokens a second and worker
    vector_bytes: int
    index_bytes: int

    @property
    def seconds(self) -> float:
        """How long one worker takes."""
        return self.texts * self.tokens / self.speed

    @property
    def shard_seconds(self) -> float:
        return self.seconds / self.shards


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Everything that is to be embedded, in seconds of one worker."""

    total: float
    longest: float  # the longest item of every pass, summed up: a shard is not divided
    start: float  # until the models are open, in every pass

    def seconds(self, workers: int) -> float:
        """At most this long: no order of handing out items takes longer (Graham, 1966)."""
        return self.start + self.total / workers + (1 - 1 / workers) * self.longest

    def workers(self, deadline: float) -> int | None:
        """The fewest workers that `seconds` promises to be ready in time; None if there is no number."""
        if self.seconds(1) <= deadline:
            return 1
        left = deadline - self.start - self.longest
        if left <= 0:
            return None
        return math.ceil((self.total - self.longest) / left - 1e-9)


def parse_deadline(text: str) -> float:
    """Seconds of "90s", "15m", "2h" or "1d"; raises PlanError for anything else."""
    written = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if not written or not float(written[1]):
        raise PlanError(f"--deadline {text!r}: write a number above 0 and s, m, h or d, such as 90s, 15m, 2h or 1d")
    return float(written[1]) * _SECONDS[written[2]]


def stages_of(retriever: RetrieverPlan) -> list[str]:
    """Names of what will have an embedding of every corpus, "base" first."""
    names = ["base"]
    for name, stage in retriever.stages.items():
        both = stage.validation is not None and stage.validation.keep == "both"
        names += [name, f"{name}-last"] if both else [name]
    return names


def work_of(forecasts: Sequence[Forecast], stages_per_pass: int, start: float) -> Work:
    """start: seconds until a model is open. An item is a shard under every stage of a pass."""
    stages = list(dict.fromkeys(one.stage for one in forecasts if one.seconds))
    passes = [stages[first : first + stages_per_pass] for first in range(0, len(stages), stages_per_pass)]
    longest = 0.0
    for together in passes:
        items: dict[str, float] = {}
        for one in forecasts:
            if one.stage in together:
                items[one.corpus] = items.get(one.corpus, 0.0) + one.shard_seconds
        longest += max(items.values())
    return Work(total=sum(one.seconds for one in forecasts), longest=longest, start=start * len(passes))


def peak_of(sample: Sample, checkpoint: Checkpoint, models: int) -> int:
    """Bytes of a worker that holds so many models: what was measured with one, and the weights of the others."""
    weights = sum(int(checkpoint.files[name]["size"]) for name in checkpoint.names("", ".safetensors"))
    return sample.peak + (models - 1) * weights


def texts_left(
    store: Store, corpora: Mapping[str, Corpus], stages: Mapping[str, Checkpoint | None], settings: IndexPlan
) -> dict[Key, int]:
    """(corpus, stage) -> texts that are still to be encoded. stages: with their checkpoints; None: not trained yet."""
    return {
        (name, stage): _texts_left(store, corpus, checkpoint, settings)
        for name, corpus in corpora.items()
        for stage, checkpoint in stages.items()
    }


def unfilled(
    store: Store, corpora: Mapping[str, Corpus], stages: Mapping[str, Checkpoint | None], settings: IndexPlan
) -> list[Key]:
    """(corpus, stage) without an index generation in the store."""
    return [
        (name, stage)
        for name, corpus in corpora.items()
        for stage, checkpoint in stages.items()
        if checkpoint is None or not _has_index(store, corpus, checkpoint, settings)
    ]


def forecast(
    left: Mapping[Key, int],
    corpora: Mapping[str, Corpus],
    checkpoint: Checkpoint,
    settings: IndexPlan,
    workers: Workers,
) -> tuple[dict[str, Sample], list[Forecast]]:
    """Samples by corpus, and a forecast for each (corpus, stage) of `left`. checkpoint: of the stage "base"."""
    alone = workers.model_copy(update={"workers": 1})
    samples = {}
    for name, corpus in corpora.items():
        (samples[name],) = run_tasks(measure, [(corpus, checkpoint, settings, workers)], workers=alone)
    dim = next(iter(samples.values())).dim
    (size,) = run_tasks(measure_index, [(dim, settings)], workers=alone)
    forecasts = [
        _forecast(name, stage, corpora[name], texts, samples[name], size, settings)
        for (name, stage), texts in left.items()
    ]
    return samples, forecasts


def _forecast(
    name: str, stage: str, corpus: Corpus, texts: int, sample: Sample, size: Size, settings: IndexPlan
) -> Forecast:
    documents = corpus.documents
    vectors = documents * sample.dim * np.dtype(settings.dtype).itemsize
    files = math.ceil(documents / settings.shard_rows)
    return Forecast(
        corpus=name,
        stage=stage,
        documents=documents,
        texts=texts,
        shards=len(corpus.shards),
        tokens=sample.tokens,
        speed=sample.speeds[sample.planned],
        vector_bytes=vectors,
        index_bytes=size.bytes(documents, files) + (vectors if settings.rescore else 0),
    )


def _texts_left(store: Store, corpus: Corpus, checkpoint: Checkpoint | None, settings: IndexPlan) -> int:
    """Texts of a corpus without a vector; with an untrained stage, all of them, each counted once."""
    keys = [read_keys(corpus, "document", name) for name in corpus.shards]
    if checkpoint is None:
        return source(keys, []).embedded
    recipe = _embedding_recipe(corpus, checkpoint, settings)
    if store.find(Embedding, digest_of(recipe)) is not None:
        return 0
    earlier = [one for one in store.all(Embedding) if {**one.recipe, "of": ""} == {**recipe, "of": ""}]
    return source(keys, earlier).embedded


def _has_index(store: Store, corpus: Corpus, checkpoint: Checkpoint, settings: IndexPlan) -> bool:
    embedding = store.find(Embedding, digest_of(_embedding_recipe(corpus, checkpoint, settings)))
    return embedding is not None and find_generation(store, embedding, settings) is not None


def _embedding_recipe(corpus: Corpus, checkpoint: Checkpoint, settings: IndexPlan) -> dict[str, Json]:
    return EmbeddingRequest(texts=corpus, role="document", checkpoint=checkpoint, label="").recipe(settings)
