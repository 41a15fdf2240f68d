"""Samples as a loss reads them: groups of rows with the same columns."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from mixstage.errors import TrainingError
from mixstage.models.checkpoint import SETTINGS
from mixstage.training.fitting.run import Fit

_LISTS = ("listwise", "lambda")
_TAUGHT = ("margin_mse", "kl")
_CERTAIN = (
    30.0  # ListNetLoss takes a softmax of the labels: of 1 against n zeros it would leave the positive e / (e + n)
)


def read_rows(run: Fit, batch: int) -> list[Any]:
    """Datasets (of `datasets`), each with at least `batch` rows; smaller ones are left out.

    Columns: text, row (mlm); anchor, positive, negative_1.. (infonce; margin_mse and kl with `label`, the teacher's
    scores of the positive and of each negative); query, document, label (bce; lists of the last two for listwise and
    lambda). A retriever's prompts stand before its texts, as plain strings, because that is how they are served.
    Raises TrainingError if the rows lack what the loss reads, or fill no batch.
    """
    from datasets import Dataset

    frame = pl.DataFrame(run.samples.read_table("samples.parquet"))
    frames = [frame.select("text").with_row_index("row")] if run.stage.mlm else _sampled(run, frame)
    full = [part for part in frames if len(part) >= batch]
    if not full:
        counts = " + ".join(str(len(part)) for part in frames)
        raise TrainingError(
            f"{run.label}: {counts} rows fill no batch of {batch}: lower batch_size, raise mine.depth or lower "
            "mine.negatives, or bring more samples"
        )
    return [Dataset(part.to_arrow()) for part in full]


def most_negatives(rows: Sequence[Any]) -> int:
    """Negatives of the richest group."""
    return max(len([name for name in group.column_names if name.startswith("negative_")]) for group in rows)


def _sampled(run: Fit, frame: pl.DataFrame) -> list[pl.DataFrame]:
    if run.loss in _TAUGHT:
        _check_scores(run, frame)
    if run.component == "retriever":
        return _by_negatives(_prompted(frame, run.parent.read_json(SETTINGS)["prompts"]), run.loss in _TAUGHT)
    if run.architecture == "late_interaction":
        return _by_negatives(frame, labelled=False)
    if not frame["negatives"].list.len().sum():
        raise TrainingError(f"{run.label}: none of {len(frame)} rows has a negative: let mine.miners bring some")
    if run.loss in _TAUGHT:
        return _by_negatives(frame, labelled=True)
    if run.loss not in _LISTS:
        return [_labelled(frame)]
    return [_lists(frame, _CERTAIN if run.loss == "listwise" else 1.0)]


def _check_scores(run: Fit, frame: pl.DataFrame) -> None:
    negatives = pl.col("negatives").list.len()
    untaught = frame.filter((negatives == 0) | (pl.col("scores").list.len() != negatives + 1))
    if len(untaught):
        raise TrainingError(
            f"{run.label}: {len(untaught)} of {len(frame)} rows have no negative or no teacher's scores, and "
            f"{run.loss} learns from both: name a teacher as loss.teacher and miners as mine.miners"
        )


def _prompted(frame: pl.DataFrame, prompts: dict[str, str]) -> pl.DataFrame:
    query, document = pl.lit(prompts["query"]), pl.lit(prompts["document"])
    return frame.with_columns(
        anchor=query + pl.col("anchor"),
        positive=document + pl.col("positive"),
        negatives=pl.col("negatives").list.eval(document + pl.element()),
    )


def _by_negatives(frame: pl.DataFrame, labelled: bool) -> list[pl.DataFrame]:
    """One frame for each number of negatives, fewest first."""
    counted = frame.with_columns(count=pl.col("negatives").list.len()).sort("count", maintain_order=True)
    return [
        part.select(
            "anchor",
            "positive",
            *(pl.col("negatives").list.get(n).alias(f"negative_{n + 1}") for n in range(part["count"][0])),
            *([pl.col("scores").alias("label")] if labelled else []),
        )
        for part in counted.partition_by("count", maintain_order=True)
    ]


def _labelled(frame: pl.DataFrame) -> pl.DataFrame:
    """Every (query, document) once; what is positive anywhere is 1.0."""
    positives = frame.select(query="anchor", document="positive", label=pl.lit(1.0))
    negatives = frame.select(query="anchor", document="negatives", label=pl.lit(0.0)).explode("document")
    pairs = pl.concat([positives, negatives.drop_nulls("document")])
    return pairs.unique(["query", "document"], keep="first", maintain_order=True)


def _lists(frame: pl.DataFrame, positive: float) -> pl.DataFrame:
    """One row a query, `positive` as the label of its positives; one with documents of one label only has no order to
    learn."""
    labelled = _labelled(frame).with_columns(pl.col("label") * positive)
    lists = labelled.group_by("query", maintain_order=True).agg("document", "label")
    return lists.filter(pl.col("label").list.n_unique() == 2)
