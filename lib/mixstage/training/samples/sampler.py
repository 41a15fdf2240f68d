"""The samples of a stage: sources gathered, mined where asked, mixed, and kept as an artifact."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from mixstage.corpus.documents import document_text, iterate_documents
from mixstage.corpus.hashing import text_hash
from mixstage.corpus.prepare import Prepared
from mixstage.errors import InputError
from mixstage.index.indexer import Indexer
from mixstage.plan.schema import Plan
from mixstage.plan.stages import Component, MinePlan, StagePlan
from mixstage.progress import Progress
from mixstage.store.store import Artifact, Store, digest_of
from mixstage.training.samples.miners import Candidates, Miner, find_candidates, reordered, score_candidates
from mixstage.training.samples.mining import LEDGER, Findings, mine, mined_samples
from mixstage.training.samples.pseudo import pseudo_supervision
from mixstage.training.samples.supervision import SAMPLE, Supervision, mix, read_judged, shuffled, supervised_pairs
from mixstage.training.samples.weak import weak_supervision

_FORMAT = 2  # raise when a stage would get other samples from the same plan
_JUDGED = {"judged", "mined"}  # sources that read train splits


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """Makes samples; `resolve("reranker:broad")` gives the checkpoint of a stage or a teacher."""

    plan: Plan
    store: Store
    prepared: Prepared
    progress: Progress
    resolve: Callable[[str], Artifact]

    @cached_property
    def judged(self) -> list[Supervision]:
        return read_judged(self.plan, self.prepared)

    def recipe(self, component: Component, stage: StagePlan, current: Artifact) -> dict[str, Any]:
        """What decides the samples: data, shares, and the models that looked for them. `current`: the weights that
        "current" stands for."""
        recipe: dict[str, Any] = {
            "what": "samples",
            "format": _FORMAT,
            "component": component,
            "corpora": {name: part.digest for name, part in self.prepared.corpora.items()},
            "seed": self.plan.seed,
        }
        if stage.mlm:
            return {**recipe, "what": "texts", "limit": stage.limit}
        recipe |= {"sources": stage.sources(), "temperature": stage.temperature}
        if _JUDGED & stage.sources().keys():
            recipe["applications"] = {name: part.digest for name, part in self.prepared.applications.items()}
        if stage.sources().keys() - _JUDGED:
            recipe["limit"] = stage.limit
        if "generated" in stage.sources():
            recipe["generator"] = stage.generator
        if "pseudo" in stage.sources():
            recipe["pseudo"] = stage.pseudo.model_dump(mode="json")
            recipe["pseudo_retrievers"] = [self._fingerprint(name, current) for name in stage.pseudo.retrievers]
        if stage.mine:
            recipe |= self._mine_recipe(stage.mine, current)
        if stage.loss.teacher:
            recipe["teacher"] = self.resolve(stage.loss.teacher).meta["fingerprint"]
        return recipe

    def _mine_recipe(self, settings: MinePlan, current: Artifact) -> dict[str, Any]:
        recipe: dict[str, Any] = {
            "mine": settings.model_dump(mode="json", exclude={"refresh", "asynchronous"}),
            "miners": [self._fingerprint(name, current) for name in settings.miners],
        }
        if settings.scored_by == "current":
            recipe["scored_by"] = current.meta["fingerprint"]
        if settings.filter_by:
            recipe["filter"] = self.resolve(settings.filter_by).meta["fingerprint"]
        return recipe

    def samples(self, label: str, component: Component, stage: StagePlan, current: Artifact) -> Artifact:
        """The samples artifact: samples.parquet and, of mined ones, negatives.parquet, the ledger.

        Raises InputError if there is nothing to learn from.
        """
        recipe = self.recipe(component, stage, current)
        found = self.store.find("samples", digest_of(recipe))
        if found is not None:
            return found
        if stage.mlm:
            texts = self._texts(stage)
            draft = self.store.draft("samples", recipe)
            draft.table("samples.parquet", texts.to_arrow())
            return draft.publish({"samples": len(texts), "sources": dict(texts["source"].value_counts().iter_rows())})
        frames: dict[str, pl.DataFrame] = {}
        ledgers: list[pl.DataFrame] = [pl.DataFrame(schema={"source": pl.String, **LEDGER})]
        notes: dict[str, Any] = {}
        for source in stage.sources():
            parts = self._supervision(label, source, stage, current)
            if source != "mined" and component == "retriever":
                frames[source] = supervised_pairs(parts)
                continue
            mined, found_parts = self._mined(label, parts, _settings(stage, source), stage, current)
            frames[source] = mined
            for name, findings in found_parts.items():
                notes[name] = _counts(findings)
                ledgers.append(findings.ledger.select(pl.lit(name).alias("source"), *LEDGER))
        mixed = mix(frames, stage.sources(), self.plan.seed, stage.temperature)
        if mixed.is_empty():
            raise InputError(f"{label}: no samples ({notes or stage.sources()}): {self._remedy(stage)}")
        draft = self.store.draft("samples", recipe)
        draft.table("samples.parquet", mixed.to_arrow())
        draft.table("negatives.parquet", pl.concat(ledgers).to_arrow())
        counts = dict(mixed.group_by("source").len().sort("source").iter_rows())
        return draft.publish({"samples": len(mixed), "sources": counts, "mining": notes})

    def _remedy(self, stage: StagePlan) -> str:
        """What to write so that the stage has samples."""
        highest = max((int(part.judgements["grade"].max()) for part in self.judged), default=0)  # type: ignore[arg-type]
        if stage.mine and _JUDGED & stage.sources().keys() and highest < stage.mine.min_grade:
            return (
                f"mine.min_grade {stage.mine.min_grade} leaves no judgement, for the highest grade of the train splits "
                f"is {highest}; write min_grade: {highest}"
            )
        return "lower hard_rank or negatives, raise depth, or take another source"

    def _supervision(self, label: str, source: str, stage: StagePlan, current: Artifact) -> list[Supervision]:
        if source in _JUDGED:
            if not self.judged:
                raise InputError(
                    f"{label}: no application has a train split: add qrels/train.tsv or train on weak sources only"
                )
            return self.judged
        if source == "pseudo":
            retrievers = self._miners(label, stage.pseudo.retrievers, current, self.prepared.corpora.values())
            return pseudo_supervision(self.prepared.corpora, retrievers, stage.pseudo, stage.limit)
        return weak_supervision(self.prepared.corpora, source, stage, self.plan.resources.embed)

    def _mined(
        self, label: str, parts: list[Supervision], settings: MinePlan, stage: StagePlan, current: Artifact
    ) -> tuple[pl.DataFrame, dict[str, Findings]]:
        miners = self._miners(label, settings.miners, current, [part.corpus for part in parts])
        candidates = find_candidates(parts, miners, settings.depth)
        if settings.scored_by == "current":
            scores = self._scores(label, candidates, current)
            settings = settings.model_copy(update={"miners": ("current",)})
            candidates = [reordered(part, own, "current") for part, own in zip(candidates, scores, strict=True)]
        filters = self._teacher(label, candidates, settings.filter_by)
        teachers = self._teacher(label, candidates, stage.loss.teacher)
        frames, found = [pl.DataFrame(schema=SAMPLE)], {}
        for part, check, teacher in zip(candidates, filters, teachers, strict=True):
            findings = mine(part, settings, check)
            found[part.supervision.source] = findings
            frames.append(mined_samples(findings.mined, part.supervision, part.texts, teacher))
        return pl.concat(frames), found

    def _teacher(
        self, label: str, candidates: Sequence[Candidates], reference: str | None
    ) -> Sequence[pl.DataFrame | None]:
        return (
            [None] * len(candidates) if reference is None else self._scores(label, candidates, self.resolve(reference))
        )

    def _scores(self, label: str, candidates: Sequence[Candidates], reranker: Artifact) -> list[pl.DataFrame]:
        return score_candidates(
            self.store,
            candidates,
            reranker,
            label=f"{label}: score candidates",
            workers=self.plan.resources.score,
            progress=self.progress,
        )

    def _miners(self, label: str, names: Sequence[str], current: Artifact, corpora: Iterable[Artifact]) -> list[Miner]:
        searched = {corpus.digest for corpus in corpora}
        indexer = Indexer(plan=self.plan, store=self.store, prepared=self.prepared, progress=self.progress)
        checkpoints = {name: self._retriever(name, current) for name in names}
        indexer.embed_all(checkpoints, f"for {label}")
        return [
            Miner(
                name,
                {
                    corpus.digest: indexer.retriever(corpus_name, name, checkpoint)
                    for corpus_name, corpus in self.prepared.corpora.items()
                    if corpus.digest in searched
                },
            )
            for name, checkpoint in checkpoints.items()
        ]

    def _retriever(self, name: str, current: Artifact) -> Artifact | None:
        if name == "bm25":
            return None
        return current if name == "current" else self.resolve(f"retriever:{name}")

    def _fingerprint(self, name: str, current: Artifact) -> str:
        checkpoint = self._retriever(name, current)
        return "bm25" if checkpoint is None else str(checkpoint.meta["fingerprint"])

    def _texts(self, stage: StagePlan) -> pl.DataFrame:
        """text, source: the documents of every corpus, a hash sample where there are more than the stage's limit."""
        frames = []
        for name, corpus in self.prepared.corpora.items():
            taken = pl.DataFrame(schema={"key": pl.UInt64, "text": pl.String})
            for table in iterate_documents(corpus, ["doc_id", "title", "text"]):
                rows = pl.DataFrame(table)
                texts = [document_text(*row) for row in rows.select("title", "text").iter_rows()]
                shard = pl.DataFrame(
                    {"key": [text_hash(d) for d in rows["doc_id"]], "text": texts}, schema=taken.schema
                )
                taken = pl.concat([taken, shard]).sort("key").head(stage.limit)
            frames.append(taken.select("text", source=pl.lit(f"text:{name}")))
        return shuffled(pl.concat(frames), np.random.default_rng(self.plan.seed))


def _settings(stage: StagePlan, source: str) -> MinePlan:
    """How a source is mined: only `mined` looks for hard queries, only judgements have grades."""
    assert stage.mine is not None  # the plan's checks
    if source == "mined":
        return stage.mine
    return stage.mine.model_copy(update={"hard_rank": 1} | ({} if source in _JUDGED else {"min_grade": 1}))


def _counts(findings: Findings) -> Mapping[str, float]:
    suspects = int((findings.ledger["use"] == "suspect").sum())
    return {
        "queries": findings.queries,
        "kept": findings.queries - findings.easy - findings.short,
        "easy": findings.easy,
        "short": findings.short,
        "suspects": suspects,
        "suspected_rate": round(findings.suspected_rate, 4),
    }
