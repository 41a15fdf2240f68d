"""Which checkpoints cost the same to run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from mixstage.evaluation.latency import alike
from mixstage.models.checkpoint import Checkpoint
from mixstage.models.lexical import BM25
from mixstage.store.store import Store

SETTINGS = {"component": "reranker", "kind": "transformer", "max_length": 80}


def checkpoint(store: Store, folder: Path, name: str, weights: dict[str, np.ndarray], **settings: Any) -> Checkpoint:
    draft = store.draft(Checkpoint, {"name": name})
    draft.text("mixstage.json", json.dumps(SETTINGS | settings))
    save_file(weights, folder / name, metadata={"name": name})
    draft.file("model.safetensors", folder / name)
    return draft.publish({})


def layers(count: int, dtype: type = np.float32) -> dict[str, np.ndarray]:
    return {f"layer.{i}": np.random.default_rng().random((2, 3)).astype(dtype) for i in range(count)}


@pytest.mark.parametrize(
    ("other", "settings", "same"),
    [
        (layers(2), {}, True),  # other weights, same work
        (layers(3), {}, False),
        (layers(2, np.float16), {}, False),
        ({"layer.0": np.zeros((2, 3), np.float32), "layer.1": np.zeros((3, 2), np.float32)}, {}, False),
        (layers(2), {"max_length": 128}, False),
    ],
)
def test_tensors_and_settings_decide_and_weights_do_not(
    store: Store, tmp_path: Path, other: dict[str, np.ndarray], settings: dict[str, Any], same: bool
) -> None:
    one = checkpoint(store, tmp_path, "one", layers(2))
    two = checkpoint(store, tmp_path, "two", other, **settings)
    assert alike({"base": one, "broad": two, "bm25": BM25}) == {
        "base": "base",
        "broad": "base" if same else "broad",
        "bm25": "bm25",
    }
