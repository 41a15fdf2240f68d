"""The candidates of every application as pairs of texts: numbered once, scored when they are needed."""

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mixstage.corpus.application import read_queries
from mixstage.corpus.documents import document_text, read_documents
from mixstage.corpus.prepare import Prepared
from mixstage.evaluation.compositions import union
from mixstage.evaluation.rankings import EVALUATED
from mixstage.models.checkpoint import Checkpoint
from mixstage.pairs.cost import PairCost, cost_table
from mixstage.pairs.run import score_missing
from mixstage.pairs.scores import Pairs, look_up

Rankings = Mapping[str, Mapping[str, pl.DataFrame]]  # application -> retriever -> query_id, doc_id, score, rank
Cell = tuple[str, str]  # (retriever, reranker)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """N candidates, one application after the other: the union of all retrievers' lists down to a depth."""

    tables: dict[str, pl.DataFrame]  # application -> query_id, doc_id
    members: dict[str, NDArray[np.bool_]]  # retriever -> (N,) whether it lists them
    pairs: Pairs  # their texts

    def of(self, queries: Mapping[str, Collection[str]]) -> NDArray[np.bool_]:
        """(N,) those of the named queries; application -> ids."""
        queried = [table["query_id"].is_in(list(queries[name])).to_numpy() for name, table in self.tables.items()]
        return np.concatenate(queried)

    def split(self, column: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """application -> its part of (N,) values."""
        ends = np.cumsum([len(table) for table in self.tables.values()])[:-1]
        return dict(zip(self.tables, np.split(column, ends), strict=True))


def find_candidates(prepared: Prepared, rankings: Rankings) -> Candidates:
    """Candidates down to the grid's largest depth."""
    depth = max(prepared.plan.grid.depths)
    tables = {name: union(own, depth) for name, own in rankings.items()}
    retrievers = dict.fromkeys(retriever for own in rankings.values() for retriever in own)
    return Candidates(
        tables=tables,
        members={
            retriever: np.concatenate([_listed(tables[name], own[retriever], depth) for name, own in rankings.items()])
            for retriever in retrievers
        },
        pairs=_pairs(prepared, tables),
    )


def _listed(table: pl.DataFrame, ranking: pl.DataFrame, depth: int) -> NDArray[np.bool_]:
    top = ranking.filter(pl.col("rank") <= depth).select("query_id", "doc_id", pl.lit(True).alias("listed"))
    rows = table.join(top, on=["query_id", "doc_id"], how="left", maintain_order="left")
    return rows["listed"].fill_null(False).to_numpy()


def _pairs(prepared: Prepared, tables: Mapping[str, pl.DataFrame]) -> Pairs:
    queries: list[str] = []
    documents: list[str] = []
    query_numbers: list[NDArray[np.int64]] = []
    doc_numbers: list[NDArray[np.int64]] = []
    for name, frame in tables.items():
        texts = read_documents(prepared.corpus_of(name), set(frame["doc_id"]))
        own = read_queries(prepared.applications[name], *EVALUATED)
        doc_ids = sorted(texts)
        query_numbers.append(_places(frame["query_id"], own["query_id"].to_list()) + len(queries))
        doc_numbers.append(_places(frame["doc_id"], doc_ids) + len(documents))
        queries += own["text"].to_list()
        documents += [document_text(*texts[doc_id]) for doc_id in doc_ids]
    return Pairs(
        queries=queries,
        documents=documents,
        query=np.concatenate(query_numbers),
        document=np.concatenate(doc_numbers),
    )


def _places(column: pl.Series, values: list[str]) -> NDArray[np.int64]:
    """(N,) where each entry of the column stands in `values`."""
    table = pl.DataFrame({"value": values}, schema={"value": pl.String}).with_row_index("at")
    rows = column.to_frame("value").join(table, on="value", how="left", maintain_order="left")
    return rows["at"].cast(pl.Int64).to_numpy()


@dataclass(slots=True, kw_only=True)
class Scorer:
    """Scores candidates when they are needed, says what that costs before it does, and adds it up."""

    prepared: Prepared
    rerankers: Mapping[str, Checkpoint]
    candidates: Candidates
    columns: dict[str, NDArray[np.float32]] = field(default_factory=dict)  # reranker -> (N,), NaN where unscored
    requested: dict[str, NDArray[np.bool_]] = field(default_factory=dict)  # reranker -> (N,) so far
    costs: dict[str, PairCost] = field(default_factory=dict)
    seconds: float = 0.0  # of waiting

    def score(self, cells: Iterable[Cell], queries: Mapping[str, Collection[str]]) -> dict[str, PairCost]:
        """Scores each cell's candidates of the named queries that no earlier call did; reranker -> what it cost."""
        start = time.perf_counter()
        fresh, naive = self._fresh(cells, self.candidates.of(queries))
        checkpoints = {name: self.rerankers[name] for name in fresh}
        lookup = look_up(self.prepared.store, checkpoints, self.candidates.pairs, fresh)
        costs = {name: PairCost.of(tally, naive[name]) for name, tally in lookup.tallies.items()}
        if costs:
            self.prepared.progress.console.print(cost_table(costs, "pairs, each scored once", done=False))
        workers = self.prepared.plan.resources.score
        self.columns |= score_missing(
            self.prepared.store, lookup, label="score pairs", workers=workers, progress=self.prepared.progress
        )
        self.seconds += time.perf_counter() - start
        costs = {name: PairCost.of(tally, naive[name]) for name, tally in lookup.tallies.items()}
        for name, cost in costs.items():
            self.costs[name] = self.costs[name] + cost if name in self.costs else cost
        return costs

    def _fresh(
        self, cells: Iterable[Cell], queried: NDArray[np.bool_]
    ) -> tuple[dict[str, NDArray[np.bool_]], dict[str, int]]:
        """reranker -> (N,) pairs requested for the first time; reranker -> their number, summed over the lists."""
        fresh: dict[str, NDArray[np.bool_]] = {}
        naive: dict[str, int] = {}
        nothing = np.zeros(len(queried), dtype=bool)
        for retriever, reranker in cells:
            new = self.candidates.members[retriever] & queried & ~self.requested.get(reranker, nothing)
            fresh[reranker] = fresh.get(reranker, nothing) | new
            naive[reranker] = naive.get(reranker, 0) + int(new.sum())
        for reranker, new in fresh.items():
            self.requested[reranker] = self.requested.get(reranker, nothing) | new
        return fresh, naive

    def scores_of(self, application: str) -> dict[str, NDArray[np.float32]]:
        """reranker -> scores of the application's candidates."""
        return {name: self.candidates.split(column)[application] for name, column in self.columns.items()}
