"""Two workers train what one trains on the same batches."""

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer

from mixstage.plan.stages import LossPlan
from mixstage.training.fitting.fit import Fit, Silent, fit
from mixstage.training.fitting.losses import open_loss
from tests.training.conftest import KillAt, Killed, rows_of

pytestmark = pytest.mark.long
COLUMNS = [
    ["may the tenant keep the deposit", "notice period", "latent defects", "rent in arrears"],
    ["the deposit is returned", "three months to the end", "two years after delivery", "interest is due"],
    ["rent is due monthly", "the deposit bears interest", "defects are repaired", "a lease ends"],
    ["the tenant paints", "keys are returned", "notice is given in writing", "heating costs"],
]
PLANS = {
    "infonce": LossPlan(temperature=0.2),
    "cached": LossPlan(temperature=0.2, cached=1),
    "guided": LossPlan(temperature=0.2, guide="retriever:base", guide_margin=0.9),
}


def in_two_workers(work: Callable[..., None], *inputs: Any) -> None:
    """Runs work(rank, *inputs) in two processes of one gloo group."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(join, args=(port, work, inputs), nprocs=2)  # type: ignore[no-untyped-call]


def join(rank: int, port: int, work: Callable[..., None], inputs: tuple[Any, ...]) -> None:
    group = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in group.items()}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    work(rank, *inputs)
    torch.distributed.barrier()  # who leaves first would take the other's connection away
    torch.distributed.destroy_process_group()


def one_loss(model: Any, folder: Path, plan: LossPlan, columns: list[list[str]], workers: int) -> float:
    """The loss of the columns; leaves its gradient in the model."""
    guide = SentenceTransformer(str(folder), device="cpu").requires_grad_(False) if plan.guide else None
    loss = open_loss("bi_encoder", plan, model, workers=workers, negatives=2, guide=guide)
    value = loss([model.preprocess(column) for column in columns], None)
    value.backward()
    return float(value.detach())


def half_of_the_batch(rank: int, folder: Path, out: Path) -> None:
    losses = {}
    for name, plan in PLANS.items():
        model = SentenceTransformer(str(folder), device="cpu")
        losses[name] = one_loss(model, folder, plan, [column[2 * rank : 2 * rank + 2] for column in COLUMNS], 2)
        for weight in model.parameters():
            if weight.grad is not None:
                torch.distributed.all_reduce(weight.grad)  # DDP averages
        grads = {key: weight.grad / 2 for key, weight in model.named_parameters() if weight.grad is not None}
        torch.save(grads, out / f"{name}-{rank}.pt")
    (out / f"{rank}.json").write_text(json.dumps(losses))


def test_a_batch_over_two_workers_has_the_loss_and_gradient_of_the_whole(quiet_model: Path, tmp_path: Path) -> None:
    in_two_workers(half_of_the_batch, quiet_model, tmp_path)
    losses = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    for name, plan in PLANS.items():
        model = SentenceTransformer(str(quiet_model), device="cpu")
        whole = one_loss(model, quiet_model, plan, COLUMNS, 1)
        assert (losses[0][name] + losses[1][name]) / 2 == pytest.approx(whole, abs=1e-5), name
        for rank in (0, 1):
            grads = torch.load(tmp_path / f"{name}-{rank}.pt")
            for key, weight in model.named_parameters():
                if weight.grad is not None:
                    assert torch.allclose(grads[key], weight.grad, atol=1e-5), (name, key)


def test_each_worker_finds_its_positives_among_the_gathered_documents(quiet_model: Path, tmp_path: Path) -> None:
    # Gathered in order: positives of worker 0 and 1, then first negatives of both, then second ones. Row n of worker r
    # has its positive at 2 r + n.
    in_two_workers(half_of_the_batch, quiet_model, tmp_path)
    model = SentenceTransformer(str(quiet_model), device="cpu")
    queries, *documents = (model.encode(column, normalize_embeddings=True).astype(np.float64) for column in COLUMNS)
    scores = queries @ np.vstack(documents).T / 0.2
    for rank in (0, 1):
        own = [np.log(np.exp(scores[2 * rank + n]).sum()) - scores[2 * rank + n, 2 * rank + n] for n in (0, 1)]
        losses = json.loads((tmp_path / f"{rank}.json").read_text())
        assert losses["infonce"] == pytest.approx(np.mean(own), abs=1e-5)
        assert losses["cached"] == pytest.approx(np.mean(own), abs=1e-5)


def fits(rank: int, runs: dict[str, Fit], out: Path) -> None:
    for name, run in runs.items():
        curve = fit(run, out / name / str(rank), 2, listener=Silent())
        (out / name / f"curve-{rank}.json").write_text(json.dumps(curve))


def test_two_workers_fit_what_one_fits(quiet_model: Path, tmp_path: Path, make_run: Callable[..., Fit]) -> None:
    mixed = pl.concat([rows_of(16), rows_of(24, negatives=2)[16:]])
    settings: dict[str, Any] = {"base": {"base": str(quiet_model), "max_length": 32}, "steps": 3, "learning_rate": 1e-4}
    runs = {
        "mixed": make_run("retriever", mixed, **settings),
        "cached": make_run("retriever", mixed, **settings, loss={"cached": 2}),
        "lora": make_run("retriever", mixed, **settings, lora={"rank": 4}),
        "bce": make_run("reranker", rows_of(8, negatives=2), **settings),
        "lists": make_run("reranker", rows_of(24, negatives=2), **settings, loss={"name": "listwise"}),
        "mlm": make_run("retriever", rows_of(24), **settings, mlm={}),
    }
    in_two_workers(fits, runs, tmp_path / "two")
    for name, run in runs.items():
        one = fit(run, tmp_path / "one" / name, 1, listener=Silent())
        two = json.loads((tmp_path / "two" / name / "curve-0.json").read_text())
        if name == "mlm":  # each worker hides words of its own
            assert two[0]["loss"] == pytest.approx(one[0]["loss"], abs=1.0)
            continue
        assert two[0]["loss"] == pytest.approx(one[0]["loss"], abs=1e-5), name
        folders = (tmp_path / "one" / name, tmp_path / "two" / name / "0")
        weights = [load_file(folder / "model/model.safetensors") for folder in folders]
        assert max(np.abs(weights[0][key] - weights[1][key]).max() for key in weights[0]) < 1e-4, name


def killed_and_resumed(rank: int, runs: dict[str, Fit], out: Path) -> None:
    """As `fits`, but each run dies after step 4 and goes on from both workers' files."""
    for name, run in runs.items():
        try:
            fit(run, out / name / "killed" / str(rank), 2, listener=KillAt(4))
        except Killed:
            torch.distributed.barrier()
        if rank == 0:
            parts = [out / name / "killed" / str(worker) / "scratch/checkpoint-4" for worker in (0, 1)]
            for part in parts:
                shutil.copytree(part, out / name / "checkpoint-4", dirs_exist_ok=True)
        torch.distributed.barrier()
        torch.manual_seed(50 + rank)
        curve = fit(run, out / name / str(rank), 2, resume=out / name / "checkpoint-4", listener=Silent())
        (out / name / f"curve-{rank}.json").write_text(json.dumps(curve))


def test_two_killed_workers_go_on_as_if_nothing_had_happened(tmp_path: Path, make_run: Callable[..., Fit]) -> None:
    # Three steps an epoch: the checkpoint of step 4 is inside the second one.
    runs = {
        "infonce": make_run("retriever", epochs=3, save_every=2),
        "bce": make_run("reranker", rows_of(8, negatives=2), epochs=3, save_every=2),
        "mlm": make_run("retriever", rows_of(24), epochs=3, save_every=2, mlm={}),
    }
    in_two_workers(fits, runs, tmp_path / "whole")
    in_two_workers(killed_and_resumed, runs, tmp_path / "resumed")
    for name in runs:
        curves = [json.loads((tmp_path / kind / name / "curve-0.json").read_text()) for kind in ("whole", "resumed")]
        losses = [{point["step"]: point["loss"] for point in curve} for curve in curves]
        assert len(losses[0]) == 9
        assert losses[1] == pytest.approx(losses[0], abs=1e-6), name
