"""Whether the queries can tell: the smallest difference they show, and how much the order of ties decides."""

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from mixstage.composition import Composition
from mixstage.evaluation.grid import Board
from mixstage.insight.final_lists import FinalList, final_list
from mixstage.insight.intervals import Floats
from mixstage.measures import Measure

TIE_LIMIT = 0.001  # metric points that may hang on the names of documents
_Z = NormalDist().inv_cdf(0.95) + NormalDist().inv_cdf(0.80)  # one-sided level 5%, power 80%
_SCORE_BITS = np.uint64(32)  # of a key, above the document's ordinal


def detectable(differences: Floats) -> float | None:
    """The smallest true mean difference that (n,) such queries show with 80% power in a one-sided test at 5%.

    (z(.95) + z(.80)) sd / sqrt(n) (Cohen, 1988, ch. 2, in metric points); None for a single query.
    """
    if len(differences) < 2:
        return None
    return _Z * float(differences.std(ddof=1)) / math.sqrt(len(differences))


def queries_needed(differences: Floats, margin: float) -> int | None:
    """Queries like these that show a mean difference of `margin`, which is above 0; None for a single query."""
    if len(differences) < 2:
        return None
    return max(1, math.ceil((_Z * float(differences.std(ddof=1)) / margin) ** 2))


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
