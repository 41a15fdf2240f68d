"""What the stages learned from: where each comes from, and what each of its training runs noted."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from mixstage.models.checkpoint import Checkpoint
from mixstage.plan.stages import Component
from mixstage.selection.forgetting import Stages, lineage
from mixstage.store.plain import JsonObject
from mixstage.store.store import Store
from mixstage.training.artifacts import Samples

Row = Mapping[str, float | None]  # of a curve: a step and what was noted there
_LEDGER = "negatives.parquet"
_SUSPECTS = 5  # of each ledger, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """An unjudged document that scores too near its query's positive to be a sure negative."""

    source: str
    query_id: str
    doc_id: str
    miner: str
    rank: int
    score: float | None
    positive_score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The list of every negative and suspect of a mining."""

    path: str
    suspects: int
    first: list[Suspect]  # those that score highest above the positive


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One training run, a round of its stage."""

    samples: JsonObject | None  # the samples' notes; None: they have left the store
    ledger: Ledger | None
    curve: list[Row]  # of the loss
    measured: list[Row]  # dev scores of checkpoints
    step: int | None  # of the checkpoint that was kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of a component."""

    checkpoint: str  # digest
    fingerprint: str  # digest of the weights
    parents: list[str]
    soup: dict[str, float] | None  # member -> weight
    adapter: str | None  # digest
    rounds: list[Run]


def stage_of(store: Store, stages: Stages, name: str) -> Stage:
    """Where a stage comes from and what each of its training runs learned from."""
    checkpoint, line = stages[name], lineage(store, stages, name)
    return Stage(
        checkpoint=checkpoint.digest,
        fingerprint=checkpoint.fingerprint,
        parents=line.parents,
        soup=checkpoint.soup,
        adapter=checkpoint.adapter,
        rounds=[_run(store, trained) for trained in line.rounds],
    )


def samples_of(store: Store, stages: Mapping[Component, Stages]) -> list[Samples]:
    """All samples that stages learned from, as far as the store still has them."""
    rounds = [one for named in stages.values() for name in named for one in lineage(store, named, name).rounds]
    digests = dict.fromkeys(one.samples for one in rounds if one.samples is not None)
    stored = [store.find(Samples, digest) for digest in digests]
    return [samples for samples in stored if samples is not None]


def _run(store: Store, checkpoint: Checkpoint) -> Run:
    samples = store.find(Samples, checkpoint.samples) if checkpoint.samples else None
    mined = samples is not None and samples.is_mined and _LEDGER in samples.files
    return Run(
        samples=samples.meta if samples else None,
        ledger=_ledger(store, samples) if samples and mined else None,
        curve=checkpoint.curve,
        measured=checkpoint.measured,
        step=checkpoint.step,
    )


def _ledger(store: Store, samples: Samples) -> Ledger:
    rows = pl.DataFrame(samples.read_table(_LEDGER)).filter(pl.col("use") == "suspect")
    first = rows.sort("margin", "query_id", "doc_id", nulls_last=True).head(_SUSPECTS)
    columns = first.select("source", "query_id", "doc_id", "miner", "rank", "score", "positive_score")
    return Ledger(
        path=f"{store.uri.rstrip('/')}/{samples.kind}/{samples.digest}/{_LEDGER}",
        suspects=len(rows),
        first=[Suspect(**row) for row in columns.iter_rows(named=True)],
    )
