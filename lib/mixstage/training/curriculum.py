"""The curriculum: stages from their parents, on samples that the models themselves helped to find.

Every stage, and every round of a stage that refreshes its negatives, is an artifact addressed by what decides it. A
stage is trained when something first asks for it, so stages of both components may lean on each other.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from mixstage.corpus.prepare import Prepared
from mixstage.models.base import export_base, export_model
from mixstage.models.checkpoint import Checkpoint
from mixstage.plan.stages import Component, StagePlan
from mixstage.store.plain import Json
from mixstage.store.store import Draft
from mixstage.training.artifacts import Samples
from mixstage.training.launch import Launch, launch
from mixstage.training.round import Round
from mixstage.training.samples.sampler import Sampler
from mixstage.training.soup import cook, soup_weights

Stages = dict[str, Checkpoint]  # stage -> checkpoint, "base" first


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """Trains what a plan names."""

    prepared: Prepared
    retrievers: Stages = field(default_factory=dict)
    rerankers: Stages = field(default_factory=dict)

    @cached_property
    def sampler(self) -> Sampler:
        return Sampler(prepared=self.prepared, resolve=self.resolve)

    def train(self) -> None:
        """Fills `retrievers` and `rerankers`, in the plan's order; raises InputError if nothing can be learned from."""
        for component in ("retriever", "reranker"):
            stages = self._stages(component)
            named = {name: self.checkpoint(component, name) for name in ("base", *self._plans(component))}
            last_steps = {name: stages[name] for name in stages if name not in named}  # NAME-last, where both are kept
            stages.clear()
            for name, checkpoint in named.items():
                stages[name] = checkpoint
                if f"{name}-last" in last_steps:
                    stages[f"{name}-last"] = last_steps[f"{name}-last"]

    def resolve(self, reference: str) -> Checkpoint:
        """The checkpoint of "retriever:STAGE", "reranker:STAGE" or "teacher:NAME"."""
        kind, _, name = reference.partition(":")
        if kind == "teacher":
            return export_model(
                self.prepared.plan.teachers[name], self.prepared.store, self.prepared.plan.seed, stage=f"teacher {name}"
            )
        return self.checkpoint("retriever" if kind == "retriever" else "reranker", name)

    def checkpoint(self, component: Component, name: str) -> Checkpoint:
        """A stage's checkpoint: known, in the store, or trained now."""
        stages = self._stages(component)
        if name not in stages:
            plan = self._plans(component).get(name)
            stages[name] = self._base(component) if plan is None else self._make(component, name, plan)
        return stages[name]

    def _base(self, component: Component) -> Checkpoint:
        """What the first stage starts from; a reranker may start from what a retriever stage has learned."""
        part = self.prepared.plan.reranker
        kind, _, stage = part.base.partition(":")
        if component == "retriever" or kind != "retriever":
            return export_base(self.prepared.plan, self.prepared.store, component)
        folder = self.checkpoint("retriever", stage).local()
        started = part.model_copy(update={"base": str(folder)})
        return export_model(started, self.prepared.store, self.prepared.plan.seed, stage="base")

    def _stages(self, component: Component) -> Stages:
        return self.retrievers if component == "retriever" else self.rerankers

    def _plans(self, component: Component) -> dict[str, StagePlan]:
        return (self.prepared.plan.retriever if component == "retriever" else self.prepared.plan.reranker).stages

    def _make(self, component: Component, name: str, stage: StagePlan) -> Checkpoint:
        if stage.soup:
            return self._soup(component, name, stage)
        parent = self.checkpoint(component, stage.from_)
        first = Round(prepared=self.prepared, component=component, name=name, stage=stage, parent=parent, miner=parent)
        return self._train(first) if stage.rounds() == 1 else self._refreshed(first)

    def _soup(self, component: Component, name: str, stage: StagePlan) -> Checkpoint:
        assert stage.soup is not None
        members = [self.checkpoint(component, name) for name in stage.soup.of]
        weights = soup_weights(len(members), stage.soup.weight)
        recipe = {"what": "soup", "of": [member.fingerprint for member in members], "weights": weights}
        notes: dict[str, Json] = {"stage": name, "soup": dict(zip(stage.soup.of, weights, strict=True))}
        return self.prepared.store.made(Checkpoint, recipe, lambda draft: cook(draft, members, weights, notes))

    def _refreshed(self, first: Round) -> Checkpoint:
        """One round an epoch, each from the weights that the last one left, on negatives that they prefer.

        Asynchronous: from the second round on, a round trains on what the weights one round earlier preferred, and
        while it runs the next round's negatives are mined. Which weights mined for which round is fixed, whoever is
        faster.
        """
        assert first.stage.mine is not None
        rounds, late = first.stage.rounds(), first.stage.mine.asynchronous
        weights = [first.parent]
        mining: Future[Samples] | None = None
        with ThreadPoolExecutor(1) as aside:
            for number in range(rounds):
                if mining is not None:
                    mining.result()  # what this round trains on
                now = replace(first, number=number, parent=weights[-1], miner=weights[-1])
                if late and 0 < number < rounds - 1:
                    mining = aside.submit(self.sampler.samples, now)
                weights.append(self._train(replace(now, miner=weights[-2]) if late and number > 0 else now))
        return weights[-1]

    def _train(self, this: Round) -> Checkpoint:
        """The checkpoint of a round: from the store, or trained now."""
        checkpoint = self.prepared.store.made(Checkpoint, self.recipe(this), partial(self._run, this))
        if checkpoint.last is not None:
            self._stages(this.component)[f"{this.name}-last"] = self.prepared.store.get(Checkpoint, checkpoint.last)
        return checkpoint

    def _run(self, this: Round, draft: Draft[Checkpoint]) -> Checkpoint:
        """Trains a round on its samples and publishes what it leaves."""
        samples = self.sampler.samples(this)
        self.prepared.progress.say(f"{this.label}: {_describe(samples)}")
        run = Launch(
            fit=this.fit(samples, self._guide(this)),
            store=self.prepared.store,
            digest=draft.digest,
            workers=this.workers,
            probe=this.probe(),
            validators=self.prepared.plan.resources.validation,
        )
        with launch(run, self.prepared.progress) as trained:
            return this.publish(draft, samples, trained)

    def recipe(self, this: Round) -> dict[str, Json]:
        """What decides the weights that a round leaves."""
        return this.recipe(self.sampler.recipe(this), self._guide(this))

    def _guide(self, this: Round) -> Checkpoint | None:
        return self.resolve(this.stage.loss.guide) if this.stage.loss.guide else None


def _describe(samples: Samples) -> str:
    sources = ", ".join(f"{count} {source}" for source, count in samples.sources.items())
    return f"{samples.count} samples ({sources})"
