"""What a run leaves, what it says meanwhile, and how it fails."""

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load_file, save_file
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

from mixstage.errors import TrainingError
from mixstage.models.checkpoint import open_encoder
from mixstage.store.store import Store
from mixstage.training.fitting.fit import Fit, Silent, _batch_of_worker, fit
from mixstage.training.fitting.trainer import rate
from tests.training.conftest import rows_of

RunMaker = Callable[..., Fit]


class Points(Silent):
    def __init__(self) -> None:
        self.points: list[dict[str, float]] = []

    def on_step(self, point: dict[str, float]) -> None:
        self.points.append(point)


def test_points_are_told_as_they_come_and_returned(tmp_path: Path, make_run: RunMaker) -> None:
    heard = Points()
    curve = fit(make_run("retriever", steps=5, fields={"log_every": 2}), tmp_path, 1, listener=heard)
    assert curve == heard.points
    assert [point["step"] for point in curve] == [2, 4, 5], "the last step is always one"
    assert {tuple(sorted(point)) for point in curve} == {
        ("grad_norm", "learning_rate", "loss", "samples_per_second", "step", "steps")
    }
    assert all(point["steps"] == 5 and point["samples_per_second"] > 0 for point in curve)
    assert curve[0]["loss"] != round(curve[0]["loss"], 4), "losses are not rounded"


def test_training_reads_texts_as_serving_does(tmp_path: Path, quiet_model: Path, make_run: RunMaker) -> None:
    prompts = {"base": str(quiet_model), "query_prompt": "tenant: ", "document_prompt": "article of the law: "}
    rows = rows_of(8)
    run = make_run("retriever", rows, base=prompts, steps=1, loss={"temperature": 0.1})
    (point,) = fit(run, tmp_path, 1, listener=Silent())  # one batch holds all rows
    encoder = open_encoder(run.parent)
    queries, documents = encoder.encode(rows["anchor"], "query"), encoder.encode(rows["positive"], "document")
    scores = queries @ documents.T / 0.1
    assert point["loss"] == pytest.approx(float(np.mean(np.log(np.exp(scores).sum(1)) - scores.diagonal())), abs=1e-5)
    unprompted = queries @ encoder.encode(rows["positive"], "query").T / 0.1
    assert abs(point["loss"] - np.mean(np.log(np.exp(unprompted).sum(1)) - unprompted.diagonal())) > 0.01


def test_the_learning_rate_rises_and_falls_over_all_rounds(tmp_path: Path, make_run: RunMaker) -> None:
    # Ten steps in all, two of them warm-up, then down by an eighth a step.
    rates: list[float] = []
    for number, (first, steps) in enumerate([(0, 3), (3, 4), (7, 3)]):
        run = make_run(
            "retriever", steps=steps, warmup=0.2, learning_rate=8e-3, fields={"first_step": first, "schedule_steps": 10}
        )
        rates += [point["learning_rate"] for point in fit(run, tmp_path / str(number), 1, listener=Silent())]
    assert rates == pytest.approx([0, 4e-3, 8e-3, 7e-3, 6e-3, 5e-3, 4e-3, 3e-3, 2e-3, 1e-3])
    assert rate(0, 10, 0.0) == 1.0
    assert rate(10, 10, 0.2) == 0.0


def test_event_files_hold_the_points_of_the_curve(tmp_path: Path, make_run: RunMaker) -> None:
    curves = tmp_path / "curves"
    run = make_run("retriever", steps=4, fields={"curves": str(curves), "report_to": ("tensorboard",)})
    curve = fit(run, tmp_path / "run", 1, listener=Silent())
    for name in ("loss", "learning_rate", "grad_norm", "samples_per_second"):
        points = scalars(curves, f"train/{name}")
        assert points == pytest.approx({point["step"]: point[name] for point in curve}, rel=1e-6), name


def scalars(folder: Path, tag: str) -> dict[float, float]:
    """step -> value of a tag in a folder's event files (length, its checksum, event, its checksum)."""
    found = {}
    for path in folder.iterdir():
        content, at = path.read_bytes(), 0
        while at < len(content):
            size = int.from_bytes(content[at : at + 8], "little")
            body = content[at + 12 : at + 12 + size]
            assert masked_crc32c(body) == int.from_bytes(content[at + 12 + size : at + 16 + size], "little")
            event = Event.FromString(body)
            found.update((event.step, value.simple_value) for value in event.summary.value if value.tag == tag)
            at += 16 + size
    return found


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes_in_any_process(tmp_path: Path, make_run: RunMaker) -> None:
    run = make_run("retriever", steps=4, lora={"rank": 4})
    fit(run, tmp_path / "first", 1, listener=Silent())
    torch.manual_seed(99)
    fit(run, tmp_path / "second", 1, listener=Silent())
    process = multiprocessing.get_context("spawn").Process(target=fit_alone, args=(run, tmp_path / "third"))
    process.start()
    process.join()
    models = {(tmp_path / name / "model/model.safetensors").read_bytes() for name in ("first", "second", "third")}
    adapters = {
        (tmp_path / name / "adapter/adapter_model.safetensors").read_bytes() for name in ("first", "second", "third")
    }
    assert len(models) == len(adapters) == 1


def fit_alone(run: Fit, folder: Path) -> None:
    fit(run, folder, 1, listener=Silent())


@pytest.mark.parametrize(
    ("component", "loss"),
    [
        ("retriever", {"name": "margin_mse", "teacher": "reranker:a"}),
        ("retriever", {"name": "kl", "teacher": "reranker:a", "matryoshka": (32, 8)}),
        ("retriever", {"guide": "retriever:base", "matryoshka": (32, 8)}),
        ("retriever", {"guide": "retriever:base", "cached": 3}),
        ("reranker", {"name": "margin_mse", "teacher": "reranker:a"}),
        ("reranker", {"name": "listwise"}),
        ("reranker", {"name": "lambda"}),
        ("late", {}),
        ("late", {"cached": 3}),
    ],
)
def test_every_loss_moves_every_layer(component: str, loss: dict[str, Any], tmp_path: Path, make_run: RunMaker) -> None:
    base = {"architecture": "late_interaction"} if component == "late" else None
    rows = rows_of(16, negatives=2, scores=True)
    run = make_run("reranker" if component == "late" else component, rows, steps=3, loss=loss, base=base)
    guided = replace(run, guide=run.parent if "guide" in loss else None)
    curve = fit(guided, tmp_path, 1, listener=Silent())
    assert len({point["loss"] for point in curve}) == 3
    before, after = (load_file(folder / "model.safetensors") for folder in (run.parent.local(), tmp_path / "model"))
    still = {name for name in before if np.array_equal(before[name], after[name])}
    pooler = {"pooler.dense.weight", "pooler.dense.bias"}
    shift = {"classifier.bias"}  # losses that compare a query's documents cancel what is common to all
    assert still - shift == (set() if component == "reranker" else pooler)


def test_parts_of_a_batch_add_up_to_its_gradient(tmp_path: Path, quiet_model: Path, make_run: RunMaker) -> None:
    points = []
    for parts in (1, 4):
        rows = rows_of(4, negatives=1)  # four pairs with label 1, four with 0: one batch
        run = make_run("reranker", rows, base={"base": str(quiet_model)}, steps=1, accumulate=parts)
        points += fit(run, tmp_path / str(parts), 1, listener=Silent())
    assert points[0]["loss"] == pytest.approx(points[1]["loss"], abs=1e-6)
    assert points[0]["grad_norm"] == pytest.approx(points[1]["grad_norm"], abs=1e-5)


def test_checkpointed_activations_and_bfloat16_train_as_well(tmp_path: Path, make_run: RunMaker) -> None:
    plain = fit(make_run("retriever", steps=3), tmp_path / "plain", 1, listener=Silent())
    less = fit(make_run("retriever", steps=3, gradient_checkpointing=True), tmp_path / "less", 1, listener=Silent())
    assert [p["loss"] for p in less] == pytest.approx([p["loss"] for p in plain], abs=1e-5)
    half = fit(make_run("retriever", steps=3, precision="bfloat16"), tmp_path / "half", 1, listener=Silent())
    assert [p["loss"] for p in half] == pytest.approx([p["loss"] for p in plain], abs=0.5)
    assert half != plain
    weights = load_file(tmp_path / "half/model/model.safetensors")
    assert {value.dtype for value in weights.values()} == {np.dtype(np.float32)}


def test_a_parents_nan_ends_the_run_at_once(tmp_path: Path, store: Store, make_run: RunMaker) -> None:
    run = make_run("retriever", steps=3)
    path = run.parent.local() / "model.safetensors"
    weights = load_file(path)
    weights["encoder.layer.0.output.dense.bias"][:] = np.nan
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(
        TrainingError, match=r"retriever broad: the loss of step 1 is nan.*checkpoint: none yet.*float32"
    ):
        fit(run, tmp_path / "run", 1, listener=Silent())
    assert not (tmp_path / "run/model").exists()


def test_a_loss_that_grows_without_end_names_the_last_good_checkpoint(tmp_path: Path, make_run: RunMaker) -> None:
    # The rate is 0 at step 1, 1e30 / 4 at step 2: step 3 reads weights beyond float32, as the checkpoint of 2 does.
    run = make_run("retriever", steps=5, learning_rate=1e30, warmup=0.8, save_every=1)
    with pytest.raises(
        TrainingError, match=r"loss of step 3 is (nan|inf); last good checkpoint: step 1. Lower learning_rate"
    ):
        fit(run, tmp_path / "run", 1, listener=Silent())
    assert not (tmp_path / "run/model").exists()


def full(*_: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def too_large(*_: Any) -> Any:
    return torch.empty(1 << 60)


@pytest.mark.parametrize("fault", [full, too_large])
def test_too_little_memory_names_the_knobs(
    fault: Callable[..., Any], tmp_path: Path, make_run: RunMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    monkeypatch.setattr(MultipleNegativesRankingLoss, "forward", fault)
    with pytest.raises(TrainingError) as caught:
        fit(make_run("retriever", steps=3), tmp_path / "run", 1, listener=Silent())
    for knob in ("batch_size 8", "accumulate", "loss.cached", "gradient_checkpointing", "max_length"):
        assert knob in str(caught.value)
    assert not (tmp_path / "run/model").exists()


@pytest.mark.parametrize(
    ("settings", "workers", "message"),
    [
        ({"rows": rows_of(7)}, 1, "7 rows fill no batch of 8: lower batch_size"),
        ({"batch_size": 6}, 4, "batch_size 6 can't be shared by 4 workers x 1 parts.*multiple of 4"),
        ({"accumulate": 8}, 1, "8 parts .accumulate. 1 row each, and infonce needs 2"),
        ({"precision": "float16"}, 1, "float16 needs a GPU"),
        ({"loss": {"matryoshka": (64, 8)}}, 1, "the model has 32 dimensions"),
        ({"lora": {"targets": ("nothing",)}}, 1, "lora.targets.*nothing"),
        ({"fields": {"report_to": ("mlflow",)}}, 1, "mlflow: not installed"),
    ],
)
def test_what_can_not_work_is_refused_with_the_knob(
    settings: dict[str, Any], workers: int, message: str, tmp_path: Path, make_run: RunMaker
) -> None:
    if torch.cuda.is_available() and "precision" in settings:
        pytest.skip("a GPU knows float16")
    with pytest.raises(TrainingError, match=message):
        fit(make_run("retriever", **settings), tmp_path / "run", workers, listener=Silent())


def test_one_text_in_every_row_is_refused(tmp_path: Path, make_run: RunMaker) -> None:
    rows = rows_of(16).with_columns(positive=pl.lit("article 1"))
    with pytest.raises(TrainingError, match="retriever broad: 16 samples share too many texts for a batch of 8"):
        fit(make_run("retriever", rows), tmp_path, 1, listener=Silent())


def test_an_elastic_batch_gives_up_what_its_workers_cannot_share(make_run: RunMaker) -> None:
    run = make_run("retriever", batch_size=8)
    assert _batch_of_worker(replace(run, elastic=True), 3) == 2
    with pytest.raises(TrainingError, match="make it a multiple of 3"):
        _batch_of_worker(run, 3)
