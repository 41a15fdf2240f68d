"""Samples as a loss reads them: groups of rows with the same columns."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from mixstage.errors import TrainingError
from mixstage.plan.losses import find_loss
from mixstage.training.fitting.run import Fit

# ListNetLoss takes a softmax of the labels: of 1 against n zeros it would leave the positive e / (e + n)
_CERTAIN = 30.0


def read_rows(run: Fit, batch: int) -> list[Any]:
    """Datasets (of `datasets`), each with at least `batch` rows; smaller ones are left out.

    Columns: text, row (mlm), or those of the loss. A retriever's prompts stand before its texts, as plain strings,
    because that is how they are served.
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
    loss = find_loss(run.loss)
    if loss.taught:
        _check_scores(run, frame)
    if run.trained == "bi_encoder":
        frame = _prompted(frame, run.parent.settings["prompts"])
    if run.trained == "cross_encoder" and not frame["negatives"].list.len().sum():
        raise TrainingError(f"{run.label}: none of {len(frame)} rows has a negative: let mine.miners bring some")
    return loss.rows(frame)


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


def by_negatives(frame: pl.DataFrame) -> list[pl.DataFrame]:
    """anchor, positive, negative_1..: a frame for each number of negatives, fewest first."""
    return _by_negatives(frame, [])


def scored_by_negatives(frame: pl.DataFrame) -> list[pl.DataFrame]:
    """The columns of `by_negatives`, and `label`: the teacher's scores of the positive and of each negative."""
    return _by_negatives(frame, [pl.col("scores").alias("label")])


def _by_negatives(frame: pl.DataFrame, more: Sequence[pl.Expr]) -> list[pl.DataFrame]:
    counted = frame.with_columns(count=pl.col("negatives").list.len()).sort("count", maintain_order=True)
    return [
        part.select(
            "anchor",
            "positive",
            *(pl.col("negatives").list.get(n).alias(f"negative_{n + 1}") for n in range(part["count"][0])),
            *more,
        )
        for part in counted.partition_by("count", maintain_order=True)
    ]


def labelled_pairs(frame: pl.DataFrame) -> list[pl.DataFrame]:
    """query, document, label: every pair once; what is positive anywhere is 1.0, the others are 0.0."""
    return [_labelled(frame)]


def labelled_lists(frame: pl.DataFrame) -> list[pl.DataFrame]:
    """query, document (list), label (list): a row a query; one with documents of one label only has no order to learn
    and is left out."""
    return [_lists(frame, 1.0)]


def certain_lists(frame: pl.DataFrame) -> list[pl.DataFrame]:
    """The columns of `labelled_lists`, for losses that take a softmax of the labels: positives are 30.0."""
    return [_lists(frame, _CERTAIN)]


def _labelled(frame: pl.DataFrame) -> pl.DataFrame:
    positives = frame.select(query="anchor", document="positive", label=pl.lit(1.0))
    negatives = frame.select(query="anchor", document="negatives", label=pl.lit(0.0)).explode("document")
    pairs = pl.concat([positives, negatives.drop_nulls("document")])
    return pairs.unique(["query", "document"], keep="first", maintain_order=True)


def _lists(frame: pl.DataFrame, positive: float) -> pl.DataFrame:
    labelled = _labelled(frame).with_columns(pl.col("label") * positive)
    lists = labelled.group_by("query", maintain_order=True).agg("document", "label")
    return lists.filter(pl.col("label").list.n_unique() == 2)
