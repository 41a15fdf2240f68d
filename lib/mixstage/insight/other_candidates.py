"""Whether another retriever's candidates would help the winner's reranker: what they hold, what it makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixstage.composition import UNSCORED, Composition
from mixstage.evaluation.board import Board
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

    def to_json(self) -> dict[str, Any]:
        return {
            "added": self.added,
            "candidates": self.candidates,
            "ceiling": self.ceiling,
            "achieved": self.achieved,
            "could": self.could.to_json(),
            "does": self.does.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class UnionBound:
    """What the reranker answers alone, without a mix: candidates of several retrievers have no score in common."""

    candidates: float
    ceiling: float
    achieved: float
    additions: list[Addition]  # every other retriever, then all

    def to_json(self) -> dict[str, Any]:
        return {
            "candidates": self.candidates,
            "ceiling": self.ceiling,
            "achieved": self.achieved,
            "additions": [addition.to_json() for addition in self.additions],
        }


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
        additions=[_against(own, name, found, confidence) for name, found in added.items() if found is not None],
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


def _against(own: Pool, name: str, found: Pool, confidence: float) -> Addition:
    return Addition(
        added=name,
        candidates=found.candidates,
        ceiling=float(found.ceilings.mean()),
        achieved=float(found.achieved.mean()),
        could=t_interval(found.ceilings - own.ceilings, confidence),
        does=t_interval(found.achieved - own.achieved, confidence),
    )
