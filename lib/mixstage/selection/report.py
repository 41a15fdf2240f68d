"""The report: what was evaluated, chosen and confirmed, as data (report.json, grid.csv) and as a page (index.html)."""

import json
import platform
from importlib.metadata import version
from typing import Any

import polars as pl

from mixstage import __version__
from mixstage.composition import Composition
from mixstage.evaluation.measures import parse_measure
from mixstage.evaluation.rankings import SPLITS
from mixstage.plan import Plan
from mixstage.selection.page import render_page
from mixstage.selection.select import confirm, read_split
from mixstage.store import Artifact, Store, digest_of
from mixstage.training.curriculum import Curriculum

_FORMAT = 1  # raise when the report changes
_LIBRARIES = ("ray", "torch", "sentence-transformers", "transformers", "faiss-cpu", "bm25s")


def write_report(plan: Plan, store: Store, grid: Artifact, choice: Artifact, curriculum: Curriculum) -> Artifact:
    """The report artifact. Test scores are read here and nowhere before: the choice is published already."""
    recipe = {
        "what": "report",
        "format": _FORMAT,
        "grid": grid.digest,
        "choice": choice.digest,
        "seed": plan.seed,
        "plan": plan.name,
    }
    found = store.find("report", digest_of(recipe))
    if found is not None:
        return found
    means = pl.concat([composition_means(plan, grid, split) for split in SPLITS])
    report = {
        "plan": plan.resolved(),
        "choice": choice.meta,
        "confirmation": {split: confirm(plan, grid, choice, split) for split in SPLITS},
        "queries": _query_counts(grid),
        "pairs": grid.meta["pairs"],
        "training": {
            "retriever": _training(store, curriculum.retrievers),
            "reranker": _training(store, curriculum.rerankers),
        },
        "machine": {"processor": platform.processor() or platform.machine(), "python": platform.python_version()},
        "libraries": {"mixstage": __version__} | {name: version(name) for name in _LIBRARIES},
    }
    draft = store.draft("report", recipe)
    draft.text("report.json", json.dumps(report, indent=1, ensure_ascii=False))
    draft.text("grid.csv", means.write_csv())
    draft.text("index.html", render_page(report, means))
    return draft.publish({"winner": choice.meta["winner"], "plan": plan.name})


def composition_means(plan: Plan, grid: Artifact, split: str) -> pl.DataFrame:
    """One row a composition and application, and one for application "all": split, application, composition, its parts,
    every measure's mean, and `primary`, the mean of the application's own metric (for "all" weighted over them)."""
    table = read_split(grid, split)
    measures = [name for name in table.columns if name not in ("application", "composition", "query_id")]
    rows = table.group_by("application", "composition", maintain_order=True).agg(
        pl.len().alias("queries"), *(pl.col(name).mean() for name in measures)
    )
    primary = {name: str(parse_measure(part.metric)) for name, part in plan.applications.items()}
    chosen = pl.coalesce(
        pl.when(pl.col("application") == name).then(pl.col(metric)) for name, metric in primary.items()
    )
    rows = rows.with_columns(chosen.alias("primary"))
    weight = pl.col("application").replace_strict(
        {n: p.weight for n, p in plan.applications.items()}, return_dtype=pl.Float64
    )
    total = sum(part.weight for part in plan.applications.values())
    overall = rows.group_by("composition", maintain_order=True).agg(
        pl.lit("all").alias("application"),
        pl.col("queries").sum(),
        *(((pl.col(name) * weight).sum() / total).alias(name) for name in [*measures, "primary"]),
    )
    joined = pl.concat([rows, overall.select(rows.columns)])
    parsed = [Composition.parse(name) for name in joined["composition"]]
    parts = pl.DataFrame(
        {
            "retriever": [c.retriever for c in parsed],
            "depth": [c.depth for c in parsed],
            "reranker": [c.reranker for c in parsed],
            "mix": [c.mix for c in parsed],
            "pairs": [c.pairs for c in parsed],
        }
    )
    return joined.hstack(parts).select(
        pl.lit(split).alias("split"), *joined.columns[:2], *parts.columns, *joined.columns[2:]
    )


def _query_counts(grid: Artifact) -> dict[str, dict[str, int]]:
    return {
        split: dict(
            read_split(grid, split)
            .group_by("application", maintain_order=True)
            .agg(pl.col("query_id").n_unique())
            .iter_rows()
        )
        for split in SPLITS
    }


def _training(store: Store, stages: dict[str, Artifact]) -> dict[str, Any]:
    """What each stage learned from: samples by source, mining counts, last loss."""
    told = {}
    for name, checkpoint in stages.items():
        samples = store.find("samples", checkpoint.meta["samples"]) if "samples" in checkpoint.meta else None
        told[name] = {
            "checkpoint": checkpoint.digest,
            "fingerprint": checkpoint.meta["fingerprint"],
            "samples": samples.meta if samples else None,
            "curve": checkpoint.meta.get("curve", []),
        }
    return told
