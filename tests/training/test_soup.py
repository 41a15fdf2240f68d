"""Soups: averages tensor by tensor against sums by hand, models that open, and unlike ones that are refused."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mixstage.errors import ModelError
from mixstage.models.checkpoint import SETTINGS, Checkpoint, open_encoder, publish_checkpoint
from mixstage.store.store import Store
from mixstage.training.soup import cook, soup_weights

Tensors = dict[str, torch.Tensor]


@pytest.mark.parametrize(
    ("count", "first", "weights"),
    [
        (2, None, [0.5, 0.5]),
        (4, None, [0.25] * 4),
        (2, 0.75, [0.75, 0.25]),
        (3, 0.5, [0.5, 0.25, 0.25]),
    ],
)
def test_weights_are_equal_or_the_first_ones_and_equal_shares_of_the_rest(
    count: int, first: float | None, weights: list[float]
) -> None:
    assert soup_weights(count, first) == weights


SETTING = '{"component": "retriever", "kind": "hashing", "dim": 8}'


@pytest.fixture
def raw(store: Store) -> Callable[..., Checkpoint]:
    """A checkpoint of bare tensors, which no model opens: `raw(name=tensors)`."""
    count = iter(range(100))

    def make(settings: str = SETTING, **files: Tensors) -> Checkpoint:
        draft = store.draft(Checkpoint, {"raw": next(count)})
        draft.text(SETTINGS, settings)
        for name, tensors in files.items():
            save_file(tensors, f"{draft.path}/{name}.safetensors")
        return draft.publish({})

    return make


def soup(store: Store, checkpoints: list[Checkpoint], weights: list[float]) -> Checkpoint:
    draft = store.draft(Checkpoint, {"soup": [part.digest for part in checkpoints], "weights": weights})
    return cook(draft, checkpoints, weights, {"stage": "blend"})


def tensors_of(checkpoint: Checkpoint, name: str = "model.safetensors") -> Tensors:
    return load_file(checkpoint.local() / name)


def test_numbers_are_averaged_by_weight_and_integers_are_the_first_ones(store: Store, raw: Any) -> None:
    one = raw(model={"w": torch.tensor([[1.0, -2.0], [0.0, 8.0]]), "ids": torch.tensor([0, 1, 2])})
    two = raw(model={"w": torch.tensor([[3.0, 2.0], [4.0, 0.0]]), "ids": torch.tensor([0, 1, 2])})
    three = raw(model={"w": torch.tensor([[5.0, 6.0], [0.0, 4.0]]), "ids": torch.tensor([0, 1, 2])})
    mean = tensors_of(soup(store, [one, two, three], [0.5, 0.25, 0.25]))
    assert mean["w"].tolist() == [[2.5, 1.0], [1.0, 5.0]]
    assert mean["w"].dtype == torch.float32
    assert (mean["ids"].tolist(), mean["ids"].dtype) == ([0, 1, 2], torch.int64)


def test_half_precision_is_summed_in_float64_and_stays_half(store: Store, raw: Any) -> None:
    # 1024 + 0.5 + 0.5: half precision holds whole numbers only up there, and would stay at 1024
    parts = [raw(model={"w": torch.tensor([value], dtype=torch.float16)}) for value in (2048.0, 2.0, 2.0)]
    mean = tensors_of(soup(store, parts, [0.5, 0.25, 0.25]))["w"]
    assert (mean.dtype, mean.item()) == (torch.float16, 1025.0)


def test_every_file_of_a_model_is_averaged(store: Store, raw: Any) -> None:
    one = raw(model={"w": torch.tensor([1.0])}, head={"w": torch.tensor([10.0])})
    two = raw(model={"w": torch.tensor([3.0])}, head={"w": torch.tensor([30.0])})
    blend = soup(store, [one, two], [0.5, 0.5])
    assert [tensors_of(blend, f"{name}.safetensors")["w"].item() for name in ("model", "head")] == [2.0, 20.0]


ONE = {"w": torch.zeros(2, 2), "b": torch.zeros(2)}


@pytest.mark.parametrize(
    "other",
    [
        {"model": {"w": torch.zeros(2, 3), "b": torch.zeros(2)}},
        {"model": {"w": torch.zeros(2, 2)}},
        {"model": {**ONE, "extra": torch.zeros(1)}},
        {"model": {"w": torch.zeros(2, 2, dtype=torch.float16), "b": torch.zeros(2)}},
        {"model": {"w": torch.zeros(2, 2), "c": torch.zeros(2)}},
        {"model": ONE, "head": ONE},
        {"other": ONE},
        {},
        {"settings": '{"component": "retriever", "kind": "hashing", "dim": 16}', "model": ONE},
    ],
    ids=["shape", "missing", "extra", "kind of number", "name", "further file", "other file", "no file", "settings"],
)
def test_another_architecture_is_refused_and_leaves_no_artifact(store: Store, raw: Any, other: dict[str, Any]) -> None:
    one, two = raw(model=ONE), raw(**other)
    for parts in ([one, two], [two, one], [one, one, two]):
        before = [part.digest for part in store.all(Checkpoint)]
        with pytest.raises(ModelError, match=r"can't be averaged with .*; soups need one architecture"):
            soup(store, parts, soup_weights(len(parts), None))
        assert [part.digest for part in store.all(Checkpoint)] == before


def test_models_without_weights_give_the_same_model(store: Store, make_checkpoint: Any) -> None:
    base = make_checkpoint("retriever")
    blend = soup(store, [base, base], [0.5, 0.5])
    assert blend.meta["fingerprint"] == base.meta["fingerprint"]
    open_encoder(blend)


def moved(store: Store, base: Checkpoint, folder: Path, seed: int) -> Checkpoint:
    """The base with every weight moved a little."""
    shutil.copytree(base.local(), folder, ignore=shutil.ignore_patterns("manifest.json", "golden.json"))
    generator = torch.Generator().manual_seed(seed)
    for path in folder.rglob("*.safetensors"):
        state = {
            name: tensor + 0.05 * torch.randn(tensor.shape, generator=generator)
            for name, tensor in load_file(path).items()
        }
        save_file(state, path, metadata={"format": "pt"})
    return publish_checkpoint(store.draft(Checkpoint, {"moved": seed}), folder, base.read_json(SETTINGS), {})


def test_a_soup_of_transformers_is_their_mean_tensor_by_tensor_and_holds_its_golden_records(
    store: Store, make_checkpoint: Any, tiny_model: Path, tmp_path: Path
) -> None:
    base = make_checkpoint("retriever", base=str(tiny_model), max_length=32, query_prompt="query: ")
    members = [moved(store, base, tmp_path / str(seed), seed) for seed in (1, 2)]
    blend = soup(store, members, [0.6, 0.4])
    one, two, mean = (tensors_of(part) for part in (*members, blend))
    assert set(mean) == set(one) and len(mean) > 20
    for name, tensor in mean.items():
        expected = (0.6 * one[name].double() + 0.4 * two[name].double()).float()
        assert torch.equal(tensor, expected), name
        assert not torch.equal(tensor, one[name]), name
    encoder = open_encoder(blend)  # replays the golden records
    texts = ["the deposit", "rent is due"]
    vectors = [open_encoder(part).encode(texts, "query") for part in members]
    assert all(np.abs(encoder.encode(texts, "query") - vector).max() > 1e-3 for vector in vectors)
    assert blend.read_json(SETTINGS) == base.read_json(SETTINGS)
    assert (blend.meta["stage"], blend.meta["component"]) == ("blend", "retriever")
    assert len({part.meta["fingerprint"] for part in (base, blend, *members)}) == 4
