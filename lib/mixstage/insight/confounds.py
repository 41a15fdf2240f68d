"""What a ranking scores that does not read the query: by length, by how often a document is relevant, or by a field."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from mixstage.composition import Composition
from mixstage.corpus.collection import Collection
from mixstage.corpus.documents import iterate_documents, read_field
from mixstage.corpus.tables import Corpus
from mixstage.evaluation.board import build_board, evaluate_board
from mixstage.measures.measures import Measure
from mixstage.plan.data import CorpusPlan

LIMIT = 0.25  # of the winner's score, from which such a ranking puts it in doubt
_NO_PAIRS = {"query_id": pl.String, "doc_id": pl.String}


def read_traits(part: CorpusPlan, corpus: Corpus) -> pl.DataFrame:
    """doc_id, length (characters), value: of the field that the plan suspects, null where a document lacks it."""
    lengths = [
        pl.DataFrame(table).select(
            "doc_id", (pl.col("title").str.len_chars() + pl.col("text").str.len_chars()).alias("length")
        )
        for table in iterate_documents(corpus, ["doc_id", "title", "text"])
    ]
    traits = pl.concat(lengths)
    if part.confound is None:
        return traits.with_columns(pl.lit(None, pl.String).alias("value"))
    return traits.join(read_field(Collection.open(part.source), part.confound), on="doc_id", how="left")


def rank_without_query(traits: pl.DataFrame, relevant: pl.Series, depth: int) -> dict[str, pl.DataFrame]:
    """name -> doc_id, score, rank of one list for all queries. relevant: ids of documents, one for each relevant
    judgement of train and dev.

    longest, shortest; often relevant: by the number of those judgements; field: by how many of them a document of the
    same value has on average (only if some document has one). Ties as everywhere: by id, descending.
    """
    counts = relevant.rename("doc_id").value_counts(name="count")
    known = traits.join(counts, on="doc_id", how="left").with_columns(pl.col("count").fill_null(0))
    scores = {
        "longest": pl.col("length"),
        "shortest": -pl.col("length").cast(pl.Int64),
        "often relevant": pl.col("count"),
    }
    if known["value"].is_not_null().any():
        of_value = pl.col("count").mean().over("value")
        scores["field"] = pl.when(pl.col("value").is_not_null()).then(of_value).otherwise(0.0)
    return {name: _first(known, score, depth) for name, score in scores.items()}


def _first(documents: pl.DataFrame, score: pl.Expr, depth: int) -> pl.DataFrame:
    scored = documents.select("doc_id", score.cast(pl.Float32).alias("score"))
    ordered = scored.sort("score", "doc_id", descending=True).head(depth)
    return ordered.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.UInt32).alias("rank"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Confound:
    """What a ranking that does not read the query scores."""

    mean: float  # of the application's metric
    share: float | None  # of the winner's mean; None if that is 0


def measure_confounds(
    lists: Mapping[str, pl.DataFrame], judgements: pl.DataFrame, measure: Measure, winner: float
) -> dict[str, Confound]:
    """name of a list -> what it scores. judgements: query_id, doc_id, grade of the queries that count; winner: the
    winner's mean."""
    queries = judgements.select(pl.col("query_id").unique())
    rankings = {name: queries.join(listed, how="cross") for name, listed in lists.items()}
    board = build_board(rankings, pl.DataFrame(schema=_NO_PAIRS), {}, judgements)
    depth = max(len(listed) for listed in lists.values())
    grid = [Composition(retriever=name, depth=depth, reranker="none") for name in lists]
    means = {one.retriever: float(values.mean()) for one, values in evaluate_board(board, grid, [measure])}
    return {name: Confound(mean=mean, share=mean / winner if winner > 0 else None) for name, mean in means.items()}
