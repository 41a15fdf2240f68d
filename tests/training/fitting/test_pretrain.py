"""Masked-language-model training moves the encoder and nothing around it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer

from mixstage.errors import TrainingError
from mixstage.models.checkpoint import open_unchecked
from mixstage.training.fitting.fit import Fit, Silent, fit
from mixstage.training.fitting.masking import MaskTokens, around
from tests.training.conftest import rows_of

RunMaker = Callable[..., Fit]
CONFIG = "1_Pooling/config.json"


@pytest.mark.parametrize("component", ["retriever", "reranker"])
def test_the_loss_falls_and_the_folder_stays_what_it_was(component: str, tmp_path: Path, make_run: RunMaker) -> None:
    run = make_run(component, rows_of(32), steps=60, learning_rate=5e-3, mlm={"mask": 0.3})
    curve = fit(run, tmp_path, 1, listener=Silent())
    losses = [point["loss"] for point in curve]
    assert losses[0] == pytest.approx(np.log(1500), rel=0.3), "at first every word piece is about as likely"
    assert np.mean(losses[-10:]) < 0.5 * losses[0]
    before, after = (load_file(folder / "model.safetensors") for folder in (run.parent.local(), tmp_path / "model"))
    assert before.keys() == after.keys()
    still = {name for name in before if np.array_equal(before[name], after[name])}
    assert {name.split(".")[-2] for name in still if "pooler" not in name} <= {"classifier"}
    assert len(still) == (4 if component == "reranker" else 2), "pooler and head take no part"
    if component == "retriever":
        assert (tmp_path / "model" / CONFIG).read_text() == (run.parent.local() / CONFIG).read_text()
    settings = "mixstage.json"
    (tmp_path / "model" / settings).write_text((run.parent.local() / settings).read_text())
    model = open_unchecked(tmp_path / "model")
    assert hasattr(model, "encode") == (component == "retriever")


def test_parts_of_a_batch_have_its_mean_loss(tmp_path: Path, make_run: RunMaker) -> None:
    settings: dict[str, Any] = {"rows": rows_of(32), "batch_size": 32, "steps": 1, "mlm": {}}
    whole, parts = (
        fit(make_run("retriever", accumulate=count, **settings), tmp_path / str(count), 1, listener=Silent())[0]
        for count in (1, 4)
    )
    assert parts["loss"] == pytest.approx(whole["loss"], abs=0.5), "other words are hidden, as many are averaged"


def test_the_decoder_is_the_table_of_embeddings(tiny_model: Path) -> None:
    encoder = SentenceTransformer(str(tiny_model), device="cpu").transformers_model
    masked = around(encoder)
    ids = torch.tensor([[2, 40, 41, 3]])
    masked.eval()
    with torch.no_grad():
        states = masked.cls.predictions.transform(encoder(input_ids=ids).last_hidden_state)
        expected = states @ encoder.get_input_embeddings().weight.T + masked.cls.predictions.bias
        assert torch.allclose(masked(input_ids=ids).logits, expected, atol=1e-5)


def test_masks_follow_from_seed_and_rows(tiny_model: Path) -> None:
    tokenizer = SentenceTransformer(str(tiny_model), device="cpu").tokenizer
    rows = [{"row": n, "text": f"article {n} on the deposit and the notice of a lease " * 4} for n in range(32)]

    def collate(rows: list[dict[str, object]], seed: int = 1) -> dict[str, torch.Tensor]:
        return dict(MaskTokens(tokenizer, limit=20, mask=0.15, seed=seed)(rows))

    first = collate(rows)
    assert first["input_ids"].shape == (32, 20)
    hidden = (first["labels"] != -100).float().mean().item()
    assert hidden == pytest.approx(0.15 * 18 / 20, abs=0.03), "the first and last token are never hidden"
    assert all(torch.equal(first[name], value) for name, value in collate(rows).items())
    assert not torch.equal(first["labels"], collate(rows, seed=2)["labels"])
    assert not torch.equal(first["labels"].flip(0), collate(rows[::-1])["labels"])


def test_a_tokenizer_without_a_mask_is_refused(tiny_model: Path) -> None:
    tokenizer = SentenceTransformer(str(tiny_model), device="cpu").tokenizer
    tokenizer.mask_token = None
    with pytest.raises(TrainingError, match="no mask token"):
        MaskTokens(tokenizer, limit=20, mask=0.15, seed=1)
