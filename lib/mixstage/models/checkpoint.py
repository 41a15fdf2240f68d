"""Checkpoints: plain model folders with a fingerprint and golden records.

A folder is what sentence-transformers loads by itself, plus `mixstage.json` (what it is and how texts are put to it)
and `golden.json` (fixed texts with the vectors or scores that they had at export). Whoever opens a folder replays
the golden records first: a drifted model is refused, whether the cause is a library, a dtype or a flipped bit.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from pyarrow import fs

from mixstage.errors import ModelError
from mixstage.models.encoder import Encoder, Precision, SentenceEncoder
from mixstage.models.kinds import LATE, open_kind
from mixstage.models.lexical import Bm25
from mixstage.models.reranker import Reranker
from mixstage.plan.stages import Component
from mixstage.store.files import file_digest
from mixstage.store.plain import Json, JsonObject
from mixstage.store.store import Artifact, Draft, digest_of

SETTINGS = "mixstage.json"
GOLDEN = "golden.json"
POINTWISE = ("hashing", "transformer", LATE)  # kinds of rerankers that score each pair by itself
TOLERANCE = 1e-3  # largest accepted difference of a coordinate or a logit: kernels and threads move 1e-6, bf16 1e-2
_FORBIDDEN = (".bin", ".pt", ".pth", ".pkl", ".py")  # formats that can run code when loaded
_QUERIES = (
    "My landlord wants to keep the deposit because of scratches on the floor. May he?",
    "limitation period for latent defects",
    "第三人撤销之诉的期限",
)
_DOCUMENTS = (
    "Return of the deposit. The landlord returns the deposit within thirty days after the tenant leaves the premises.",
    "A claim for defects that could not be found on delivery lapses two years after the buyer finds them.",
    "x",
)


class Checkpoint(Artifact):
    """A model folder: a stage of a component. What training noted is there where a stage was trained."""

    kind = "checkpoint"
    FORMAT = 1  # raise when the meaning of a fingerprint changes
    __slots__ = ()

    @property
    def fingerprint(self) -> str:
        """Digest of everything that decides the model's output: equal ones answer alike."""
        return str(self.meta["fingerprint"])

    @property
    def stage(self) -> str:
        """The stage that published it; plans that share a store may call it otherwise."""
        return str(self.meta["stage"])

    @property
    def settings(self) -> JsonObject:
        """What it is and how texts are put to it: {"component", "kind", ...}; read from its folder."""
        settings: JsonObject = self.read_json(SETTINGS)
        return settings

    @property
    def parent(self) -> str | None:
        """Digest of the checkpoint that training started from."""
        return self.meta.get("parent")

    @property
    def samples(self) -> str | None:
        """Digest of what it was trained on."""
        return self.meta.get("samples")

    @property
    def last(self) -> str | None:
        """Digest of the checkpoint of the last step, where the best one and the last are both kept."""
        return self.meta.get("last")

    @property
    def step(self) -> int | None:
        """Optimizer steps of training behind it."""
        return self.meta.get("step")

    @property
    def curve(self) -> list[Any]:
        """Losses of training, in steps' order."""
        return list(self.meta.get("curve", []))

    @property
    def measured(self) -> list[Any]:
        """What validation measured, in steps' order."""
        return list(self.meta.get("measured", []))

    @property
    def soup(self) -> dict[str, float] | None:
        """stage -> its weight in the average that this is."""
        return self.meta.get("soup")

    @property
    def adapter(self) -> str | None:
        """Digest of the adapter that was merged into it."""
        return self.meta.get("adapter")


RetrieverModel = Checkpoint | Bm25  # what finds documents, by its vectors or its words


def fingerprint(folder: Path) -> str:
    """Digest of everything that decides a model's output: weights, tokenizer, pooling, prompts, lengths.

    Golden records and prose (*.md) stay out.
    """
    local = fs.LocalFileSystem()
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    files = {
        name: file_digest(local, str(folder / name))["sha256"]
        for name in names
        if name not in (GOLDEN, "manifest.json") and not name.endswith(".md") and not Path(name).name.startswith(".")
    }
    return digest_of({"format": Checkpoint.FORMAT, "files": files})


def publish_checkpoint(
    draft: Draft[Checkpoint], folder: Path, settings: JsonObject, notes: Mapping[str, Json]
) -> Checkpoint:
    """Makes an artifact of a model folder; `settings` say what it is: {"component", "kind", ...}.

    The artifact's meta holds `fingerprint`, `component` and the notes.
    """
    unsafe = [path.name for path in folder.rglob("*") if path.suffix.lower() in _FORBIDDEN]
    if unsafe:
        raise ModelError(f"{', '.join(unsafe)}: formats that can run code; export the model as safetensors")
    (folder / SETTINGS).write_text(json.dumps(settings, indent=1))
    golden = replay(open_unchecked(folder))
    (folder / GOLDEN).write_text(json.dumps(golden.tolist()))
    draft.folder(folder)
    kept = {name: settings[name] for name in ("component", "kind")}
    return draft.publish({**notes, **kept, "fingerprint": fingerprint(folder)})


def open_encoder(checkpoint: Checkpoint, budget: int | None = None, precision: Precision = "float32") -> Encoder:
    """The retriever of a checkpoint; raises ModelError if it is none or drifted from its golden records.

    budget: tokens a forward pass; unset: what the device likes. precision: set after the golden records were replayed.
    """
    encoder = cast(Encoder, _open(checkpoint, "retriever", budget))
    if isinstance(encoder, SentenceEncoder):
        encoder.lower(precision)
    return encoder


def open_reranker(checkpoint: Checkpoint) -> Reranker:
    """The reranker of a checkpoint; raises ModelError if it is none or drifted from its golden records."""
    return cast(Reranker, _open(checkpoint, "reranker"))


def _open(checkpoint: Checkpoint, component: Component, budget: int | None = None) -> Encoder | Reranker:
    folder = checkpoint.local()
    settings = json.loads((folder / SETTINGS).read_text())
    if settings["component"] != component:
        raise ModelError(f"{checkpoint.path} is a {settings['component']}, not a {component}")
    model = open_unchecked(folder, budget)
    check_golden(folder, model)
    if fingerprint(folder) != checkpoint.fingerprint:
        raise ModelError(
            f"{folder}: its files are not those that were published, though the model still says the same; delete the "
            "checkpoint and train again"
        )
    return model


def check_golden(folder: Path, model: Encoder | Reranker) -> None:
    """Replays the golden records; raises ModelError if any value moved by more than TOLERANCE."""
    known = np.array(json.loads((folder / GOLDEN).read_text()), dtype=np.float32)
    now = replay(model)
    drift = float(np.abs(known - now).max()) if known.shape == now.shape else float("inf")
    if not drift <= TOLERANCE:
        raise ModelError(
            f"{folder} drifted by {drift:.2g} from its golden records (accepted: {TOLERANCE:g}): the weights or the "
            "libraries changed since export; delete the checkpoint and train again"
        )


def replay(model: Encoder | Reranker) -> np.ndarray:
    """The golden texts' vectors (2N, dim) or scores (N,), float32."""
    if hasattr(model, "encode"):
        return np.vstack([model.encode(_QUERIES, "query"), model.encode(_DOCUMENTS, "document")])
    return model.score(_QUERIES, _DOCUMENTS)


def open_unchecked(folder: Path, budget: int | None = None) -> Encoder | Reranker:
    """Opens a model folder by its settings; budget: see `open_encoder`."""
    settings = json.loads((folder / SETTINGS).read_text())
    return open_kind(folder, settings, budget)
