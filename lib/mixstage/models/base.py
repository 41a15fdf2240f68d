"""Base models: what a plan's `base:` names, brought into the form of a checkpoint."""

import importlib
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixstage.errors import ModelError
from mixstage.models.checkpoint import Checkpoint, fingerprint, publish_checkpoint
from mixstage.models.kinds import LATE, RETRIEVERS
from mixstage.plan.schema import Plan, RerankerPlan, RetrieverPlan
from mixstage.plugins import find, source_digest
from mixstage.store.plain import Json
from mixstage.store.store import Draft, Store

_PACKAGE, _HASHING = "package://", "hashing://"
_FOLDERS = ("transformer", LATE)  # kinds whose base is a folder of weights
_PLUGIN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")  # PACKAGE.MODULE:NAME


def export_base(plan: Plan, store: Store, component: str) -> Checkpoint:
    """The stage called "base": the untrained component as a checkpoint."""
    return export_model(plan.retriever if component == "retriever" else plan.reranker, store, plan.seed, stage="base")


def export_model(part: RetrieverPlan | RerankerPlan, store: Store, seed: int, *, stage: str) -> Checkpoint:
    """What a plan's `base:` names as a checkpoint.

    A reranker gets a classification head drawn from the seed where the model has none. Raises ModelError if there is no
    model, or one that encodes no text.
    """
    settings = _settings(part)
    recipe: dict[str, Json] = {"what": "base", "format": Checkpoint.FORMAT, "settings": settings}
    if is_folder := settings["kind"] in _FOLDERS:
        recipe["source"] = fingerprint(locate(part.base))
        if isinstance(part, RerankerPlan):
            recipe["head"] = {"layers": part.layers, "seed": seed}

    def build(draft: Draft[Checkpoint]) -> Checkpoint:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            if is_folder:
                _save(part, folder, seed)
            return publish_checkpoint(draft, folder, settings, {"stage": stage})

    return store.made(Checkpoint, recipe, build)


def locate(base: str) -> Path:
    """Folder of a base model: a path, or package://NAME of a Python package that carries one."""
    if base.startswith(_PACKAGE):
        name = base.removeprefix(_PACKAGE)
        try:
            return Path(importlib.import_module(name).get_model_path())
        except ImportError:
            raise ModelError(f"no Python package {name!r}: install the one that holds the model") from None
        except AttributeError:
            raise ModelError(f"the package {name!r} has no get_model_path(): it carries no model") from None
    folder = Path(base).expanduser()
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"no model at {base}: give a folder with config.json, package://NAME, hashing://DIM, or a retriever "
            "of your own, PACKAGE.MODULE:NAME"
        )
    return folder


def _settings(part: RetrieverPlan | RerankerPlan) -> dict[str, Json]:
    component = "retriever" if isinstance(part, RetrieverPlan) else "reranker"
    if part.base.startswith(_HASHING):
        dim = part.base.removeprefix(_HASHING)
        if not dim.isdigit() or int(dim) < 1:
            raise ModelError(f"{part.base}: give the number of dimensions, such as hashing://256")
        return {"component": component, "kind": "hashing", "dim": int(dim)}
    if isinstance(part, RetrieverPlan) and _PLUGIN.fullmatch(part.base):
        find("retrievers", part.base, RETRIEVERS)  # a name that can't be imported is refused here
        return {"component": component, "kind": part.base, "source": source_digest(part.base)}
    late = isinstance(part, RerankerPlan) and part.architecture == LATE
    settings: dict[str, Json] = {
        "component": component,
        "kind": LATE if late else "transformer",
        "max_length": part.max_length,
    }
    if isinstance(part, RetrieverPlan):
        settings["prompts"] = {"query": part.query_prompt, "document": part.document_prompt}
    return settings


def _save(part: RetrieverPlan | RerankerPlan, folder: Path, seed: int) -> None:
    import torch

    with torch.random.fork_rng(devices=[]):  # the head's weights are drawn from the plan's seed, nothing else is
        torch.manual_seed(seed)
        try:
            model = _open(part, str(locate(part.base)))
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(f"{part.base} is not a text encoder that sentence-transformers opens: {error}") from error
    if not hasattr(model.tokenizer, "convert_ids_to_tokens"):
        raise ModelError(f"{part.base} reads no text: name a model with a tokenizer")
    model.save_pretrained(str(folder), create_model_card=False)


def _open(part: RetrieverPlan | RerankerPlan, source: str) -> Any:
    from sentence_transformers import CrossEncoder, SentenceTransformer

    if isinstance(part, RetrieverPlan):
        retriever = SentenceTransformer(source, device="cpu", local_files_only=True)
        retriever.max_seq_length = part.max_length
        return retriever
    layers = {} if part.layers is None else {"num_hidden_layers": part.layers}
    if part.architecture == LATE:
        return _late(source, part.max_length, layers)
    return CrossEncoder(
        source, num_labels=1, max_length=part.max_length, device="cpu", config_kwargs=layers, local_files_only=True
    )


def _late(source: str, max_length: int, config: Mapping[str, Json]) -> Any:
    """A MultiVectorEncoder over the base's own token vectors; upstream would add a projection of random weights."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    words = Transformer(source, max_seq_length=max_length, config_kwargs=config)
    modules = [words, MultiVectorMask(), Normalize(module_input_name="token_embeddings")]
    return MultiVectorEncoder(modules=modules, device="cpu", similarity_fn_name="meanmaxsim")
