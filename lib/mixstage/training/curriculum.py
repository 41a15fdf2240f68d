"""The curriculum: stages from their parents, on samples that the models themselves helped to find.

Every stage, and every round of a stage that refreshes its negatives, is an artifact addressed by what decides it. A
stage is trained when something first asks for it, so stages of both components may lean on each other.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pyarrow import fs

from mixstage.corpus.prepare import Prepared
from mixstage.models.base import export_base, export_model
from mixstage.models.checkpoint import SETTINGS, Checkpoint, publish_checkpoint
from mixstage.plan.schema import Plan
from mixstage.plan.stages import Component, StagePlan, TrainWorkers
from mixstage.progress import Progress
from mixstage.store.store import Artifact, Draft, Store, digest_of
from mixstage.training.fitting.run import Fit
from mixstage.training.launch import Trained, launch
from mixstage.training.samples.sampler import Sampler, Samples
from mixstage.training.soup import cook, soup_weights
from mixstage.training.validation import make_probe

_FORMAT = 2  # raise when a stage would train differently from the same plan
# Fields that say how, not what: they change no weight, or only the last digits.
_HOW = {"from_", "mine", "samples", "pseudo", "generator", "limit", "temperature", "soup", "resources", "save_every"}
Stages = dict[str, Checkpoint]  # stage -> checkpoint, "base" first


class Adapter(Artifact):
    """What LoRA learned, before it was merged into a checkpoint: a folder that peft loads."""

    kind = "adapter"
    __slots__ = ()


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """Trains what a plan names."""

    plan: Plan
    store: Store
    prepared: Prepared
    progress: Progress
    retrievers: Stages = field(default_factory=dict)
    rerankers: Stages = field(default_factory=dict)

    @cached_property
    def sampler(self) -> Sampler:
        return Sampler(
            plan=self.plan, store=self.store, prepared=self.prepared, progress=self.progress, resolve=self.resolve
        )

    def train(self) -> None:
        """Fills `retrievers` and `rerankers`, in the plan's order; raises InputError if nothing can be learned from."""
        for component in ("retriever", "reranker"):
            stages = self._stages(component)
            made = {name: self.checkpoint(component, name) for name in ("base", *self._plans(component))}
            lasts = {name: stages[name] for name in stages if name not in made}  # NAME-last, where both are kept
            stages.clear()
            for name, checkpoint in made.items():
                stages[name] = checkpoint
                stages |= {last: found for last, found in lasts.items() if last == f"{name}-last"}

    def resolve(self, reference: str) -> Checkpoint:
        """The checkpoint of "retriever:STAGE", "reranker:STAGE" or "teacher:NAME"."""
        kind, _, name = reference.partition(":")
        if kind == "teacher":
            return export_model(self.plan.teachers[name], self.store, self.plan.seed, stage=f"teacher {name}")
        return self.checkpoint("retriever" if kind == "retriever" else "reranker", name)

    def checkpoint(self, component: Component, name: str) -> Checkpoint:
        """A stage's checkpoint: known, found in the store, or made now."""
        stages = self._stages(component)
        if name not in stages:
            plan = self._plans(component).get(name)
            stages[name] = self._base(component) if plan is None else self._make(component, name, plan)
        return stages[name]

    def _base(self, component: Component) -> Checkpoint:
        """What the first stage starts from; a reranker may start from what a retriever stage has learned."""
        part = self.plan.reranker
        kind, _, stage = part.base.partition(":")
        if component == "retriever" or kind != "retriever":
            return export_base(self.plan, self.store, component)
        folder = self.checkpoint("retriever", stage).local()
        started = part.model_copy(update={"base": str(folder)})
        return export_model(started, self.store, self.plan.seed, stage="base")

    def _stages(self, component: Component) -> Stages:
        return self.retrievers if component == "retriever" else self.rerankers

    def _plans(self, component: Component) -> dict[str, StagePlan]:
        return (self.plan.retriever if component == "retriever" else self.plan.reranker).stages

    def _make(self, component: Component, name: str, stage: StagePlan) -> Checkpoint:
        if stage.soup:
            return self._soup(component, name, stage)
        parent = self.checkpoint(component, stage.from_)
        if stage.rounds() > 1:
            return self._refreshed(component, name, stage, parent)
        return self._round(f"{component} {name}", component, name, stage, parent, parent, 0)

    def _soup(self, component: Component, name: str, stage: StagePlan) -> Checkpoint:
        assert stage.soup is not None
        parts = [self.checkpoint(component, part) for part in stage.soup.of]
        weights = soup_weights(len(parts), stage.soup.weight)
        recipe = {"what": "soup", "of": [part.fingerprint for part in parts], "weights": weights}
        found = self.store.find(Checkpoint, digest_of(recipe))
        notes = {"stage": name, "soup": dict(zip(stage.soup.of, weights, strict=True))}
        return found or cook(self.store.draft(Checkpoint, recipe), parts, weights, notes)

    def _refreshed(self, component: Component, name: str, stage: StagePlan, parent: Checkpoint) -> Checkpoint:
        """One round an epoch, each from the weights that the last one left, on negatives that they prefer.

        Asynchronous: from the second round on, a round trains on what the weights one round earlier preferred, and
        while it runs the next round's negatives are mined. Which weights mined for which round is fixed, whoever is
        faster.
        """
        assert stage.mine is not None
        rounds, late = stage.rounds(), stage.mine.asynchronous
        weights = [parent]
        mining: Future[Samples] | None = None
        with ThreadPoolExecutor(1) as aside:
            for number in range(rounds):
                label = f"{component} {name} round {number + 1}/{rounds}"
                if mining is not None:
                    mining.result()  # what this round trains on
                if late and 0 < number < rounds - 1:
                    mining = aside.submit(self.sampler.samples, label, component, stage, weights[-1])
                miner = weights[-2] if late and number > 0 else weights[-1]
                weights.append(self._round(label, component, name, stage, weights[-1], miner, number))
        return weights[-1]

    def _round(
        self,
        label: str,
        component: Component,
        name: str,
        stage: StagePlan,
        parent: Checkpoint,
        current: Checkpoint,
        number: int,
    ) -> Checkpoint:
        """A training run. parent: the weights it starts from. current: those that mine for it."""
        workers = stage.resources or self.plan.resources.train
        recipe = self._recipe(component, stage, parent, current, number, workers)
        found = self.store.find(Checkpoint, digest_of(recipe))
        if found is None:
            samples = self.sampler.samples(label, component, stage, current)
            self.progress.say(f"{label}: {_describe(samples)}")
            run = self._fit(label, component, stage, parent, samples, number, workers)
            probe = None
            if stage.validation:
                probe = make_probe(self.plan, self.store, self.prepared, component, stage.validation)
            draft = self.store.draft(Checkpoint, recipe)
            validators = self.plan.resources.validation
            with launch(
                run, self.store, workers, draft.digest, self.progress, probe=probe, validators=validators
            ) as trained:
                found = self._publish(draft, name, stage, parent, samples, trained)
        if "last" in found.meta:
            self._stages(component)[f"{name}-last"] = self.store.get(Checkpoint, found.meta["last"])
        return found

    def _recipe(
        self,
        component: Component,
        stage: StagePlan,
        parent: Checkpoint,
        current: Checkpoint,
        number: int,
        workers: TrainWorkers,
    ) -> dict[str, Any]:
        recipe: dict[str, Any] = {
            "what": "stage",
            "format": _FORMAT,
            "component": component,
            "parent": parent.fingerprint,
            "samples": digest_of(self.sampler.recipe(component, stage, current)),
            "stage": stage.model_dump(mode="json", exclude=_HOW),
            "round": [number, stage.rounds()],
            "seed": self.plan.seed,
            "workers": workers.workers,  # the order of additions depends on it
            "threads": workers.cpus,
        }
        if stage.loss.guide:
            recipe["guide"] = self.resolve(stage.loss.guide).fingerprint
        if stage.validation:
            recipe["probe"] = {name: part.digest for name, part in self.prepared.applications.items()}
        return recipe

    def _fit(
        self,
        label: str,
        component: Component,
        stage: StagePlan,
        parent: Checkpoint,
        samples: Samples,
        number: int,
        workers: TrainWorkers,
    ) -> Fit:
        rounds = stage.rounds()
        steps = None if stage.steps is None else max(1, stage.steps // rounds)
        if steps is None and rounds > 1:  # the schedule has to know where it ends
            steps = max(1, samples.meta["samples"] // stage.batch_size)
        return Fit(
            label=label,
            component=component,
            stage=stage,
            steps=steps,
            epochs=1 if rounds > 1 else stage.epochs,
            seed=self.plan.seed + number,
            parent=parent,
            samples=samples,
            guide=self.resolve(stage.loss.guide) if stage.loss.guide else None,
            first_step=number * (steps or 0),
            schedule_steps=steps * rounds if steps is not None and rounds > 1 else None,
            threads=workers.cpus,
            elastic=isinstance(workers.workers, tuple),
            report_to=self.plan.tracking.report_to,
            log_every=self.plan.tracking.every,
            curves=self._curves(label),
            run_name=f"{self.plan.name} {label}",
        )

    def _curves(self, label: str) -> str | None:
        """Folder of TensorBoard's event files, beside the artifacts."""
        if "tensorboard" not in self.plan.tracking.report_to:
            return None
        is_disk = isinstance(self.store.filesystem, fs.LocalFileSystem)  # event files take no file:// address
        root = self.store.root if is_disk else self.store.uri.rstrip("/")
        return f"{root}/tensorboard/{self.plan.name}/{label.replace('/', ' of ')}"

    def _publish(
        self,
        draft: Draft[Checkpoint],
        name: str,
        stage: StagePlan,
        parent: Checkpoint,
        samples: Samples,
        trained: Trained,
    ) -> Checkpoint:
        settings = parent.read_json(SETTINGS)
        best, last = trained.steps
        notes: dict[str, Any] = {
            "stage": name,
            "parent": parent.digest,
            "samples": samples.digest,
            "curve": trained.curve,
            "measured": trained.measured,
            "step": best,
        }
        if trained.adapter is not None:
            kept = self.store.draft(Adapter, {**draft.recipe, "what": "adapter"})
            kept.folder(trained.adapter)
            notes["adapter"] = kept.publish({"stage": name, "parent": parent.digest}).digest
        keep = stage.validation.keep if stage.validation else "best"
        if keep == "both" and best != last:
            recipe = {**draft.recipe, "what": "last step"}
            other = publish_checkpoint(
                self.store.draft(Checkpoint, recipe),
                trained.last,
                settings,
                {**notes, "stage": f"{name}-last", "step": last},
            )
            notes["last"] = other.digest
        chosen, step = (trained.last, last) if keep == "last" else (trained.best, best)
        return publish_checkpoint(draft, chosen, settings, {**notes, "step": step})


def _describe(samples: Samples) -> str:
    sources = ", ".join(f"{count} {source}" for source, count in samples.meta["sources"].items())
    return f"{samples.meta['samples']} samples ({sources})"
