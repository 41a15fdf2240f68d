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
POWER = 0.8  # chance that queries show a difference of the size in question
_ALPHA = 0.05  # one-sided
_SCORE_BITS = np.uint64(32)  # of a key, above the document's ordinal


def standard_errors(alpha: float) -> float:
    """z(1 - alpha) + z(POWER): by how many a difference must exceed 0 to be shown (Cohen 1988, ch. 2)."""
    normal = NormalDist()
    return normal.inv_cdf(1 - alpha) + normal.inv_cdf(POWER)


def growth(error: float, margin: float, alpha: float) -> float:
    """By what factor queries must grow to show a difference of `margin`, above 0; error: the standard error now."""
    return (standard_errors(alpha) * error / margin) ** 2


def detectable(differences: Floats) -> float | None:
    """The smallest true mean difference that (n,) such queries show with 80% power in a one-sided test at 5%, in metric
    points; None for a single query."""
    return standard_errors(_ALPHA) * _error(differences) if len(differences) > 1 else None


def queries_needed(differences: Floats, margin: float) -> int | None:
    """Queries like these that show a mean difference of `margin`, which is above 0; None for a single query."""
    if len(differences) < 2:
        return None
    return max(1, math.ceil(len(differences) * growth(_error(differences), margin, _ALPHA)))


def _error(differences: Floats) -> float:
    return float(differences.std(ddof=1)) / math.sqrt(len(differences))


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
