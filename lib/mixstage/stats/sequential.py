"""Evidence about a mean that may be looked at after each observation, from their sum and number alone.

Observations x_i lie in [0, 1]; each one's mean, given those before, is at most m under the hypothesis. For a fixed
p > m the product of (p/m)^x ((1-p)/(1-m))^(1-x) is then a supermartingale that starts at 1: each factor is convex in
x, thus at most its chord x p/m + (1-x) (1-p)/(1-m), whose mean is at most 1 (zeros and ones lie on the chord: it is
the likelihood ratio). Its mean over p, uniform on (m, 1], stays one (Robbins 1970, "Statistical methods related to the
law of the iterated logarithm"; bounded observations: Waudby-Smith & Ramdas 2023, arXiv 2010.09686). By Ville's
inequality (1939) the hypothesis lets it ever reach 1/alpha with probability alpha at most, whenever one looks and
stops. It depends on the observations by their sum and number, so replicas count alone and are added up.
"""

import math

from scipy.special import betaincc, betaln

_SMALLEST = 1e-290  # doubles below lose digits, then vanish


def log_evidence_above(total: float, number: int, limit: float) -> float:
    """Natural logarithm of the evidence that the mean of observations in [0, 1] is above a limit in (0, 1).

    total: their sum. The mean is above the limit at level alpha once this reaches log(1 / alpha).
    """
    rest = number - total
    likelihood = total * math.log(limit) + rest * math.log1p(-limit)  # at the limit
    above = float(betaincc(total + 1, rest + 1, limit))  # share of the likelihood's integral
    if above > _SMALLEST:
        return float(betaln(total + 1, rest + 1)) + math.log(above) - math.log1p(-limit) - likelihood
    # So small a share lies at its edge alone, where the likelihood falls like exp(-slope x).
    slope = rest / (1 - limit) - total / limit
    return -math.log(slope) - math.log1p(-limit)


def log_evidence_below(total: float, number: int, limit: float) -> float:
    """Natural logarithm of the evidence that the mean of observations in [0, 1] is below a limit in (0, 1)."""
    return log_evidence_above(number - total, number, 1 - limit)
