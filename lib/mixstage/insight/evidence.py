"""The lists of winner and incumbent, made again from what the store holds: rankings and pair scores, no model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from mixstage.composition import UNSCORED, Composition
from mixstage.corpus.application import read_judgements
from mixstage.corpus.prepare import Prepared
from mixstage.evaluation.boards import is_scored, known_scores
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
    rankings: dict[tuple[str, str], Artifact]  # (application, retriever): all of the grid's that the store still has
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
    """None if a ranking of the two has left the store, or the grid does not say which rankings it was made from."""
    digests = grid.recipe.get("rankings", {})
    found = {tuple(key.split("/", 1)): store.find("ranking", digest) for key, digest in digests.items()}
    rankings = {(name, retriever): ranking for (name, retriever), ranking in found.items() if ranking is not None}
    if any((name, c.retriever) not in rankings for name in plan.applications for c in compared):
        return None
    used = dict.fromkeys(c.reranker for c in compared if c.reranker not in UNSCORED)
    scores = {name: read_scores(store, rerankers[name]) for name in used}
    return Sources(plan=plan, prepared=prepared, compared=compared, rankings=rankings, scores=scores)


def gather(sources: Sources, application: str, split: str, *, pooled: bool = False) -> Evidence | None:
    """None if the store lacks a pair score that one of the two compositions rests on.

    pooled: with the rankings of all retrievers, and what the winner's reranker makes of their candidates.
    """
    judgements = evaluated(read_judgements(sources.prepared.applications[application], split))
    asked = judgements.select("query_id").unique()
    every = [retriever for name, retriever in sources.rankings if name == application]
    names = dict.fromkeys([c.retriever for c in sources.compared] + every * pooled)
    rankings = {
        name: read_ranking(sources.rankings[application, name]).join(asked, on="query_id", how="semi") for name in names
    }
    pairs = _scored_candidates(sources.compared, rankings)
    part, corpus = sources.prepared.applications[application], sources.prepared.corpus_of(sources.plan, application)
    board = build_board(rankings, pairs, known_scores(part, corpus, pairs, sources.scores), judgements)
    if not all(is_scored(board, composition) for composition in sources.compared):
        return None
    return Evidence(board=board, judgements=judgements)


def _scored_candidates(compared: Sequence[Composition], rankings: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """query_id, doc_id of everything that a reranker of one of the two was handed, or the winner's might have been."""
    depths = dict.fromkeys(rankings, compared[0].pairs)
    for composition in compared:
        depths[composition.retriever] = max(depths[composition.retriever], composition.pairs)
    tops = [
        rankings[name].filter(pl.col("rank") <= depth).select("query_id", "doc_id") for name, depth in depths.items()
    ]
    return pl.concat(tops).unique().sort("query_id", "doc_id")
