"""Mining: which queries are hard for a model, and which documents it wrongly prefers for them."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from mixstage.plan import MinePlan

MINED = {"query_id": pl.String, "positive": pl.String, "negatives": pl.List(pl.String), "rank": pl.UInt32}


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What mining kept, and how much it turned away."""

    mined: pl.DataFrame  # query_id, positive (doc_id), negatives (doc_ids, hardest first), rank of the first positive
    queries: int  # looked at
    easy: int  # left out: the first judged document ranks above `hard_rank`
    short: int  # left out: too few negatives passed the filter
    suspected: int  # candidates turned away as likely unjudged positives


def mine(candidates: pl.DataFrame, judgements: pl.DataFrame, positives: pl.DataFrame, plan: MinePlan) -> Findings:
    """Keeps hard queries and, for each of their positives, the best-ranked negatives that are surely negative.

    candidates: query_id, doc_id, score, rank (1-based). judgements: query_id, doc_id, grade > 0.
    positives: query_id, doc_id, score of every judged pair on the candidates' scale; NaN where the miner has none.

    A candidate counts as negative if it is not judged and scores below `margin` of the lowest positive: lowest -
    (1 - margin) x |lowest|, which holds for negative logits as well (NV-Retriever's TopK-PercPos, arXiv 2407.15831).
    Where no positive has a score (BM25), ranks alone decide. Queries with fewer than `negatives` are left out, never
    padded.
    """
    relevant = judgements.filter(pl.col("grade") >= plan.min_grade).join(positives, on=["query_id", "doc_id"])
    found = relevant.join(candidates.select("query_id", "doc_id", "rank"), on=["query_id", "doc_id"], how="left")
    ranks = found.group_by("query_id").agg(
        pl.col("rank").min().fill_null(plan.depth + 1).cast(pl.UInt32),
        pl.col("score").fill_nan(None).min().alias("lowest"),
    )
    hard = ranks.filter(pl.col("rank") >= plan.hard_rank)
    limit = pl.col("lowest") - (1 - plan.margin) * pl.col("lowest").abs()
    unjudged = candidates.join(judgements, on=["query_id", "doc_id"], how="anti").join(
        hard.select("query_id", limit.alias("limit")), on="query_id"
    )
    below = pl.col("limit").is_null() | (pl.col("score") < pl.col("limit"))
    negatives = (
        unjudged.filter(below)
        .sort("query_id", "rank")
        .group_by("query_id", maintain_order=True)
        .agg(pl.col("doc_id").head(plan.negatives).alias("negatives"))
        .filter(pl.col("negatives").list.len() == plan.negatives)
    )
    mined = (
        relevant.select("query_id", pl.col("doc_id").alias("positive"))
        .join(hard.select("query_id", "rank"), on="query_id")
        .join(negatives, on="query_id")
        .sort("query_id", "positive")
        .select(*MINED)
    )
    return Findings(
        mined=mined,
        queries=len(ranks),
        easy=len(ranks) - len(hard),
        short=len(hard) - len(negatives),
        suspected=len(unjudged) - len(unjudged.filter(below)),
    )


def triplets(mined: pl.DataFrame, queries: dict[str, str], texts: dict[str, str], source: str) -> pl.DataFrame:
    """anchor, positive, negative_1 .. negative_n, source: a row a positive; ids become texts."""
    count = len(mined["negatives"][0]) if len(mined) else 0  # mining keeps the same number everywhere
    columns = {
        "anchor": [queries[query_id] for query_id in mined["query_id"]],
        "positive": [texts[doc_id] for doc_id in mined["positive"]],
    }
    for n in range(count):
        columns[f"negative_{n + 1}"] = [texts[ids[n]] for ids in mined["negatives"]]
    return pl.DataFrame({**columns, "source": [source] * len(mined)})


def labelled_pairs(triples: pl.DataFrame) -> pl.DataFrame:
    """anchor, positive, negative_* -> query, document, label (1.0 / 0.0), source: what a pointwise loss reads.

    Each query's negatives stand once, however many positives it has.
    """
    names = [name for name in triples.columns if name.startswith("negative_")]
    frames = [
        triples.select(
            pl.col("anchor").alias("query"), pl.col("positive").alias("document"), label=1.0, source="source"
        )
    ]
    frames += [
        triples.select(pl.col("anchor").alias("query"), pl.col(name).alias("document"), label=0.0, source="source")
        for name in names
    ]
    return pl.concat(frames).unique(["query", "document"], keep="first", maintain_order=True)


def shuffled(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    return frame[np.random.default_rng(seed).permutation(len(frame))]
