"""A merged adapter answers as one that is still apart, stage upon stage."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.numpy import load_file
from sentence_transformers import CrossEncoder, SentenceTransformer

from mixstage.evaluation.grid import Grid
from mixstage.models.checkpoint import Checkpoint, open_encoder, open_reranker, publish_checkpoint
from mixstage.store.store import Store
from mixstage.training.fitting.fit import Fit, Silent, fit

RunMaker = Callable[..., Fit]
TEXTS = ["may the tenant keep the deposit", "three months to the end of a quarter", "the landlord returns the deposit"]
PAIRS = [(TEXTS[0], TEXTS[1]), (TEXTS[0], TEXTS[2]), (TEXTS[2], TEXTS[1])]


def two_stages(component: str, store: Store, tmp_path: Path, make_run: RunMaker) -> tuple[Grid, Grid]:
    """Base and second stage; the adapters lie in tmp_path/1/adapter and tmp_path/2/adapter."""
    base = parent = make_run(component).parent
    for number in (1, 2):
        targets = ("query", "value") if number == 1 else "all-linear"
        lora = {"rank": 3 + number, "alpha": 8, "targets": targets}
        run = make_run(component, parent=parent, steps=6, learning_rate=0.02, lora=lora)
        fit(run, tmp_path / str(number), 1, listener=Silent())
        draft = store.draft(Checkpoint, {"stage": number})
        parent = publish_checkpoint(draft, tmp_path / str(number) / "model", base.read_json("mixstage.json"), {})
    return base, parent


def stack(model: Any, tmp_path: Path) -> None:
    """Both adapters active on the base. Heads don't add up: the second one started from the first."""
    adapted = PeftModel.from_pretrained(model.transformers_model, str(tmp_path / "1/adapter"), adapter_name="first")
    adapted.load_adapter(str(tmp_path / "2/adapter"), adapter_name="second")
    for module in adapted.modules():
        if hasattr(module, "lora_A"):
            module.set_adapter(["first", "second"])
        elif hasattr(module, "modules_to_save"):
            module.set_adapter("second")


def test_two_merged_stages_embed_as_the_base_with_both_adapters(
    store: Store, tmp_path: Path, make_run: RunMaker
) -> None:
    base, last = two_stages("retriever", store, tmp_path, make_run)
    model = SentenceTransformer(str(base.local()), device="cpu")
    before = model.encode(TEXTS)
    merged = SentenceTransformer(str(last.local()), device="cpu").encode(TEXTS)
    stack(model, tmp_path)
    assert np.abs(model.encode(TEXTS) - merged).max() < 1e-5
    assert np.abs(before - merged).max() > 0.1
    open_encoder(last)


def test_two_merged_stages_score_as_the_base_with_both_adapters_and_the_last_head(
    store: Store, tmp_path: Path, make_run: RunMaker
) -> None:
    base, last = two_stages("reranker", store, tmp_path, make_run)
    model = CrossEncoder(str(base.local()), device="cpu")
    raw = {"activation_fn": torch.nn.Identity()}
    before = model.predict(PAIRS, **raw)
    merged = CrossEncoder(str(last.local()), device="cpu").predict(PAIRS, **raw)
    heads = [load_file(artifact.local() / "model.safetensors")["classifier.weight"] for artifact in (base, last)]
    assert np.abs(heads[0] - heads[1]).max() > 0.01, "the head is trained"
    stack(model, tmp_path)
    assert np.abs(model.predict(PAIRS, **raw) - merged).max() < 1e-5
    assert np.abs(before - merged).max() > 0.1
    open_reranker(last)


@pytest.mark.parametrize("component", ["retriever", "reranker"])
def test_the_export_is_a_plain_folder_and_the_adapter_one_that_peft_reads(
    component: str, tmp_path: Path, make_run: RunMaker
) -> None:
    run = make_run(component, steps=2, lora={"rank": 4, "targets": ["query"]})
    fit(run, tmp_path, 1, listener=Silent())
    parent = load_file(run.parent.local() / "model.safetensors")
    model = load_file(tmp_path / "model/model.safetensors")
    assert model.keys() == parent.keys()
    assert {value.dtype for value in model.values()} == {np.dtype(np.float32)}
    moved = {name for name in model if np.abs(model[name] - parent[name]).max() > 0}
    heads = {"classifier.weight", "classifier.bias"} if component == "reranker" else set()
    assert {name.split("attention.")[-1] for name in moved - heads} == {"self.query.weight"}
    assert heads <= moved
    files = sorted(path.name for path in (tmp_path / "adapter").iterdir())
    assert files == ["adapter_config.json", "adapter_model.safetensors"]
    assert not [path for path in (tmp_path / "model").rglob("*") if path.suffix in (".bin", ".pt", ".pth", ".md")]
    names = load_file(tmp_path / "adapter/adapter_model.safetensors")
    assert len(names) == 4 + len(heads), "A and B of two layers, and the head"
