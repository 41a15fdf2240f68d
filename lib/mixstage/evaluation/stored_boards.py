"""What chosen compositions of a grid order, again from the store: rankings and pair scores as boards, no model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mixstage.composition import Composition
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One application's judged queries of one split."""

    board: Board
    judgements: pl.DataFrame  # query_id, doc_id, grade


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBoards:
    """What some compositions of a grid were evaluated from, for every application."""

    prepared: Prepared
    compositions: Sequence[Composition]
    rankings: Mapping[Key, Ranking]  # those of the compositions, and others that the store still has
    scores: dict[str, pl.DataFrame]  # reranker -> query, document (keys of the texts), score

    @classmethod
    def open(
        cls,
        prepared: Prepared,
        rankings: Mapping[Key, Ranking],
        rerankers: Mapping[str, Checkpoint],
        compositions: Sequence[Composition],
    ) -> Self:
        """Reads the pair scores that the compositions rest on. rankings: theirs at least, for every application."""
        used = dict.fromkeys(composition.reranker for composition in compositions if composition.pairs)
        scores = {name: read_scores(prepared.store, rerankers[name]) for name in used}
        return cls(prepared=prepared, compositions=compositions, rankings=rankings, scores=scores)

    @classmethod
    def of_grid(
        cls,
        prepared: Prepared,
        grid: Grid,
        rerankers: Mapping[str, Checkpoint],
        compositions: Sequence[Composition],
    ) -> Self | None:
        """The grid's own rankings as boards; None if one of the compositions' has left the store."""
        stored = {key: prepared.store.find(Ranking, digest) for key, digest in grid.rankings.items()}
        rankings = {key: ranking for key, ranking in stored.items() if ranking is not None}
        if any((name, c.retriever) not in rankings for name in prepared.plan.applications for c in compositions):
            return None
        return cls.open(prepared, rankings, rerankers, compositions)

    @property
    def plan(self) -> Plan:
        return self.prepared.plan

    def find(self, application: str, split: str, *, pooled: bool = False) -> Evidence | None:
        """None if the store lacks a pair score that one of the compositions rests on.

        pooled: with the rankings of all retrievers, and what the first composition's reranker makes of what they find.
        """
        evidence = self._read(application, split, pooled)
        return evidence if self._unscored(evidence.board) is None else None

    def get(self, application: str, split: str) -> Evidence:
        """Raises StoreError if the store lacks a pair score that one of the compositions rests on."""
        evidence = self._read(application, split, pooled=False)
        composition = self._unscored(evidence.board)
        if composition is not None:
            raise StoreError(
                f"{composition}: pair scores of {application} have left the store; delete its grid/ folder and run "
                "`mixstage evaluate`, which scores what is missing"
            )
        return evidence

    def _read(self, application: str, split: str, pooled: bool) -> Evidence:
        judgements = evaluated(read_judgements(self.prepared.applications[application], split))
        queries = judgements.select("query_id").unique()
        others = [retriever for name, retriever in self.rankings if name == application] if pooled else []
        names = dict.fromkeys([*(composition.retriever for composition in self.compositions), *others])
        rankings = {
            name: read_ranking(self.rankings[application, name]).join(queries, on="query_id", how="semi")
            for name in names
        }
        pairs = self._scored_candidates(rankings, pooled)
        part, corpus = self.prepared.applications[application], self.prepared.corpus_of(application)
        board = build_board(rankings, pairs, known_scores(part, corpus, pairs, self.scores), judgements)
        return Evidence(board=board, judgements=judgements)

    def _scored_candidates(self, rankings: Mapping[str, pl.DataFrame], pooled: bool) -> pl.DataFrame:
        """query_id, doc_id of what the compositions' rerankers were handed, or the first one's might have been."""
        depths = dict.fromkeys(rankings, self.compositions[0].pairs if pooled else 0)
        for composition in self.compositions:
            depths[composition.retriever] = max(depths[composition.retriever], composition.pairs)
        tops = [
            rankings[name].filter(pl.col("rank") <= depth).select("query_id", "doc_id")
            for name, depth in depths.items()
        ]
        return pl.concat(tops).unique().sort("query_id", "doc_id")

    def _unscored(self, board: Board) -> Composition | None:
        return next((composition for composition in self.compositions if not is_scored(board, composition)), None)


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
    queries = read_queries(application, *EVALUATED)
    keys = pl.Series("query", [text_key(text) for text in queries["text"]], dtype=pl.Binary)
    listed = pairs.select("doc_id").unique()
    shards = (pl.DataFrame(shard) for shard in iterate_documents(corpus, ["doc_id", "key"]))
    documents = pl.concat([shard.join(listed, on="doc_id", how="semi") for shard in shards])
    keyed = (
        pairs.join(queries.select("query_id", keys), on="query_id", how="left", maintain_order="left")
        .join(documents, on="doc_id", how="left", maintain_order="left")
        .rename({"key": "document"})
    )
    columns = {}
    for reranker, known in scores.items():
        column = keyed.join(known, on=["query", "document"], how="left", maintain_order="left")["score"]
        columns[reranker] = column.fill_null(float("nan")).to_numpy().astype(np.float32)
    return columns


def is_scored(board: Board, composition: Composition) -> bool:
    """Whether every candidate that the composition's reranker is handed has a score."""
    ranks = board.ranks[composition.retriever]
    handed = (ranks > 0) & (ranks <= composition.pairs)
    return not handed.any() or not np.isnan(board.reranked[composition.reranker][handed]).any()
