"""What an answer costs: the time of one query answered alone, on one machine, without network or queue.

It compares compositions with each other; a server adds its own to it. A retriever's time is that of encoding the query
and searching the generation that is served; a reranker's that of scoring the candidates; a composition's the sum, query
by query, and a fusion asks its members one after the other. What is not timed is the arithmetic of fusion and mixing.

Stages of one curriculum do the same work with other weights: the first of each shape is timed for all of them. That is
cheaper, and no stage looks faster than its twin because the machine was quiet.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mixstage.cluster import run_tasks
from mixstage.composition import Composition
from mixstage.corpus.application import read_queries
from mixstage.corpus.documents import document_text, read_documents
from mixstage.evaluation.fusion import members_of
from mixstage.evaluation.latency_worker import MOST, Components, Sample, Times, processor, time_answers
from mixstage.evaluation.rankings import Key, Ranking, read_ranking
from mixstage.index.generation import Generation
from mixstage.index.indexer import Indexer, Retrievers
from mixstage.models.checkpoint import Checkpoint, RetrieverModel
from mixstage.models.lexical import Bm25
from mixstage.plan.schema import GridPlan
from mixstage.store.plain import Json
from mixstage.store.store import Artifact, Draft, digest_of

_WEIGHTS = ".safetensors"
_SECONDS = 10.0  # of timing, all applications together; loading the models comes on top
_TABLE = "cost.parquet"


def alike(models: Mapping[str, RetrieverModel]) -> dict[str, str]:
    """name -> the first name whose model has the same shape; BM25 is like itself only."""
    firsts: dict[str, str] = {}
    shapes = {name: name if isinstance(model, Bm25) else shape_of(model) for name, model in models.items()}
    return {name: firsts.setdefault(shape, name) for name, shape in shapes.items()}


def shape_of(checkpoint: Checkpoint) -> str:
    """Digest of how texts are put to the model and of its tensors' names, types and sizes; no weight is read."""
    tensors = {name: _tensors(checkpoint, name) for name in checkpoint.names("", _WEIGHTS)}
    return digest_of({"settings": checkpoint.settings, "tensors": tensors})


def _tensors(checkpoint: Checkpoint, name: str) -> dict[str, Json]:
    """The header of a safetensors file: eight bytes of its length, then JSON."""
    with checkpoint.filesystem.open_input_stream(checkpoint.file(name)) as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    return {tensor: [facts["dtype"], facts["shape"]] for tensor, facts in header.items() if tensor != "__metadata__"}


class Latencies(Artifact):
    """Milliseconds of answers as one machine gave them: _TABLE."""

    kind = "cost"
    FORMAT = 1  # raise when what is timed changes
    __slots__ = ()

    @property
    def machine(self) -> str:
        """What they were timed on."""
        return str(self.meta["machine"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Milliseconds of every component for a sample of each application's dev queries, (n,) each, in one order."""

    retrieve: dict[Key, NDArray[np.float64]]  # (application, retriever); fusions are made of these
    rerank: dict[tuple[str, str, int], NDArray[np.float64]]  # (application, reranker, depth)
    machine: str
    digest: str  # of the times

    @property
    def queries(self) -> dict[str, int]:
        """application -> n."""
        return {application: len(times) for (application, _), times in self.retrieve.items()}

    def of(self, grid: GridPlan, application: str, composition: Composition) -> NDArray[np.float64]:
        """(n,) milliseconds of the composition's answer to each query."""
        total = np.sum([self.retrieve[application, m] for m in members_of(grid, composition.retriever)], axis=0)
        if composition.pairs:
            total = total + self.rerank[application, composition.reranker, composition.depth]
        return np.asarray(total, dtype=np.float64)

    def quantiles(
        self, grid: GridPlan, application: str, compositions: Sequence[Composition], share: float
    ) -> NDArray[np.float64]:
        """(S,) quantile over queries (linear between neighbours) of each composition's milliseconds."""
        return np.array([np.quantile(self.of(grid, application, one), share) for one in compositions])


def measure_cost(
    indexer: Indexer,
    retrievers: Retrievers,
    generations: Mapping[Key, Generation],
    rankings: Mapping[Key, Ranking],
    rerankers: Mapping[str, Checkpoint],
) -> Cost:
    """Times what answers the plan's dev queries, or finds the times of an earlier run on a machine of this processor.

    generations: by (corpus, retriever). rankings: by (application, retriever); rerankers score the first one's top.
    """
    plan = indexer.prepared.plan
    twins = {"retriever": alike(retrievers), "reranker": alike(rerankers)}
    components = Components(
        retrievers={name: retrievers[name] for name in dict.fromkeys(twins["retriever"].values())},
        generations={
            key: generation for key, generation in generations.items() if key[1] in twins["retriever"].values()
        },
        rerankers={name: rerankers[name] for name in dict.fromkeys(twins["reranker"].values())},
    )
    tops = {name: rankings[name, next(iter(retrievers))] for name in plan.applications}
    recipe = _recipe(indexer, components, tops)
    artifact = indexer.prepared.store.made(Latencies, recipe, partial(_measure, indexer, components, tops))
    times = _read(artifact)
    return Cost(
        retrieve={
            (name, retriever): times[name, f"retriever:{first}", 0]
            for name in plan.applications
            for retriever, first in twins["retriever"].items()
        },
        rerank={
            (name, reranker, depth): times[name, f"reranker:{first}", depth]
            for name in plan.applications
            for reranker, first in twins["reranker"].items()
            for depth in plan.grid.depths
        },
        machine=artifact.machine,
        digest=artifact.files[_TABLE]["sha256"],
    )


def _recipe(indexer: Indexer, components: Components, tops: Mapping[str, Ranking]) -> dict[str, Json]:
    plan = indexer.prepared.plan
    return {
        "what": "cost",
        "format": Latencies.FORMAT,
        "queries": {name: part.digest for name, part in indexer.prepared.applications.items()},
        "generations": {"/".join(key): generation.digest for key, generation in components.generations.items()},
        "rerankers": {name: reranker.fingerprint for name, reranker in components.rerankers.items()},
        "candidates": {name: ranking.digest for name, ranking in tops.items()},
        "depths": sorted(plan.grid.depths),
        "ranking_depth": plan.grid.ranking_depth,
        "workers": plan.resources.score.model_dump(mode="json", exclude={"workers"}),
        "processor": processor(),  # where the job runs; workers may have another, which `machine` names
        "seed": plan.seed,
    }


def _measure(
    indexer: Indexer, components: Components, tops: Mapping[str, Ranking], draft: Draft[Latencies]
) -> Latencies:
    plan = indexer.prepared.plan
    depths = sorted(set(plan.grid.depths))
    samples = [_sample(indexer, name, read_ranking(ranking), depths[-1]) for name, ranking in tops.items()]
    documents = min(indexer.prepared.corpora[sample.corpus].documents for sample in samples)
    call = (samples, components, depths, min(plan.grid.ranking_depth, documents), _SECONDS)
    alone = plan.resources.score.model_copy(update={"workers": 1})
    results = run_tasks(time_answers, [call], workers=alone)
    ((times, machine),) = indexer.prepared.progress.track(results, "time answers", total=1, unit="runs")
    frames = [
        pl.DataFrame({"milliseconds": taken}).select(
            pl.lit(application).alias("application"),
            pl.lit(component).alias("component"),
            pl.lit(depth).alias("depth"),
            "milliseconds",
        )
        for (application, component, depth), taken in times.items()
    ]
    draft.table(_TABLE, pl.concat(frames).to_arrow())
    return draft.publish({"machine": machine})


def _sample(indexer: Indexer, application: str, ranking: pl.DataFrame, depth: int) -> Sample:
    """MOST dev queries and one to warm up with, or all there are, drawn by the plan's seed."""
    plan, prepared = indexer.prepared.plan, indexer.prepared
    queries = read_queries(prepared.applications[application], "dev")
    queries = queries.sample(min(MOST + 1, len(queries)), seed=plan.seed, shuffle=True)
    top = ranking.filter(pl.col("rank") <= depth).join(queries, on="query_id", how="semi").sort("query_id", "rank")
    texts = read_documents(prepared.corpus_of(application), set(top["doc_id"]))
    listed = dict(top.group_by("query_id").agg("doc_id").iter_rows())
    return Sample(
        application=application,
        corpus=plan.applications[application].corpus,
        queries=queries["text"].to_list(),
        candidates=[[document_text(*texts[d]) for d in listed.get(q, [])] for q in queries["query_id"]],
    )


def _read(artifact: Latencies) -> Times:
    table = pl.DataFrame(artifact.read_table(_TABLE))
    parts = table.partition_by("application", "component", "depth", as_dict=True, maintain_order=True)
    return {(str(a), str(c), int(d)): rows["milliseconds"].to_numpy() for (a, c, d), rows in parts.items()}
