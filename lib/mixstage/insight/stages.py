"""Stage curves: what every stage of a component brings to an application, and each step against the stage before."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixstage.insight.intervals import Floats, Interval, t_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePoint:
    """One stage of one component for one application."""

    stage: str
    mean: float
    step: Interval | None  # this stage minus the one before it, paired by query; None for the first


def stage_curve(values: Mapping[str, Floats], confidence: float) -> list[StagePoint]:
    """stage -> (n,) values of the same queries, in the order of the stages: a point a stage."""
    names = list(values)
    points = []
    for place, name in enumerate(names):
        step = t_interval(values[name] - values[names[place - 1]], confidence) if place else None
        points.append(StagePoint(stage=name, mean=float(values[name].mean()), step=step))
    return points


def kendall_tau(left: Sequence[float], right: Sequence[float]) -> float | None:
    """Tau-b of two equally long lists (Kendall, 1945); None if one of them is constant or shorter than 2.

    (concordant - discordant) / sqrt((pairs - ties in left) x (pairs - ties in right)), over all pairs of places.
    """
    score, untied_left, untied_right = 0, 0, 0
    for i in range(len(left)):
        for j in range(i):
            a, b = _sign(left[i] - left[j]), _sign(right[i] - right[j])
            score += a * b
            untied_left += a != 0
            untied_right += b != 0
    if not untied_left or not untied_right:
        return None
    return score / math.sqrt(untied_left * untied_right)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
