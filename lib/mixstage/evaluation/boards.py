"""What chosen compositions of a grid order, again from the store: rankings and pair scores as boards, no model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mixstage.composition import Composition
from mixstage.corpus.application import read_judgements, read_queries
from mixstage.corpus.documents import iterate_documents, text_key
from mixstage.corpus.prepare import Prepared
from mixstage.errors import StoreError, unknown_name
from mixstage.evaluation.grid import Board, build_board, evaluated
from mixstage.evaluation.rankings import SPLITS, Key, read_ranking
from mixstage.indexing.pair_scores import read_scores
from mixstage.plan import Plan
from mixstage.store import Artifact, Store


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
        part, corpus = self.prepared.applications[application], self.prepared.corpus_of(self.plan, application)
        board = build_board(rankings, pairs, known_scores(part, corpus, pairs, self.scores), judgements)
        for composition in self.compositions:
            if not is_scored(board, composition):
                raise StoreError(
                    f"{composition}: pair scores of {application} have left the store; delete its grid/ folder and run "
                    "jobs.evaluate, which scores what is missing"
                )
        return board


def open_boards(
    plan: Plan,
    store: Store,
    prepared: Prepared,
    rankings: Mapping[Key, Artifact],
    rerankers: Mapping[str, Artifact],
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


def find_compositions(grid: Artifact, names: Sequence[str]) -> list[Composition]:
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
    application: Artifact, corpus: Artifact, pairs: pl.DataFrame, scores: Mapping[str, pl.DataFrame]
) -> dict[str, NDArray[np.float32]]:
    """reranker -> (N,) scores of the N pairs (query_id, doc_id), NaN where `read_scores` had none.

    scores: reranker -> what `read_scores` gave.
    """
    asked = read_queries(application, *SPLITS)
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
