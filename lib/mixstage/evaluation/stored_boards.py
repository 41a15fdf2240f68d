"""What chosen compositions of a grid order, again from the store: rankings and pair scores as boards, no model.

The lists of winner and incumbent, made again from what the store holds: rankings and pair scores, no model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mixstage.composition import UNSCORED, Composition
from mixstage.corpus.application import read_judgements, read_queries
from mixstage.corpus.documents import iterate_documents
from mixstage.corpus.hashing import text_key
from mixstage.corpus.prepare import Prepared
from mixstage.corpus.tables import Application, Corpus
from mixstage.errors import StoreError, unknown_name
from mixstage.evaluation.board import Board, build_board
from mixstage.evaluation.compositions import evaluated
from mixstage.evaluation.grid import Grid
from mixstage.evaluation.rankings import EVALUATED, Key, Ranking, read_ranking
from mixstage.models.checkpoint import Checkpoint
from mixstage.pairs.scores import read_scores
from mixstage.plan.schema import Plan
from mixstage.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Boards:
    """The candidates of some compositions, for every application."""

    plan: Plan
    prepared: Prepared
    compositions: Sequence[Composition]
    rankings: dict[str, dict[str, pl.DataFrame]]  # application -> retriever -> query_id, doc_id, score, rank
    scores: dict[str, pl.DataFrame]  # reranker -> query, document (keys of the texts), score

    def of(self, application: str, split: str) -> Board:
        """Of the judged queries of one split. Raises StoreError if a pair score has left the store."""
        judgements = evaluated(read_judgements(self.prepared.applications[application], split))
        asked = judgements.select("query_id").unique()
        rankings = {r: frame.join(asked, on="query_id", how="semi") for r, frame in self.rankings[application].items()}
        tops = [rankings[c.retriever].filter(pl.col("rank") <= c.pairs) for c in self.compositions]
        pairs = pl.concat([top.select("query_id", "doc_id") for top in tops]).unique().sort("query_id", "doc_id")
        part, corpus = self.prepared.applications[application], self.prepared.corpus_of(application)
        board = build_board(rankings, pairs, known_scores(part, corpus, pairs, self.scores), judgements)
        for composition in self.compositions:
            if not is_scored(board, composition):
                raise StoreError(
                    f"{composition}: pair scores of {application} have left the store; delete its grid/ folder and run "
                    "`mixstage evaluate`, which scores what is missing"
                )
        return board


def open_boards(
    plan: Plan,
    store: Store,
    prepared: Prepared,
    rankings: Mapping[Key, Ranking],
    rerankers: Mapping[str, Checkpoint],
    chosen: Sequence[Composition],
) -> Boards:
    """Reads what these compositions of the grid need."""
    retrievers = dict.fromkeys(composition.retriever for composition in chosen)
    used = dict.fromkeys(composition.reranker for composition in chosen if composition.pairs)
    return Boards(
        plan=plan,
        prepared=prepared,
        compositions=chosen,
        rankings={name: {r: read_ranking(rankings[name, r]) for r in retrievers} for name in plan.applications},
        scores={name: read_scores(store, rerankers[name]) for name in used},
    )


def find_compositions(grid: Grid, names: Sequence[str]) -> list[Composition]:
    """Compositions of a grid by name, all that can be served if none is named.

    Raises InputError on a name that the grid lacks, with those most like it.
    """
    known = pl.DataFrame(grid.read_table("dev.parquet", ["composition"]))["composition"].unique(maintain_order=True)
    parsed = {name: Composition.parse(name) for name in known}
    if not names:
        return [composition for composition in parsed.values() if composition.is_servable]
    for name in names:
        if name not in parsed:
            raise unknown_name("composition", name, parsed)
    return [parsed[name] for name in dict.fromkeys(names)]


def known_scores(
    application: Application, corpus: Corpus, pairs: pl.DataFrame, scores: Mapping[str, pl.DataFrame]
) -> dict[str, NDArray[np.float32]]:
    """reranker -> (N,) scores of the N pairs (query_id, doc_id), NaN where `read_scores` had none.

    scores: reranker -> what `read_scores` gave.
    """
    asked = read_queries(application, *EVALUATED)
    keys = pl.Series("query", [text_key(text) for text in asked["text"]], dtype=pl.Binary)
    wanted = pairs.select("doc_id").unique()
    shards = (pl.DataFrame(shard) for shard in iterate_documents(corpus, ["doc_id", "key"]))
    documents = pl.concat([shard.join(wanted, on="doc_id", how="semi") for shard in shards])
    keyed = (
        pairs.join(asked.select("query_id", keys), on="query_id", how="left", maintain_order="left")
        .join(documents, on="doc_id", how="left", maintain_order="left")
        .rename({"key": "document"})
    )
    columns = {}
    for reranker, known in scores.items():
        found = keyed.join(known, on=["query", "document"], how="left", maintain_order="left")["score"]
        columns[reranker] = found.fill_null(float("nan")).to_numpy().astype(np.float32)
    return columns


def is_scored(board: Board, composition: Composition) -> bool:
    """Whether every candidate that the composition's reranker is handed has a score."""
    ranks = board.ranks[composition.retriever]
    handed = (ranks > 0) & (ranks <= composition.pairs)
    return not handed.any() or not np.isnan(board.reranked[composition.reranker][handed]).any()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What two compositions are evaluated from."""

    plan: Plan
    prepared: Prepared
    compared: tuple[Composition, Composition]
    rankings: dict[Key, Ranking]  # (application, retriever): all of the grid's that the store still has
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
    grid: Grid,
    compared: tuple[Composition, Composition],
    rerankers: Mapping[str, Checkpoint],
) -> Sources | None:
    """None if a ranking of the two has left the store, or the grid does not say which rankings it was made from."""
    stored = {key: store.find(Ranking, digest) for key, digest in grid.rankings.items()}
    rankings = {key: ranking for key, ranking in stored.items() if ranking is not None}
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
    part, corpus = sources.prepared.applications[application], sources.prepared.corpus_of(application)
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
