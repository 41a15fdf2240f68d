"""Runs as values: a tiny parent, a few rows, a stage."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mixstage.models.checkpoint import Checkpoint
from mixstage.plan.stages import StagePlan
from mixstage.store.store import Store
from mixstage.training.artifacts import Samples
from mixstage.training.fitting.run import Fit, Silent

RunMaker = Callable[..., Fit]
LISTS = {"negatives": pl.List(pl.String), "scores": pl.List(pl.Float32)}


def rows_of(count: int = 24, negatives: int = 0, scores: bool = False) -> pl.DataFrame:
    """Samples 0..count-1: anchor n belongs to positive n."""
    return pl.DataFrame(
        {
            "anchor": [f"may the tenant {n} keep the deposit {n}" for n in range(count)],
            "positive": [f"article {n}: the deposit and clause {n}" for n in range(count)],
            "negatives": [[f"rent {n} is due in month {k}" for k in range(negatives)] for n in range(count)],
            "scores": [[float(n % 5 - 3 * k) for k in range(negatives + 1)] if scores else [] for n in range(count)],
            "source": ["mined:a"] * count,
        },
        schema_overrides=LISTS,
    )


class Killed(Exception):
    """What a test does to a run."""


class KillAt(Silent):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_save(self, checkpoint: Path, step: int) -> bool:
        if step == self.step:
            raise Killed
        return False


@pytest.fixture(scope="session")
def quiet_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model without dropout: what training computes can be computed again."""
    folder = tmp_path_factory.mktemp("models") / "quiet"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def make_run(store: Store, tiny_model: Path, make_checkpoint: Callable[..., Checkpoint]) -> RunMaker:
    """`make_run("retriever", rows, base={"query_prompt": ""}, fields={"seed": 5}, batch_size=8, ...)`: stage's last."""

    def make(
        component: str,
        rows: pl.DataFrame | None = None,
        *,
        steps: int | None = None,
        epochs: int = 1,
        parent: Checkpoint | None = None,
        base: dict[str, Any] | None = None,
        fields: dict[str, Any] | None = None,
        **stage: Any,
    ) -> Fit:
        if rows is None:
            rows = rows_of(negatives=2 if component == "reranker" else 0)
        if "mlm" in stage:
            rows = rows.select(text=pl.col("positive") + " " + pl.col("anchor"))
        draft = store.draft(Samples, {"rows": rows.hash_rows().to_list()})
        draft.table("samples.parquet", rows.to_arrow())
        settings = {"batch_size": 8, "learning_rate": 1e-3, **stage}
        return Fit(
            label=f"{component} broad",
            component=component,  # type: ignore[arg-type]
            stage=StagePlan.model_validate(settings),
            steps=steps,
            epochs=epochs,
            parent=parent or make_checkpoint(component, **{"base": str(tiny_model), "max_length": 32, **(base or {})}),
            samples=draft.publish({"samples": len(rows)}),
            **{"seed": 3, "log_every": 1, **(fields or {})},
        )

    return make
