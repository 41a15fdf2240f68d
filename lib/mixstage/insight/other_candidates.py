"""Whether another retriever's candidates would help the winner's reranker: what they hold, what it makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixstage.composition import UNSCORED, Composition
from mixstage.evaluation.board import Board
from mixstage.insight.finding import Finding, Subject, Table, with_interval
from mixstage.insight.losses import ceiling
from mixstage.measures.measures import Judged, Measure, rank_keys, ranks_of_judged
from mixstage.stats.bootstrap import Floats
from mixstage.stats.paired import Paired, t_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Candidates of several retrievers together, in the reranker's order."""

    candidates: float  # mean number a query
    ceilings: Floats  # (Q,) the measure of the best order of them
    achieved: Floats  # (Q,) the measure of the reranker's order


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """The winner's candidates and one or all further retrievers' against its own alone, paired by query."""

    added: str  # a retriever, or "all"
    candidates: float
    ceiling: float  # mean of Pool.ceilings
    achieved: float
    could: Paired  # what the ceiling gains: never negative
    does: Paired  # what the reranker gains: negative where they distract it


@dataclass(frozen=True, slots=True, kw_only=True)
class UnionBound:
    """What the reranker answers alone, without a mix: candidates of several retrievers have no score in common."""

    candidates: float
    ceiling: float
    achieved: float
    additions: list[Addition]  # every other retriever, then all


def find_additions(subject: Subject) -> Finding | None:
    """What the other retrievers' candidates would bring."""
    bound = union_bound(subject.board, subject.winner, subject.measure, subject.confidence)
    return None if bound is None else tell_bound(bound)


def tell_bound(bound: UnionBound) -> Finding:
    """A row what is added to the winner's candidates."""
    own = ("nothing", f"{bound.candidates:.1f}", f"{bound.ceiling:.4f}", "", f"{bound.achieved:.4f}", "")
    rows = [
        (
            one.added,
            f"{one.candidates:.1f}",
            f"{one.ceiling:.4f}",
            with_interval(one.could),
            f"{one.achieved:.4f}",
            with_interval(one.does),
        )
        for one in bound.additions
    ]
    head = ("added to the winner's candidates", "a query", "ceiling", "gain", "its reranker alone", "gain")
    return Finding(
        title="would other retrievers' candidates help?", value=bound, table=Table(head=head, rows=[own, *rows])
    )


def union_bound(board: Board, winner: Composition, measure: Measure, confidence: float) -> UnionBound | None:
    """At the winner's depth, of each retriever. None if the winner reranks nothing, the board has no other retriever,
    or a candidate lacks the reranker's score."""
    others = [name for name in board.ranks if name != winner.retriever]
    if winner.reranker in UNSCORED or not others:
        return None
    everything = pool(board, [winner.retriever, *others], winner, measure)
    if everything is None:
        return None
    added = {name: pool(board, [winner.retriever, name], winner, measure) for name in others} | {"all": everything}
    own = pool(board, [winner.retriever], winner, measure)
    assert own is not None
    return UnionBound(
        candidates=own.candidates,
        ceiling=float(own.ceilings.mean()),
        achieved=float(own.achieved.mean()),
        additions=[_against(own, name, more, confidence) for name, more in added.items() if more is not None],
    )


def pool(board: Board, retrievers: Sequence[str], winner: Composition, measure: Measure) -> Pool | None:
    """The first `winner.depth` of each retriever together; None if the winner's reranker did not score one of them."""
    tops = [(ranks > 0) & (ranks <= winner.depth) for ranks in (board.ranks[name] for name in retrievers)]
    listed = np.logical_or.reduce(tops)
    scores = np.where(listed, board.reranked[winner.reranker], np.float32(0))
    if np.isnan(scores).any():
        return None
    keys = np.where(listed, rank_keys(scores, board.ordinals), np.uint64(0))
    ranks = ranks_of_judged(keys, board.judged)
    returned = listed.sum(axis=1).astype(np.int32)
    return Pool(
        candidates=float(returned.mean()),
        ceilings=ceiling(ranks, board.grades, listed.shape[1], measure),
        achieved=measure.values(Judged(ranks=ranks, grades=board.grades, returned=returned)),
    )


def _against(own: Pool, name: str, more: Pool, confidence: float) -> Addition:
    return Addition(
        added=name,
        candidates=more.candidates,
        ceiling=float(more.ceilings.mean()),
        achieved=float(more.achieved.mean()),
        could=t_interval(more.ceilings - own.ceilings, confidence),
        does=t_interval(more.achieved - own.achieved, confidence),
    )
