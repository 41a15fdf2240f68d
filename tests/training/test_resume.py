"""A run that was killed goes on as if nothing had happened."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from datasets import Dataset
from safetensors.numpy import load_file

from mixstage.training.fitting.batches import Batches
from mixstage.training.fitting.fit import Silent, fit
from mixstage.training.fitting.run import Fit
from tests.training.conftest import KillAt, Killed, rows_of

KINDS: dict[str, dict[str, Any]] = {
    "infonce": {"component": "retriever", "rows": pl.concat([rows_of(16), rows_of(24, negatives=2)[16:]])},
    "infonce in parts": {"component": "retriever", "accumulate": 2},
    "cached": {"component": "retriever", "loss": {"cached": 3}},
    "bce": {"component": "reranker", "rows": rows_of(8, negatives=2)},
    "lora": {"component": "retriever", "lora": {"rank": 4, "dropout": 0.1}},
    "mlm": {"component": "retriever", "mlm": {}},
}


def losses(curve: list[dict[str, float]]) -> dict[float, float]:
    return {point["step"]: point["loss"] for point in curve}


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_goes_on_with_the_losses_and_weights_of_one_that_was_not(
    kind: str, tmp_path: Path, make_run: Callable[..., Fit]
) -> None:
    # Three steps an epoch, four epochs: a checkpoint at 4 is inside the second, one at 6 ends it.
    run = make_run(**KINDS[kind], epochs=4, save_every=2)
    whole = fit(run, tmp_path / "whole", 1, listener=Silent())
    assert [point["step"] for point in whole] == list(range(1, 13))
    assert len(set(losses(whole).values())) == 12, "dropout and order differ from step to step"
    expected = load_file(tmp_path / "whole/model/model.safetensors")
    for step in (4, 6):
        with pytest.raises(Killed):
            fit(run, tmp_path / f"killed{step}", 1, listener=KillAt(step))
        assert not (tmp_path / f"killed{step}/model").exists()
        for generator in (torch.manual_seed, np.random.seed, random.seed):
            generator(step)
        checkpoint = tmp_path / f"killed{step}/scratch/checkpoint-{step}"
        resumed = fit(run, tmp_path / f"resumed{step}", 1, resume=checkpoint, listener=Silent())
        assert losses(resumed) == pytest.approx(losses(whole), abs=1e-6)
        weights = load_file(tmp_path / f"resumed{step}/model/model.safetensors")
        assert max(np.abs(weights[name] - expected[name]).max() for name in expected) < 1e-6


def test_points_are_averages_that_no_checkpoint_cuts(tmp_path: Path, make_run: Callable[..., Fit]) -> None:
    single = fit(make_run("retriever", epochs=4, save_every=5), tmp_path / "single", 1, listener=Silent())
    run = make_run("retriever", epochs=4, save_every=5, fields={"log_every": 3})
    whole = fit(run, tmp_path / "whole", 1, listener=Silent())
    mean = [float(np.mean([losses(single)[step] for step in steps])) for steps in ((1, 2, 3), (4, 5), (6,), (7, 8, 9))]
    assert [point["step"] for point in whole] == [3, 5, 6, 9, 10, 12]
    assert [point["loss"] for point in whole[:4]] == pytest.approx(mean, abs=1e-6)
    with pytest.raises(Killed):
        fit(run, tmp_path / "killed", 1, listener=KillAt(5))
    resumed = fit(run, tmp_path / "resumed", 1, resume=tmp_path / "killed/scratch/checkpoint-5", listener=Silent())
    assert losses(resumed) == pytest.approx(losses(whole), abs=1e-6)


def test_a_checkpoint_of_the_last_step_is_exported_without_a_step_more(
    tmp_path: Path, make_run: Callable[..., Fit]
) -> None:
    run = make_run("retriever", steps=4, lora={"rank": 4}, validation={"every": 3})
    whole = fit(run, tmp_path / "whole", 1, listener=Silent())
    with pytest.raises(Killed):
        fit(run, tmp_path / "killed", 1, listener=KillAt(4))
    checkpoint = tmp_path / "killed/scratch/checkpoint-4"
    resumed = fit(run, tmp_path / "resumed", 1, resume=checkpoint, listener=Silent())
    assert losses(resumed) == losses(whole)
    exported = [folder / "model.safetensors" for folder in (checkpoint / "model", tmp_path / "resumed/model")]
    assert {path.read_bytes() for path in exported} == {(tmp_path / "whole/model/model.safetensors").read_bytes()}


def test_measured_checkpoints_leave_the_training_alone_and_the_last_one_is_kept(
    tmp_path: Path, make_run: Callable[..., Fit]
) -> None:
    saved: list[tuple[str, int, bool]] = []

    class Note(Silent):
        def on_save(self, checkpoint: Path, step: int) -> bool:
            saved.append((checkpoint.name, step, (checkpoint / "model/modules.json").is_file()))
            return False

    settings: dict[str, Any] = {"steps": 5, "lora": {"rank": 4}}
    fit(make_run("retriever", **settings, save_every=2), tmp_path / "plain", 1, listener=Note())
    assert saved == [("checkpoint-2", 2, False), ("checkpoint-4", 4, False)]
    fit(make_run("retriever", **settings, validation={"every": 2}), tmp_path / "measured", 1, listener=Note())
    assert saved[2:] == [("checkpoint-2", 2, True), ("checkpoint-4", 4, True), ("checkpoint-5", 5, True)]
    assert [path.name for path in (tmp_path / "measured/scratch").iterdir()] == ["checkpoint-5"]
    models = [tmp_path / name / "model/model.safetensors" for name in ("plain", "measured")]
    assert models[0].read_bytes() == models[1].read_bytes()


def test_a_listener_can_end_the_training(tmp_path: Path, make_run: Callable[..., Fit]) -> None:
    class Enough(Silent):
        def on_save(self, checkpoint: Path, step: int) -> bool:
            return step == 4

    curve = fit(make_run("reranker", steps=9, save_every=2), tmp_path, 1, listener=Enough())
    assert [point["step"] for point in curve] == [1, 2, 3, 4]
    assert {point["steps"] for point in curve} == {9}
    assert (tmp_path / "model/model.safetensors").is_file()


def test_an_epochs_batches_follow_from_seed_and_epoch_and_are_cut_for_the_workers() -> None:
    groups = [Dataset.from_dict({"text": [str(n) for n in numbers]}) for numbers in (range(10), range(10, 15))]

    def batches(epoch: int, workers: int, size: int, distinct: bool = True) -> list[list[int]]:
        sampler = Batches(groups, size=size, workers=workers, distinct=distinct, seed=1)
        sampler.set_epoch(epoch)
        found = list(sampler)
        assert len(found) == len(sampler)
        return found

    for distinct in (True, False):
        one = batches(0, 1, 4, distinct)
        assert [len(batch) for batch in one] == [4, 4, 4]
        assert sorted(min(batch) >= 10 for batch in one) == [False, False, True], "a batch is of one group"
        assert len({row for batch in one for row in batch}) == 12
        assert one == batches(0, 1, 4, distinct) != batches(1, 1, 4, distinct)
        two = batches(0, 2, 2, distinct)
        assert [two[n] + two[n + 1] for n in (0, 2, 4)] == one


def test_no_text_stands_twice_in_a_batch() -> None:
    rows = Dataset.from_dict({"anchor": [f"a{n}" for n in range(12)], "positive": [f"p{n % 6}" for n in range(12)]})
    found = list(Batches([rows], size=3, workers=2, distinct=True, seed=1))
    for left, right in zip(found[::2], found[1::2], strict=True):
        assert len({rows[row]["positive"] for row in left + right}) == 6
