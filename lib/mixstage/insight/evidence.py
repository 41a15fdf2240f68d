"""The lists of winner and incumbent, made again from what the store holds: rankings and pair scores, no model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from mixstage.composition import UNSCORED, Composition
from mixstage.corpus.application import read_judgements, read_queries
from mixstage.corpus.documents import iterate_documents, text_key
from mixstage.corpus.prepare import Prepared
from mixstage.evaluation.grid import Board, build_board, evaluated
from mixstage.evaluation.rankings import read_ranking
from mixstage.indexing.pair_scores import read_scores
from mixstage.plan import Plan
from mixstage.store import Artifact, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What two compositions are evaluated from."""

    plan: Plan
    prepared: Prepared
    compared: tuple[Composition, Composition]
    rankings: dict[tuple[str, str], Artifact]  # (application, retriever)
    scores: dict[str, pl.DataFrame]  # reranker -> query, document (keys of the texts), score


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One application's queries of one split."""

    board: Board
    judgements: pl.DataFrame  # query_id, doc_id, grade


def open_sources(
    plan: Plan,
    store: Store,
    prepared: Prepared,
    grid: Artifact,
    compared: tuple[Composition, Composition],
    rerankers: Mapping[str, Artifact],
) -> Sources | None:
    """None if a ranking has left the store, or the grid does not say which rankings it was made from."""
    digests = grid.recipe.get("rankings", {})
    keys = [(name, composition.retriever) for name in plan.applications for composition in compared]
    found = {key: store.find("ranking", digests.get("/".join(key), "")) for key in keys}
    rankings = {key: ranking for key, ranking in found.items() if ranking is not None}
    if len(rankings) < len(found):
        return None
    used = dict.fromkeys(c.reranker for c in compared if c.reranker not in UNSCORED)
    scores = {name: read_scores(store, rerankers[name]) for name in used}
    return Sources(plan=plan, prepared=prepared, compared=compared, rankings=rankings, scores=scores)


def gather(sources: Sources, application: str, split: str) -> Evidence | None:
    """None if a candidate's pair score has left the store."""
    judgements = evaluated(read_judgements(sources.prepared.applications[application], split))
    asked = judgements.select("query_id").unique()
    rankings = {
        c.retriever: read_ranking(sources.rankings[application, c.retriever]).join(asked, on="query_id", how="semi")
        for c in sources.compared
    }
    pairs = _scored_candidates(sources.compared, rankings)
    scores = _scores(sources, application, pairs)
    if any(_lacks(pairs, scores[c.reranker], rankings[c.retriever], c) for c in sources.compared if c.pairs):
        return None
    board = build_board(rankings, pairs, scores, judgements)
    return Evidence(board=board, judgements=judgements)


def _lacks(pairs: pl.DataFrame, scores: np.ndarray, ranking: pl.DataFrame, composition: Composition) -> bool:
    """Whether one of its own candidates has no score; a race may have spared the other side's."""
    own = ranking.filter(pl.col("rank") <= composition.pairs).select("query_id", "doc_id")
    unscored = pairs.filter(pl.Series(np.isnan(scores), dtype=pl.Boolean))
    return not unscored.join(own, on=["query_id", "doc_id"], how="semi").is_empty()


def _scored_candidates(compared: Sequence[Composition], rankings: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """query_id, doc_id of everything that a reranker of one of the two was handed."""
    tops = [rankings[c.retriever].filter(pl.col("rank") <= c.pairs).select("query_id", "doc_id") for c in compared]
    return pl.concat(tops).unique().sort("query_id", "doc_id")


def _scores(sources: Sources, application: str, pairs: pl.DataFrame) -> dict[str, np.ndarray]:
    """reranker -> (N,) float32, NaN where the store has no score."""
    part = sources.prepared.applications[application]
    texts = read_queries(part, "dev", "test")
    queries = pl.DataFrame(
        {
            "query_id": texts["query_id"],
            "query": pl.Series([text_key(text) for text in texts["text"]], dtype=pl.Binary),
        }
    )
    wanted = pairs.select("doc_id").unique()
    shards = iterate_documents(sources.prepared.corpus_of(sources.plan, application), ["doc_id", "key"])
    documents = pl.concat([pl.DataFrame(shard).join(wanted, on="doc_id", how="semi") for shard in shards])
    keyed = pairs.join(queries, on="query_id", how="left", maintain_order="left")
    keyed = keyed.join(documents.rename({"key": "document"}), on="doc_id", how="left", maintain_order="left")
    columns = {}
    for name, known in sources.scores.items():
        joined = keyed.join(known, on=["query", "document"], how="left", maintain_order="left")
        columns[name] = joined["score"].fill_null(float("nan")).to_numpy().astype(np.float32)
    return columns
