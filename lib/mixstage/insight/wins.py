"""Queries that the winner answers better or worse than the incumbent: what caused it, and what both answer first."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mixstage.corpus.application import read_queries
from mixstage.corpus.documents import read_documents
from mixstage.evaluation.board import final_list, top_documents
from mixstage.evaluation.stored_boards import Evidence, StoredBoards
from mixstage.measures.measures import UNRANKED, Grades
from mixstage.stats import ROUNDING
from mixstage.stats.bootstrap import Floats

READ = 10  # queries won, and as many lost, of an application
_TOP = 3  # documents of each list
_SNIPPET = 240  # characters of a document


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What one composition answers to Q queries with up to J judged documents each."""

    values: Floats  # (Q,) the application's metric
    ceilings: Floats  # (Q,) its highest value for any order of the candidates
    ranks: NDArray[np.int32]  # (Q, J) final rank, from 1, of each judged document; 0 = not a candidate
    grades: Grades  # (Q, J) negative = not judged or an unused slot


def win_loss(query_ids: list[str], winner: Answered, incumbent: Answered) -> pl.DataFrame:
    """A row a query, greatest gain first, then by id.

    query_id; winner, incumbent: values; delta; winner_first, incumbent_first: final rank of the first relevant
    document, null if there is none among the candidates; cause, one of
    - tie;
    - gained or lost by retrieval: the change of the ceiling is at least half of delta;
    - reordered up, reordered down: the order of the candidates changed more than their ceiling;
    - unjudged above: reordered down, but every document above the winner's first relevant one lacks a judgement, so
      that the loss may be a hole in the judgements.
    """
    delta = winner.values - incumbent.values
    first = {"winner": _first_relevant(winner), "incumbent": _first_relevant(incumbent)}
    table = pl.DataFrame(
        {
            "query_id": query_ids,
            "winner": winner.values,
            "incumbent": incumbent.values,
            "delta": delta,
            **{
                f"{name}_first": pl.Series(ranks, dtype=pl.Int64).replace(UNRANKED, None)
                for name, ranks in first.items()
            },
            "cause": _causes(delta, winner, incumbent, first["winner"]).tolist(),
        }
    )
    return table.sort("delta", "query_id", descending=[True, False])


def extremes(table: pl.DataFrame, count: int) -> pl.DataFrame:
    """Up to `count` greatest wins, then up to `count` greatest losses, each greatest first; no ties."""
    moved = table.filter(pl.col("cause") != "tie")
    wins = moved.filter(pl.col("delta") > 0).sort("delta", "query_id", descending=[True, False])
    losses = moved.filter(pl.col("delta") < 0).sort("delta", "query_id")
    return pl.concat([wins.head(count), losses.head(count)])


def _first_relevant(answered: Answered) -> NDArray[np.int64]:
    """(Q,) rank of the first document of grade 1 or more, UNRANKED if none is a candidate."""
    relevant = (answered.ranks > 0) & (answered.grades >= 1)
    return np.asarray(np.where(relevant, answered.ranks, UNRANKED).min(axis=1, initial=UNRANKED), dtype=np.int64)


def _causes(delta: Floats, winner: Answered, incumbent: Answered, first: NDArray[np.int64]) -> NDArray[np.str_]:
    retrieval = winner.ceilings - incumbent.ceilings
    by_retrieval = retrieval * np.sign(delta) >= np.abs(delta) / 2
    judged_above = ((winner.ranks > 0) & (winner.ranks < first[:, None]) & (winner.grades >= 0)).any(axis=1)
    unjudged_above = (first > 1) & (first < UNRANKED) & ~judged_above
    return np.select(
        [
            np.abs(delta) <= ROUNDING,
            by_retrieval & (delta > 0),
            by_retrieval,
            delta > 0,
            unjudged_above,
        ],
        ["tie", "gained by retrieval", "lost by retrieval", "reordered up", "unjudged above"],
        default="reordered down",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A document as the page shows it."""

    doc_id: str
    title: str
    snippet: str
    grade: int | None  # None: not judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A query to read, with the first documents of both compositions."""

    query_id: str
    query: str
    delta: float  # winner minus incumbent
    cause: str  # see `win_loss`
    winner: list[Shown]
    incumbent: list[Shown]


def examples(boards: StoredBoards, application: str, moved: pl.DataFrame, evidence: Evidence) -> list[Example]:
    """The greatest wins, then the greatest losses, up to READ of each; moved: rows of `win_loss`."""
    rows = extremes(moved, READ)
    lists = [
        top_documents(evidence.board, final_list(evidence.board, composition), _TOP).join(
            rows.select("query_id"), on="query_id"
        )
        for composition in boards.compositions
    ]
    texts = read_documents(
        boards.prepared.corpus_of(application), {doc_id for top in lists for doc_id in top["doc_id"]}
    )
    graded = {(q, d): grade for q, d, grade in evidence.judgements.select("query_id", "doc_id", "grade").iter_rows()}
    words = read_queries(boards.prepared.applications[application], "dev", "test")
    queries = dict(words.select("query_id", "text").iter_rows())

    def shown(query: str, doc_id: str) -> Shown:
        title, text = texts[doc_id]
        return Shown(doc_id=doc_id, title=title, snippet=_short(text), grade=graded.get((query, doc_id)))

    def first(top: pl.DataFrame, query: str) -> list[Shown]:
        return [shown(query, doc_id) for doc_id in top.filter(pl.col("query_id") == query).sort("rank")["doc_id"]]

    return [
        Example(
            query_id=query,
            query=queries[query],
            delta=delta,
            cause=cause,
            winner=first(lists[0], query),
            incumbent=first(lists[1], query),
        )
        for query, delta, cause in rows.select("query_id", "delta", "cause").iter_rows()
    ]


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _SNIPPET else f"{flat[:_SNIPPET].rstrip()}…"
