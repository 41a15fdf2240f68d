"""A round: one training run of a stage, as a value; what addresses it, what it runs, and what it publishes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pyarrow import fs

from mixstage.corpus.prepare import Prepared
from mixstage.models.checkpoint import Checkpoint, publish_checkpoint
from mixstage.plan.losses import LOSSES
from mixstage.plan.stages import Component, StagePlan, TrainWorkers
from mixstage.plugins import source_digests
from mixstage.store.plain import Json
from mixstage.store.store import Draft, digest_of
from mixstage.training.artifacts import Adapter, Samples
from mixstage.training.fitting.run import Fit
from mixstage.training.launch import Trained
from mixstage.training.validation import Probe, make_probe

_FORMAT: Final = 2  # raise when a stage would train differently from the same plan
# Fields that say how, not what: they change no weight, or only the last digits.
_HOW: Final = {
    "from_",
    "mine",
    "samples",
    "pseudo",
    "generator",
    "limit",
    "temperature",
    "soup",
    "resources",
    "save_every",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A training run of a stage; a stage that mines again before every epoch has a round an epoch."""

    prepared: Prepared
    component: Component
    name: str  # of the stage
    stage: StagePlan
    number: int = 0  # of the stage's rounds, from 0
    parent: Checkpoint  # the checkpoint that it starts from
    miner: Checkpoint  # the checkpoint that "current" stands for while its samples are looked for

    @property
    def label(self) -> str:
        """The head of every message: "retriever broad", "retriever robust round 2/3"."""
        stage, rounds = f"{self.component} {self.name}", self.stage.rounds()
        return f"{stage} round {self.number + 1}/{rounds}" if rounds > 1 else stage

    @property
    def workers(self) -> TrainWorkers:
        return self.stage.resources or self.prepared.plan.resources.train

    def recipe(self, samples: Mapping[str, Json], guide: Checkpoint | None) -> dict[str, Json]:
        """What decides the weights. samples: the recipe of its samples; guide: the checkpoint that `loss.guide`
        names."""
        recipe: dict[str, Json] = {
            "what": "stage",
            "format": _FORMAT,
            "component": self.component,
            "parent": self.parent.fingerprint,
            "samples": digest_of(samples),
            "stage": self.stage.model_dump(mode="json", exclude=_HOW),
            "round": [self.number, self.stage.rounds()],
            "seed": self.prepared.plan.seed,
            "workers": self.workers.workers,  # the order of additions depends on it
            "threads": self.workers.cpus,
        }
        if guide is not None:
            recipe["guide"] = guide.fingerprint
        if self.stage.validation:
            recipe["probe"] = {name: part.digest for name, part in self.prepared.applications.items()}
        if plugins := source_digests("losses", [self.stage.loss.name] if self.stage.loss.name else [], LOSSES):
            recipe["plugins"] = plugins
        return recipe

    def probe(self) -> Probe | None:
        """What its checkpoints are measured on; None where the stage wants no validation."""
        validation = self.stage.validation
        return None if validation is None else make_probe(self.prepared, self.component, validation)

    def fit(self, samples: Samples, guide: Checkpoint | None) -> Fit:
        """What its workers run."""
        rounds, stage, tracking = self.stage.rounds(), self.stage, self.prepared.plan.tracking
        steps = None if stage.steps is None else max(1, stage.steps // rounds)
        if steps is None and rounds > 1:  # the schedule has to know where it ends
            steps = max(1, samples.count // stage.batch_size)
        return Fit(
            label=self.label,
            component=self.component,
            stage=stage,
            steps=steps,
            epochs=1 if rounds > 1 else stage.epochs,
            seed=self.prepared.plan.seed + self.number,
            parent=self.parent,
            samples=samples,
            guide=guide,
            first_step=self.number * (steps or 0),
            schedule_steps=steps * rounds if steps is not None and rounds > 1 else None,
            threads=self.workers.cpus,
            elastic=isinstance(self.workers.workers, tuple),
            report_to=tracking.report_to,
            log_every=tracking.every,
            curves=self._curves(),
            run_name=f"{self.prepared.plan.name} {self.label}",
        )

    def _curves(self) -> str | None:
        """Folder of TensorBoard's event files, beside the artifacts."""
        plan, store = self.prepared.plan, self.prepared.store
        if "tensorboard" not in plan.tracking.report_to:
            return None
        is_disk = isinstance(store.filesystem, fs.LocalFileSystem)  # event files take no file:// address
        root = store.root if is_disk else store.uri.rstrip("/")
        return f"{root}/tensorboard/{plan.name}/{self.label.replace('/', ' of ')}"

    def publish(self, draft: Draft[Checkpoint], samples: Samples, trained: Trained) -> Checkpoint:
        """The checkpoint of the step that is kept; beside it the adapter, and the last step where both are kept."""
        settings, store = self.parent.settings, self.prepared.store
        best, last = trained.steps
        notes: dict[str, Json] = {
            "stage": self.name,
            "parent": self.parent.digest,
            "samples": samples.digest,
            "curve": trained.curve,
            "measured": trained.measured,
            "step": best,
        }
        if trained.adapter is not None:
            adapter = store.draft(Adapter, {**draft.recipe, "what": "adapter"})
            adapter.folder(trained.adapter)
            notes["adapter"] = adapter.publish({"stage": self.name, "parent": self.parent.digest}).digest
        keep = self.stage.validation.keep if self.stage.validation else "best"
        if keep == "both" and best != last:
            other = store.draft(Checkpoint, {**draft.recipe, "what": "last step"})
            other_notes = {**notes, "stage": f"{self.name}-last", "step": last}
            notes["last"] = publish_checkpoint(other, trained.last, settings, other_notes).digest
        folder, step = (trained.last, last) if keep == "last" else (trained.best, best)
        return publish_checkpoint(draft, folder, settings, {**notes, "step": step})
