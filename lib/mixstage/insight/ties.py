"""Ties: how often equal scores stand next to each other, and how much their order, that of ids, decides."""

from dataclasses import dataclass, replace

import numpy as np

from mixstage.composition import Composition
from mixstage.evaluation.board import Board, FinalList, final_list
from mixstage.measures.measures import Measure

TIE_LIMIT = 0.001  # metric points that may hang on the names of documents
_SCORE_BITS = np.uint64(32)  # of a key, above the document's ordinal


@dataclass(frozen=True, slots=True, kw_only=True)
class Ties:
    """What equal scores do to a composition."""

    rate: float  # see `tie_rate`
    effect: float  # see `tie_effect`

    @property
    def is_large(self) -> bool:
        return abs(self.effect) > TIE_LIMIT


def measure_ties(board: Board, composition: Composition, measure: Measure) -> Ties:
    """Of the composition's first k."""
    listed = final_list(board, composition)
    return Ties(rate=tie_rate(listed, composition.k), effect=tie_effect(board, composition, measure))


def tie_rate(listed: FinalList, k: int) -> float:
    """Share of queries with two equal scores next to each other in the top k + 1: there the name decides a place."""
    top = np.sort(listed.keys, axis=1)[:, ::-1][:, : k + 1]
    scores = top >> _SCORE_BITS
    tied = (scores[:, 1:] == scores[:, :-1]) & (top[:, 1:] > 0)
    return float(tied.any(axis=1).mean())


def tie_effect(board: Board, composition: Composition, measure: Measure) -> float:
    """Mean of the measure with ties in the usual order (document id descending) minus that in the opposite order."""
    backwards = replace(board, ordinals=board.ordinals.max(initial=0) - board.ordinals)
    usual, opposite = (measure.values(final_list(b, composition).judged) for b in (board, backwards))
    return float(usual.mean() - opposite.mean())
