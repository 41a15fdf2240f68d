"""The curriculum: stages in order, each from its parent, on samples that the model itself helped to find."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import polars as pl

from mixstage.corpus.prepare import Prepared
from mixstage.errors import InputError
from mixstage.indexing.embed import embed
from mixstage.indexing.generation import build_generation
from mixstage.models.base import export_base
from mixstage.models.checkpoint import publish_checkpoint
from mixstage.plan import Component, MinePlan, Plan, StagePlan
from mixstage.progress import Progress
from mixstage.store import Artifact, Store, digest_of
from mixstage.training.candidates import Candidates, rescore, retrieve_all
from mixstage.training.fit import Fit
from mixstage.training.launch import launch
from mixstage.training.mining import Findings, labelled_pairs, mine, shuffled, triplets
from mixstage.training.samples import PAIR, Judged, judged_pairs, mix, read_judged, weak_pairs

_FORMAT = 1  # raise when a stage would train differently from the same plan
Stages = dict[str, Artifact]  # stage -> checkpoint, "base" first


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """Trains what a plan names; every stage, and every round of a stage that refreshes, is an artifact."""

    plan: Plan
    store: Store
    prepared: Prepared
    progress: Progress
    retrievers: Stages = field(default_factory=dict)
    rerankers: Stages = field(default_factory=dict)

    @cached_property
    def judged(self) -> list[Judged]:
        return read_judged(self.plan, self.prepared)

    def train(self) -> None:
        """Fills `retrievers` and `rerankers`; raises InputError if there is nothing to learn from."""
        components: tuple[tuple[Component, Stages], ...] = (
            ("retriever", self.retrievers),
            ("reranker", self.rerankers),
        )
        for component, stages in components:
            stages["base"] = export_base(self.plan, self.store, component)
            plans = (self.plan.retriever if component == "retriever" else self.plan.reranker).stages
            for name in stage_order(plans):
                stages[name] = self._stage(component, name, plans[name], stages[plans[name].from_])

    def _stage(self, component: Component, name: str, stage: StagePlan, parent: Artifact) -> Artifact:
        """One round, or with refresh one round an epoch, each from the weights that the last one left."""
        rounds = stage.epochs if stage.mine and stage.mine.refresh else 1
        checkpoint = parent
        for number in range(rounds):
            label = f"{component} {name}" + (f" round {number + 1}/{rounds}" if rounds > 1 else "")
            checkpoint = self._round(label, component, name, stage, checkpoint, number, rounds)
        return checkpoint

    def _round(
        self, label: str, component: Component, name: str, stage: StagePlan, parent: Artifact, number: int, rounds: int
    ) -> Artifact:
        recipe = {
            "what": "stage",
            "format": _FORMAT,
            "component": component,
            "parent": parent.digest,
            "samples": self._samples_recipe(component, stage, parent),
            "stage": stage.model_dump(mode="json", exclude={"from_", "mine", "samples"}),
            "round": [number, rounds],
            "seed": self.plan.seed,
            "workers": self.plan.resources.train.workers,  # the order of additions depends on it
        }
        found = self.store.find("checkpoint", digest_of(recipe))
        if found is not None:
            return found
        samples = self._samples(label, component, stage, parent)
        self.progress.say(f"{label}: {_describe(samples)}")
        seed = self.plan.seed + number
        steps = None if stage.steps is None else max(1, stage.steps // rounds)
        run = Fit(
            label=label,
            component=component,
            stage=stage,
            steps=steps,
            epochs=1 if rounds > 1 else stage.epochs,
            seed=seed,
            parent=parent,
            samples=samples,
        )
        with launch(run, self.store, self.plan.resources.train) as (folder, curve):
            settings = parent.read_json("mixstage.json")
            notes = {"stage": name, "parent": parent.digest, "samples": samples.digest, "curve": curve}
            return publish_checkpoint(self.store.draft("checkpoint", recipe), folder, settings, notes)

    def _samples_recipe(self, component: Component, stage: StagePlan, parent: Artifact) -> dict[str, Any]:
        """What decides the samples: data, shares, and for mined ones the models that looked for them."""
        recipe: dict[str, Any] = {
            "what": "samples",
            "format": _FORMAT,
            "component": component,
            "applications": {name: part.digest for name, part in self.prepared.applications.items()},
            "corpora": {name: part.digest for name, part in self.prepared.corpora.items()},
            "samples": dict(stage.samples),
            "mine": stage.mine.model_dump(mode="json") if stage.mine else None,
            "seed": self.plan.seed,
        }
        if stage.mine:
            miner = self._miner(stage.mine, parent)
            recipe["miner"] = "bm25" if miner is None else miner.meta["fingerprint"]
            if stage.mine.scored_by == "current":
                recipe["scored_by"] = parent.meta["fingerprint"]
        return recipe

    def _samples(self, label: str, component: Component, stage: StagePlan, parent: Artifact) -> Artifact:
        recipe = self._samples_recipe(component, stage, parent)
        found = self.store.find("samples", digest_of(recipe))
        if found is not None:
            return found
        if not self.judged and "judged" in stage.samples:
            raise InputError(
                f"{label}: no application has a train split: add qrels/train.tsv or train on weak pairs only"
            )
        frame, notes = self._mined(label, component, stage.mine, parent) if stage.mine else self._paired(stage)
        if component == "reranker":
            frame = labelled_pairs(frame)
        if len(frame) < stage.batch_size:
            raise InputError(
                f"{label}: {len(frame)} samples do not fill one batch of {stage.batch_size} ({notes}): "
                "lower hard_rank, negatives or batch_size, or raise depth"
            )
        draft = self.store.draft("samples", recipe)
        draft.table("samples.parquet", shuffled(frame, self.plan.seed).to_arrow())
        counts = dict(frame.group_by("source").len().sort("source").iter_rows())
        return draft.publish({"samples": len(frame), "sources": counts, **notes})

    def _paired(self, stage: StagePlan) -> tuple[pl.DataFrame, dict[str, Any]]:
        sources: dict[str, pl.DataFrame] = {
            kind: judged_pairs(self.judged) if kind == "judged" else weak_pairs(self.prepared.corpora, kind)
            for kind in stage.samples
        }
        return mix(sources, dict(stage.samples), self.plan.seed), {}

    def _mined(
        self, label: str, component: Component, plan: MinePlan, parent: Artifact
    ) -> tuple[pl.DataFrame, dict[str, Any]]:
        miner = self._miner(plan, parent)
        generations = self._generations(label, miner)
        parts = [(judged, generations[judged.corpus.digest]) for judged in self.judged]
        candidates = retrieve_all(parts, miner, plan.depth, self.plan.resources)
        if plan.scored_by == "current":
            candidates = self._rescore(label, candidates, parent)
        found = {part.judged.application: self._findings(part, plan) for part in candidates}
        frames = [
            triplets(
                found[part.judged.application].mined, _queries(part), part.texts, f"mined:{part.judged.application}"
            )
            for part in candidates
            if len(found[part.judged.application].mined)
        ]
        notes = {"mining": {name: _counts(findings) for name, findings in found.items()}}
        return (pl.concat(frames) if frames else pl.DataFrame(schema=PAIR)), notes

    def _rescore(self, label: str, candidates: list[Candidates], reranker: Artifact) -> list[Candidates]:
        return rescore(
            self.store,
            candidates,
            reranker,
            label=f"{label}: score candidates",
            workers=self.plan.resources.score,
            progress=self.progress,
        )

    def _findings(self, candidates: Candidates, plan: MinePlan) -> Findings:
        return mine(candidates.ranking, candidates.judged.judgements, candidates.positives, plan)

    def _miner(self, plan: MinePlan, parent: Artifact) -> Artifact | None:
        """The retriever checkpoint that brings candidates; None is BM25."""
        return {"current": parent, "bm25": None}.get(plan.miner, self.retrievers.get(plan.miner))

    def _generations(self, label: str, miner: Artifact | None) -> dict[str, Artifact]:
        """corpus digest -> generation of the miner."""
        generations = {}
        for name, corpus in self.prepared.corpora.items():
            embedding = None
            if miner is not None:
                embedding = embed(
                    self.store,
                    corpus,
                    miner,
                    label=f"{name} for {label}",
                    workers=self.plan.resources.embed,
                    progress=self.progress,
                )
            generations[corpus.digest] = build_generation(self.store, corpus, embedding)
        return generations


def stage_order(stages: Mapping[str, StagePlan]) -> list[str]:
    """Parents before children, else in the plan's order."""
    order: list[str] = []
    left = list(stages)
    while left:
        ready = [name for name in left if stages[name].from_ == "base" or stages[name].from_ in order]
        order += ready
        left = [name for name in left if name not in ready]
    return order


def _queries(candidates: Candidates) -> dict[str, str]:
    return dict(candidates.judged.queries.select("query_id", "text").iter_rows())


def _counts(findings: Findings) -> dict[str, int]:
    kept = findings.queries - findings.easy - findings.short
    return {
        "queries": findings.queries,
        "kept": kept,
        "easy": findings.easy,
        "short": findings.short,
        "suspected_positives": findings.suspected,
    }


def _describe(samples: Artifact) -> str:
    sources = ", ".join(f"{count} {source}" for source, count in samples.meta["sources"].items())
    return f"{samples.meta['samples']} samples ({sources})"
