"""Negatives: which queries are hard for a model, and which documents it wrongly prefers for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from mixstage.plan.stages import MinePlan
from mixstage.training.samples.miners import Mined
from mixstage.training.samples.supervision import SAMPLE, Supervision

KEPT = {"query_id": pl.String, "positive": pl.String, "negatives": pl.List(pl.String), "rank": pl.UInt32}
LEDGER: dict[Any, Any] = {
    "query_id": pl.String,
    "doc_id": pl.String,
    "miner": pl.String,  # that ranked it best
    "rank": pl.UInt32,  # by that miner
    "score": pl.Float32,  # of that miner
    "positive_score": pl.Float32,  # the lowest of the query's positives on the same scale; null: the miner has none
    "margin": pl.Float32,  # positive_score - score
    "teacher_score": pl.Float32,  # of the reranker that filtered; null: none did
    "use": pl.String,  # "negative", or "suspect": likely a positive that nobody judged
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What mining kept, and what it turned away."""

    kept: pl.DataFrame  # query_id, positive (doc_id), negatives (doc_ids, best-ranked first), rank of first positive
    ledger: pl.DataFrame  # every negative used and every suspect, see LEDGER
    queries: int  # looked at
    easy: int  # left out: the first judged document ranks above `hard_rank`
    short: int  # left out: too few negatives passed the filter
    suspected_rate: float  # of the candidates that would be the negatives without the filter, the share it suspects


def choose_negatives(mined: Mined, plan: MinePlan, teacher: pl.DataFrame | None = None) -> Findings:
    """Keeps hard queries and, for each of their positives, the best-ranked negatives that are surely negative.

    teacher: query_id, doc_id, score of a reranker that has to agree, of all candidates and positives.

    A candidate counts as negative if neither it nor its like (the same text under another id) is judged, and every
    miner that ranks it scores it below the margin:
    lowest positive - (1 - margin) x |lowest positive|, which holds for negative logits as well (NV-Retriever's
    TopK-PercPos, arXiv 2407.15831), or with `absolute_margin` that much below it. Where a miner has no score of a
    positive (BM25), ranks alone decide. A document's rank is the best that any miner gave it. Of equal texts one is
    taken. Queries with fewer negatives than the plan asks for are left out, never padded. Hard is what the first miner
    ranks badly.
    """
    judgements = mined.supervision.judgements
    relevant = judgements.filter(pl.col("grade") >= plan.min_grade)
    ranks = _first_ranks(relevant, mined.ranking, plan)
    hard = ranks.filter(pl.col("rank") >= plan.hard_rank)
    pool = _pool(mined, relevant, judgements, plan, teacher).join(hard.select("query_id"), on="query_id")
    ordered = pool.sort("query_id", "rank", "order", "doc_id")
    naive = ordered.group_by("query_id", maintain_order=True).head(plan.negatives)
    chosen = ordered.filter(~pl.col("suspected")).group_by("query_id", maintain_order=True).head(plan.negatives)
    negatives = (
        chosen.group_by("query_id", maintain_order=True)
        .agg(pl.col("doc_id").alias("negatives"))
        .filter(pl.col("negatives").list.len() == plan.negatives)
    )
    kept = (
        relevant.select("query_id", pl.col("doc_id").alias("positive"))
        .join(hard, on="query_id")
        .join(negatives, on="query_id")
        .sort("query_id", "positive")
        .select(*KEPT)
    )
    used = chosen.filter(pl.col("query_id").is_in(negatives["query_id"].implode()))
    return Findings(
        kept=kept,
        ledger=_ledger(used, ordered.filter(pl.col("suspected"))),
        queries=len(ranks),
        easy=len(ranks) - len(hard),
        short=len(hard) - len(negatives),
        suspected_rate=float(naive["suspected"].mean() or 0.0),  # type: ignore[arg-type]
    )


def _first_ranks(relevant: pl.DataFrame, ranking: pl.DataFrame, plan: MinePlan) -> pl.DataFrame:
    """query_id, rank of the first judged document by the first miner: one beyond the depth where it ranks none."""
    first = ranking.filter(pl.col("miner") == plan.miners[0]).select("query_id", "doc_id", "rank")
    ranks = relevant.select("query_id", "doc_id").join(first, on=["query_id", "doc_id"], how="left")
    return ranks.group_by("query_id").agg(pl.col("rank").min().fill_null(plan.depth + 1).cast(pl.UInt32))


def _pool(
    mined: Mined,
    relevant: pl.DataFrame,
    judgements: pl.DataFrame,
    plan: MinePlan,
    teacher: pl.DataFrame | None,
) -> pl.DataFrame:
    """Unjudged candidates, one row a (query, text): the best-ranking miner's figures, suspected by any."""
    pair, per_miner = ["query_id", "doc_id"], ["miner", "query_id"]
    like = pl.col("doc_id").replace(_likes(mined)).alias("like")
    lowest = _lowest(relevant.join(mined.positives, on=pair), per_miner)
    order = {miner: number for number, miner in enumerate(plan.miners)}
    rows = (
        mined.ranking.with_columns(like)
        .join(judgements.select("query_id", like), on=["query_id", "like"], how="anti")
        .join(lowest, on=per_miner, how="left")
        .with_columns(
            order=pl.col("miner").replace_strict(order, default=0, return_dtype=pl.Int64),
            suspected=(pl.col("score") >= _limit(plan, "positive_score")).fill_null(False),
        )
    )
    best = rows.sort("query_id", "like", "rank", "order", "doc_id").group_by("query_id", "like", maintain_order=True)
    pool = best.agg(pl.all().exclude("suspected").first(), pl.col("suspected").any())
    pool = pool.filter(pl.col("rank") >= plan.first_rank)
    if teacher is None:
        return pool.with_columns(teacher_score=pl.lit(None, dtype=pl.Float32))
    bar = _lowest(relevant.join(teacher, on=pair), ["query_id"]).rename({"positive_score": "bar"})
    scored = pool.join(teacher.rename({"score": "teacher_score"}), on=pair, how="left")
    relative = plan.model_copy(update={"absolute_margin": None})  # an absolute margin is on the miner's scale
    agreed = (pl.col("teacher_score") >= _limit(relative, "bar")).fill_null(False)
    return scored.join(bar, on="query_id", how="left").with_columns(suspected=pl.col("suspected") | agreed)


def _likes(mined: Mined) -> dict[str, str]:
    """doc_id -> the first id with the same text, of documents that have one."""
    first: dict[str, str] = {}
    texts = mined.supervision.documents | mined.texts
    likes = {doc_id: first.setdefault(text, doc_id) for doc_id, text in sorted(texts.items())}
    return {doc_id: like for doc_id, like in likes.items() if doc_id != like}


def _lowest(scored: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    return scored.group_by(by).agg(pl.col("score").fill_nan(None).min().alias("positive_score"))


def _limit(plan: MinePlan, column: str) -> pl.Expr:
    lowest = pl.col(column)
    return lowest - (1 - plan.margin) * lowest.abs() if plan.absolute_margin is None else lowest - plan.absolute_margin


def _ledger(used: pl.DataFrame, suspects: pl.DataFrame) -> pl.DataFrame:
    uses = [used.with_columns(use=pl.lit("negative")), suspects.with_columns(use=pl.lit("suspect"))]
    margin = (pl.col("positive_score") - pl.col("score")).alias("margin")
    return pl.concat(uses).with_columns(margin).select(*LEDGER).cast(LEDGER).sort("query_id", "use", "rank", "doc_id")


def mined_samples(
    kept: pl.DataFrame, part: Supervision, texts: Mapping[str, str], teacher: pl.DataFrame | None = None
) -> pl.DataFrame:
    """A sample for every mined positive (see SAMPLE); with a teacher its scores of the positive and the negatives."""
    queries = dict(part.queries.select("query_id", "text").iter_rows())
    scores: dict[tuple[str, str], float] = {} if teacher is None else {(q, d): s for q, d, s in teacher.iter_rows()}
    rows = [
        (
            queries[query_id],
            part.documents[positive],
            [texts[doc_id] for doc_id in negatives],
            [scores[query_id, doc_id] for doc_id in (positive, *negatives)] if scores else [],
            f"{part.source}+mined",
        )
        for query_id, positive, negatives, _ in kept.iter_rows()
    ]
    return pl.DataFrame(rows, schema=SAMPLE, orient="row")
