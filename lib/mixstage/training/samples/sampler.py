"""The samples of a round: sources gathered, mined where negatives are needed, mixed, and kept as an artifact."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import polars as pl

from mixstage.corpus.prepare import Prepared
from mixstage.corpus.tables import Corpus
from mixstage.errors import InputError
from mixstage.index.indexer import Indexer
from mixstage.models.checkpoint import Checkpoint, RetrieverModel
from mixstage.models.lexical import BM25
from mixstage.plan.sources import SOURCES, Source, find_source
from mixstage.plan.stages import MinePlan, StagePlan
from mixstage.plugins import source_digests
from mixstage.store.plain import Json
from mixstage.store.store import Draft
from mixstage.training.artifacts import Samples
from mixstage.training.round import Round
from mixstage.training.samples.generators import GENERATORS
from mixstage.training.samples.miners import Mined, Miner, mine, reordered, score_mined
from mixstage.training.samples.negatives import LEDGER, Findings, choose_negatives, mined_samples
from mixstage.training.samples.supervision import (
    SAMPLE,
    Supervision,
    corpus_texts,
    mix,
    read_judged,
    supervised_pairs,
)


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """Makes samples; `resolve("reranker:broad")` gives the checkpoint of a stage or a teacher."""

    prepared: Prepared
    resolve: Callable[[str], Checkpoint]

    @cached_property
    def judged(self) -> list[Supervision]:
        """The train splits of every application that has one."""
        return read_judged(self.prepared)

    def recipe(self, this: Round) -> dict[str, Json]:
        """What decides a round's samples: data, shares, and the models that look for them."""
        stage = this.stage
        recipe: dict[str, Json] = {
            "what": "samples",
            "format": Samples.FORMAT,
            "component": this.component,
            "corpora": {name: part.digest for name, part in self.prepared.corpora.items()},
            "seed": self.prepared.plan.seed,
        }
        if stage.mlm:
            return {**recipe, "what": "texts", "limit": stage.limit}
        recipe |= {"sources": stage.sources(), "temperature": stage.temperature}
        recipe |= self._source_recipe(this)
        if stage.mine:
            recipe |= self._mine_recipe(stage.mine, this.miner)
        if stage.loss.teacher:
            recipe["teacher"] = self.resolve(stage.loss.teacher).fingerprint
        return recipe

    def _source_recipe(self, this: Round) -> dict[str, Json]:
        """What the sources read beside the corpora: train splits, fields of the stage, and code from outside."""
        stage, sources = this.stage, [find_source(name) for name in this.stage.sources()]
        recipe: dict[str, Json] = {}
        if any(source.judged for source in sources):
            recipe["applications"] = {name: part.digest for name, part in self.prepared.applications.items()}
        fields = {field for source in sources for field in source.fields}
        recipe |= stage.model_dump(mode="json", include=fields)
        plugins = source_digests("sources", stage.sources(), SOURCES)
        if "generator" in fields:
            plugins |= source_digests("generators", [stage.generator], GENERATORS)
        if "pseudo" in fields:
            recipe["pseudo_retrievers"] = [self._fingerprint(name, this.miner) for name in stage.pseudo.retrievers]
        return recipe | ({"plugins": plugins} if plugins else {})

    def _mine_recipe(self, settings: MinePlan, current: Checkpoint) -> dict[str, Json]:
        recipe: dict[str, Json] = {
            "mine": settings.model_dump(mode="json", exclude={"refresh", "asynchronous"}),
            "miners": [self._fingerprint(name, current) for name in settings.miners],
        }
        if settings.scored_by == "current":
            recipe["scored_by"] = current.fingerprint
        if settings.filter_by:
            recipe["filter"] = self.resolve(settings.filter_by).fingerprint
        return recipe

    def samples(self, this: Round) -> Samples:
        """The samples artifact: samples.parquet and, of mined ones, negatives.parquet, the ledger.

        Raises InputError if there is nothing to learn from.
        """
        build = self._texts if this.stage.mlm else self._mixed
        return self.prepared.store.made(Samples, self.recipe(this), partial(build, this))

    def _texts(self, this: Round, draft: Draft[Samples]) -> Samples:
        """Plain texts of the corpora."""
        texts = corpus_texts(self.prepared.corpora, this.stage.limit, self.prepared.plan.seed)
        draft.table("samples.parquet", texts.to_arrow())
        return draft.publish({"samples": len(texts), "sources": dict(texts["source"].value_counts().iter_rows())})

    def _mixed(self, this: Round, draft: Draft[Samples]) -> Samples:
        """What the stage's sources gave, mined where negatives are needed, in the shares of the plan."""
        frames: dict[str, pl.DataFrame] = {}
        findings: list[tuple[str, Findings]] = []  # a train split may be mined twice, as `judged` and as `mined`
        for name in this.stage.sources():
            source = find_source(name)
            parts = source.gather(self, this, name)
            if this.component == "retriever" and not source.mined:
                frames[name] = supervised_pairs(parts)
                continue
            frames[name], of_parts = self._mined(this, parts, _settings(this.stage, source))
            findings += of_parts
        notes = {name: _counts(part) for name, part in findings}
        mixed = mix(frames, this.stage.sources(), self.prepared.plan.seed, this.stage.temperature)
        if mixed.is_empty():
            draft.delete()
            raise InputError(f"{this.label}: no samples ({notes or this.stage.sources()}): {self._remedy(this.stage)}")
        return _publish(draft, mixed, findings, notes)

    def _remedy(self, stage: StagePlan) -> str:
        """What to write so that the stage has samples."""
        if stage.mine and any(find_source(name).judged for name in stage.sources()):
            highest = max(int(grade) for part in self.judged for grade in part.judgements["grade"])
            if highest < stage.mine.min_grade:
                return (
                    f"mine.min_grade {stage.mine.min_grade} leaves no judgement, for the highest grade of the train "
                    f"splits is {highest}; write min_grade: {highest}"
                )
        return "lower hard_rank or negatives, raise depth, or take another source"

    def _mined(
        self, this: Round, parts: list[Supervision], settings: MinePlan
    ) -> tuple[pl.DataFrame, list[tuple[str, Findings]]]:
        miners = self.miners(this, settings.miners, [part.corpus for part in parts])
        mined = mine(parts, miners, settings.depth)
        if settings.scored_by == "current":
            scores = self._scores(this, mined, this.miner)
            settings = settings.model_copy(update={"miners": ("current",)})
            mined = [reordered(part, own, "current") for part, own in zip(mined, scores, strict=True)]
        filters = self._taught(this, mined, settings.filter_by)
        teachers = self._taught(this, mined, this.stage.loss.teacher)
        frames, findings = [pl.DataFrame(schema=SAMPLE)], []
        for part, check, teacher in zip(mined, filters, teachers, strict=True):
            chosen = choose_negatives(part, settings, check)
            findings.append((part.supervision.source, chosen))
            frames.append(mined_samples(chosen.kept, part.supervision, part.texts, teacher))
        return pl.concat(frames), findings

    def _taught(self, this: Round, mined: Sequence[Mined], reference: str | None) -> Sequence[pl.DataFrame | None]:
        """What the reranker of a reference says of each part; None where the plan names none."""
        return [None] * len(mined) if reference is None else self._scores(this, mined, self.resolve(reference))

    def _scores(self, this: Round, mined: Sequence[Mined], reranker: Checkpoint) -> list[pl.DataFrame]:
        return score_mined(self.prepared, mined, reranker, label=f"{this.label}: score candidates")

    def miners(self, this: Round, names: Sequence[str], corpora: Iterable[Corpus]) -> list[Miner]:
        """Retrievers by the names of a plan ("bm25", "base", a stage, "current"), ready to search the corpora."""
        searched = {corpus.digest for corpus in corpora}
        indexer = Indexer(prepared=self.prepared)
        checkpoints = {name: self._retriever(name, this.miner) for name in names}
        indexer.embed_all(checkpoints, f"for {this.label}")
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

    def _retriever(self, name: str, current: Checkpoint) -> RetrieverModel:
        if name == "bm25":
            return BM25
        return current if name == "current" else self.resolve(f"retriever:{name}")

    def _fingerprint(self, name: str, current: Checkpoint) -> str:
        return self._retriever(name, current).fingerprint


def _settings(stage: StagePlan, source: Source) -> MinePlan:
    """How a source is mined: only `mined` looks for hard queries, only judgements have grades."""
    assert stage.mine is not None  # the plan's checks
    if source.mined:
        return stage.mine
    return stage.mine.model_copy(update={"hard_rank": 1} | ({} if source.judged else {"min_grade": 1}))


def _publish(
    draft: Draft[Samples], samples: pl.DataFrame, findings: Sequence[tuple[str, Findings]], notes: Mapping[str, Json]
) -> Samples:
    ledgers = [pl.DataFrame(schema={"source": pl.String, **LEDGER})]
    ledgers += [part.ledger.select(pl.lit(name).alias("source"), *LEDGER) for name, part in findings]
    draft.table("samples.parquet", samples.to_arrow())
    draft.table("negatives.parquet", pl.concat(ledgers).to_arrow())
    counts = dict(samples.group_by("source").len().sort("source").iter_rows())
    return draft.publish({"samples": len(samples), "sources": counts, "mining": notes})


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
