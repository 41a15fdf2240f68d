"""How large a difference so many queries can show, and how many queries a difference needs."""

import math
from statistics import NormalDist

from mixstage.stats.bootstrap import Floats

POWER = 0.8  # chance that queries show a difference of the size in question
_ALPHA = 0.05  # one-sided


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
    """Standard error of the mean."""
    return float(differences.std(ddof=1)) / math.sqrt(len(differences))
