"""Who stays in the race: the compositions that a sample of queries can't tell from a leader.

The bounds are those of the near-best set (multiple comparisons with the best: Hsu 1984; for races Maron & Moore 1994),
each round at alpha / (rounds - 1), without the cap in metric points: what is dropped is behind, not merely no better.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from mixstage.evaluation.resampling import ROUNDING, Matrices, critical_value, errors_to, weighted


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """S compositions on a sample of queries, and what the plan says of them."""

    matrices: Matrices  # application -> (n, S)
    weights: Mapping[str, float]  # application -> share, summing to 1
    complete: AbstractSet[str]  # applications that have no further queries: their best is known
    incumbent: int  # column
    affordable: NDArray[np.bool_]  # (S,) within every application's budget
    max_regression: float  # metric points
    confidence: float  # of this round's bounds
    draws: int
    seed: int


def standing(field: Field) -> NDArray[np.bool_]:
    """(S,) who is near a leader: the best weighted mean, or the best of an application by itself.

    The best of an application stays because selection names it as well, though it may be behind on the whole; once all
    its queries were asked, it is known, and a small application holds up no others. The leader on the whole is sought
    among those that surely pass selection's screen, the incumbent at least: what is screened out in the end must not
    have driven out others.
    """
    found = _near(field, field.weights, field.affordable & _surely_eligible(field))
    for name in field.matrices if len(field.matrices) > 1 else ():
        found |= _near(field, {name: 1.0}, field.affordable, chance=name not in field.complete)
    return found


def _near(
    field: Field, weights: Mapping[str, float], leaders: NDArray[np.bool_], *, chance: bool = True
) -> NDArray[np.bool_]:
    """(S,) behind the best of the leaders by no more than chance, in the mean of the named applications.

    Without chance: the best alone, and its equals.
    """
    if not leaders.any():
        return np.ones(len(leaders), dtype=bool)
    matrices = {name: field.matrices[name] for name in weights}
    overall = weighted({name: matrix.mean(axis=0) for name, matrix in matrices.items()}, weights)
    best = int(np.where(leaders, overall, -np.inf).argmax())
    if not chance:
        return np.asarray(overall[best] - overall <= ROUNDING)
    critical = critical_value(
        best,
        np.ones(len(leaders), dtype=bool),
        matrices,
        weights,
        draws=field.draws,
        confidence=field.confidence,
        seed=field.seed,
    )
    band = critical * errors_to(best, matrices, weights)
    return np.asarray(overall[best] - overall <= band + ROUNDING)


def _surely_eligible(field: Field) -> NDArray[np.bool_]:
    """(S,) whose loss to the incumbent is below `max_regression` in every application, by a normal bound."""
    distance = NormalDist().inv_cdf(field.confidence)
    sure = np.ones(len(field.affordable), dtype=bool)
    for matrix in field.matrices.values():
        lead = matrix - matrix[:, [field.incumbent]]
        sure &= lead.mean(axis=0) - distance * lead.std(axis=0) / np.sqrt(len(lead)) >= -field.max_regression
    sure[field.incumbent] = True
    return sure
