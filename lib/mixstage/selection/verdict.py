"""The one comparison on test: does the winner replace the incumbent, may it not, or can these queries not tell?

Every application has to show that it loses no more than `max_regression` (non-inferiority). All must pass, so none
needs a smaller alpha for there being several (intersection-union test, Berger 1982).

Every look at the same test data spends part of the error that a plan allows, and is noted in the store's ledger. The
first look takes alpha, each further one half of the one before, so that all of them together stay below twice alpha
however often a team retrains and looks again. The ledger is a numbered row of artifacts: written once, complete or
absent, never changed.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from mixstage.stats import ROUNDING
from mixstage.stats.paired import Estimate, Paired, estimate
from mixstage.stats.power import growth
from mixstage.store.plain import Json, JsonObject, plain_fields
from mixstage.store.store import Artifact, Store, digest_of

Word = Literal["SHIP", "KEEP", "INCONCLUSIVE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """What was frozen before test was read."""

    max_regression: float  # metric points that an application may lose
    near: float  # metric points that all together may lose to a cheaper winner
    cheaper: bool  # the winner costs less than the incumbent


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds(Paired):
    """Winner minus incumbent; each bound holds by itself with confidence 1 - alpha."""

    needed: int | None  # queries that would have shown it, if the difference is as seen; None if none would


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the winner replaces the incumbent, and the bounds that say so."""

    word: Word
    alpha: float
    overall: Bounds
    applications: dict[str, Bounds]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """A verdict as the report tells it; a winner that is the incumbent takes no look, and has no bounds."""

    word: Word
    sentence: str
    alpha: float | None = None
    earlier: int | None = None  # looks at the same test data before
    overall: Bounds | None = None
    applications: dict[str, Bounds] = field(default_factory=dict)
    tests: list[str] | None = None  # digests of the test judgements
    comparison: str | None = None  # digest of what was compared

    def to_json(self) -> dict[str, Json]:
        """Without tests and comparison where there was none."""
        kept = plain_fields(self)
        return {name: value for name, value in kept.items() if value is not None or name not in ("tests", "comparison")}

    @classmethod
    def from_json(cls, notes: JsonObject) -> Self:
        """As a look and a report keep it."""
        bounds = {name: Bounds(**ends) for name, ends in notes["applications"].items()}
        overall = Bounds(**notes["overall"]) if notes["overall"] else None
        return cls(**{**notes, "overall": overall, "applications": bounds})


def judge(
    pairs: Mapping[str, NDArray[np.float64]], weights: Mapping[str, float], margins: Margins, alpha: float
) -> Verdict:
    """The verdict on differences, winner minus incumbent: application -> (n,).

    SHIP: no lower bound of an application is below -max_regression, and the lower bound of the weighted mean is above
    0, or above -near for a cheaper winner. KEEP: the upper bound of an application is below -max_regression, or that
    of the mean is below 0. INCONCLUSIVE otherwise: the incumbent stays, too.
    """
    columns = {name: values[:, None] for name, values in pairs.items()}
    together = estimate(columns, weights)
    alone = {name: estimate({name: column}, weights) for name, column in columns.items()}
    slack = margins.near if margins.cheaper else 0.0
    # by what factor all applications together would have to grow
    needed = _growth(together, slack, alpha)
    applications = {
        name: _bounds(one, len(pairs[name]), max(needed, _growth(one, margins.max_regression, alpha)), alpha)
        for name, one in alone.items()
    }
    overall = _bounds(together, sum(len(values) for values in pairs.values()), needed, alpha)
    word = _word(overall, applications, margins.max_regression, slack)
    return Verdict(word=word, alpha=alpha, overall=overall, applications=applications)


def _word(overall: Bounds, applications: Mapping[str, Bounds], max_regression: float, slack: float) -> Word:
    if min(part.low for part in applications.values()) >= -max_regression and overall.low > -slack:
        return "SHIP"
    if min(part.high for part in applications.values()) < -max_regression or overall.high < 0:
        return "KEEP"
    return "INCONCLUSIVE"


def _growth(seen: Estimate, slack: float, alpha: float) -> float:
    """By how much the queries must grow to show a difference as seen to be above -slack."""
    margin = slack + float(seen.mean[0])
    return growth(float(seen.error[0]), margin, alpha) if margin > 0 else math.inf


def _bounds(seen: Estimate, queries: int, factor: float, alpha: float) -> Bounds:
    return Bounds(
        mean=float(seen.mean[0]),
        low=float(seen.lower(1 - alpha)[0]),
        high=float(seen.upper(1 - alpha)[0]),
        queries=queries,
        needed=max(1, math.ceil(queries * factor - ROUNDING)) if math.isfinite(factor) else None,
    )


def sentence(verdict: Verdict, winner: str, incumbent: str, margins: Margins) -> str:
    """The verdict for a reader in a hurry."""
    overall = verdict.overall
    seen = f"{overall.mean:+.4f} on test, {overall.low:+.4f} to {overall.high:+.4f} at alpha {verdict.alpha:g} a side"
    if verdict.word == "SHIP":
        price = " and costs less" if margins.cheaper else ""
        return f"SHIP {winner}: {seen}, no application loses more than {margins.max_regression:g}{price}."
    if verdict.word == "KEEP":
        losing = [
            f"{name} loses at least {-part.high:.4f}"
            for name, part in verdict.applications.items()
            if part.high < -margins.max_regression
        ]
        return f"KEEP {incumbent}: {winner} is {seen}; {', '.join(losing) or 'it is worse'}."
    return f"INCONCLUSIVE, {incumbent} stays: {winner} is {seen}; {_more(verdict.applications)}."


def _more(applications: Mapping[str, Bounds]) -> str:
    """How many queries would tell."""
    if any(part.needed is None for part in applications.values()):
        return "a difference as seen gives no number of queries that would tell"
    wanted = [
        f"{name} about {part.needed:,} instead of {part.queries:,}"
        for name, part in applications.items()
        if part.needed is not None and part.needed > part.queries
    ]
    return "queries needed: " + ", ".join(wanted) if wanted else "more queries may tell"


class Look(Artifact):
    """A note that test data was looked at: what was compared, and what it said."""

    kind = "look"
    __slots__ = ()

    @property
    def number(self) -> int:
        """Its place among all looks of the store, from 0."""
        return int(self.recipe["number"])

    @property
    def comparison(self) -> str:
        """Digest of what was compared."""
        return str(self.meta["comparison"])

    @property
    def tests(self) -> list[str]:
        """Digests of the test judgements."""
        return list(self.meta["tests"])

    @property
    def ruling(self) -> Ruling:
        return Ruling.from_json(self.meta)


def looks(store: Store) -> list[Look]:
    """All looks, the oldest first."""
    return sorted(store.all(Look), key=lambda look: look.number)


def take_look(
    store: Store,
    tests: Mapping[str, str],
    comparison: Mapping[str, object],
    alpha: float,
    decide: Callable[[float], tuple[Verdict, str]],
) -> Ruling:
    """Decides at the alpha that is left and notes it; a comparison that was noted before is answered from its note.

    tests: application -> digest of its test judgements; a look that shares one of them is an earlier look at the same
    data. comparison: plain data that says what is compared and by which numbers. decide: alpha -> the verdict and its
    sentence; it is asked once, at alpha / 2^earlier. Where two runs write at once, one comes second.
    """
    wanted = digest_of(comparison)
    while True:
        taken = looks(store)
        for look in taken:
            if look.comparison == wanted:
                return look.ruling
        earlier = sum(not set(tests.values()).isdisjoint(look.tests) for look in taken)
        number = taken[-1].number + 1 if taken else 0
        verdict, message = decide(alpha / 2**earlier)
        note = {"comparison": wanted, "tests": sorted(tests.values()), "earlier": earlier, "sentence": message}
        store.draft(Look, {"what": "look", "number": number}).publish(note | plain_fields(verdict))
