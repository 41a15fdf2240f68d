"""The frozen rule of the choice as arrays: who may win, who leads, and who is the simplest of those that tie.

Means come as rows, (R, S): one row is the dev sample, many are its bootstrap draws. The same lines choose in both, so
what the bootstrap measures is the rule that was used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mixstage.composition import Composition
from mixstage.evaluation.compositions import incumbent_of, within_pairs
from mixstage.evaluation.fusion import members_of
from mixstage.evaluation.latency import Cost
from mixstage.plan.schema import GridPlan, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What the plan says of S compositions before any of their values is looked at."""

    incumbent: int  # column
    affordable: NDArray[np.bool_]  # (S,) within every application's budget
    price: NDArray[np.int64]  # (S,) place in the order of cost; equal costs share a place
    place: NDArray[np.int64]  # (S,) place in the order of names
    max_regression: float  # metric points
    near: float  # metric points

    @classmethod
    def of(cls, plan: Plan, compositions: Sequence[Composition], cost: Cost | None = None) -> Self:
        """Raises InputError if the plan's incumbent is none of the compositions. cost: what `p95_ms` limits."""
        incumbent = incumbent_of(plan, compositions)
        costs = [_cost(plan.grid, composition, incumbent) for composition in compositions]
        order = {cost: place for place, cost in enumerate(sorted(set(costs)))}
        names = [str(composition) for composition in compositions]
        return cls(
            incumbent=compositions.index(incumbent),
            affordable=np.all(list(affordable(plan, compositions, cost).values()), axis=0),
            price=np.array([order[cost] for cost in costs]),
            place=np.argsort(np.argsort(names, kind="stable"), kind="stable"),
            max_regression=plan.selection.max_regression,
            near=plan.selection.near,
        )

    def screen(self, means: Mapping[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
        """(R, S): loses no more than `max_regression` to the incumbent in any application; means: (R, S) each."""
        at = self.incumbent
        loss = np.max([mean[:, at, None] - mean for mean in means.values()], axis=0)
        return np.asarray(loss <= self.max_regression)

    def eligible(self, means: Mapping[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
        """(R, S): affordable and through the screen; where nobody is, the incumbent alone."""
        eligible = self.affordable & self.screen(means)
        eligible[~eligible.any(axis=1), self.incumbent] = True
        return eligible

    def simplest(self, tied: NDArray[np.bool_], overall: NDArray[np.float64]) -> NDArray[np.intp]:
        """(R,) column of the cheapest among the tied; of equal costs the highest mean, then the first name."""
        price = np.where(tied, self.price, len(self.price))
        tied = tied & (price == price.min(axis=1, keepdims=True))
        top = np.where(tied, overall, -np.inf)
        tied = tied & (top == top.max(axis=1, keepdims=True))
        return np.asarray(np.where(tied, self.place, len(self.place)).argmin(axis=1), dtype=np.intp)


def lead(eligible: NDArray[np.bool_], overall: NDArray[np.float64]) -> NDArray[np.intp]:
    """(R,) column of the highest mean among the eligible; the first of equals."""
    return np.asarray(np.where(eligible, overall, -np.inf).argmax(axis=1), dtype=np.intp)


def retrievers_of(grid: GridPlan, composition: Composition) -> int:
    """How many retrievers answer a query: BM25 counts like an encoder, since each is a service to run."""
    return len(set(members_of(grid, composition.retriever)))


def is_cheaper(grid: GridPlan, one: Composition, other: Composition) -> bool:
    """Fewer pairs a query, or as many and fewer retrievers."""
    return (one.pairs, retrievers_of(grid, one)) < (other.pairs, retrievers_of(grid, other))


def affordable(
    plan: Plan, compositions: Sequence[Composition], cost: Cost | None = None
) -> dict[str, NDArray[np.bool_]]:
    """application -> (S,) what is within its own budget."""
    return {name: _within(plan, name, compositions, cost) for name in plan.applications}


def _within(plan: Plan, application: str, compositions: Sequence[Composition], cost: Cost | None) -> NDArray[np.bool_]:
    budget = plan.applications[application].budget
    within = within_pairs(plan, application, compositions)
    if budget.p95_ms is not None:
        assert cost is not None, f"applications.{application}.budget.p95_ms is set, and nothing was timed"
        within &= cost.quantiles(plan.grid, application, compositions, 0.95) <= budget.p95_ms
    return within


def _cost(grid: GridPlan, composition: Composition, incumbent: Composition) -> tuple[int, int, int, int]:
    changed = (composition.retriever != incumbent.retriever) + (composition.reranker != incumbent.reranker)
    return composition.pairs, retrievers_of(grid, composition), changed, composition.depth
