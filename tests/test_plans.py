"""The plans that ship run to the end, each on the sample corpus with a tiny model and a few steps."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from mixstage.pipeline import Pipeline
from mixstage.plan.load import load_plan, parse_plan
from mixstage.plan.schema import Plan
from mixstage.progress import Progress
from mixstage.store.store import Store

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
PLANS = Path(__file__).resolve().parent.parent / "jobs" / "plans"


def shrink(name: str, store: Path, model: Path) -> Plan:
    """The plan with a tiny base, short texts, three steps a stage, and the margins that random vectors need."""
    raw: dict[str, Any] = yaml.safe_load((PLANS / f"{name}.yaml").read_text())
    raw["store"] = str(store)
    for application in raw["applications"].values():
        application["queries"] = {"dev": 20, "test": 20}
    for component in ("retriever", "reranker"):
        if not raw[component]["base"].startswith("retriever:"):
            raw[component]["base"] = str(model)
        raw[component]["max_length"] = 32
        for stage in raw[component]["stages"].values():
            if "soup" in stage:
                continue
            stage |= {"steps": 3 * stage.get("epochs", 1), "batch_size": 8}
            if "mine" in stage:
                stage["mine"] |= {"margin": 2.0, "hard_rank": 1}
    raw["grid"] |= {"depths": [3, 5], "ranking_depth": 20}
    raw["selection"] = {"bootstrap": 200}
    raw["resources"] = {"train": {"workers": 1, "cpus": 1}, "embed": {"workers": 2}, "score": {"workers": 2}}
    return parse_plan(raw)


@pytest.mark.parametrize("name", ["sample", "two_phase", "label_names"])
def test_a_curriculum_that_ships_runs_from_data_to_report(
    name: str, ray_cluster: None, tmp_path: Path, tiny_model: Path
) -> None:
    plan = shrink(name, tmp_path / "store", tiny_model)
    pipeline = Pipeline(plan, Store(plan.store, plan.resolved()), Progress())
    assert pipeline.report.meta["winner"] == pipeline.choice.meta["winner"]
    means = pl.read_csv(pipeline.report.local() / "grid.csv")
    fusions = set(plan.grid.fusions)
    assert set(means["retriever"]) == {"base", "bm25", *plan.retriever.stages, *fusions}
    assert set(means["reranker"]) == {"none", "oracle", "base", *plan.reranker.stages}
    trained = [name for name, stage in plan.retriever.stages.items() if not stage.soup]
    fingerprints = {pipeline.curriculum.retrievers[name].meta["fingerprint"] for name in ("base", *trained)}
    assert len(fingerprints) == 1 + len(trained), "every stage moved the weights"


def test_every_plan_that_ships_is_valid() -> None:
    for path in PLANS.glob("*.yaml"):
        assert load_plan(path).name
