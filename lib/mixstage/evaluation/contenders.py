"""What a plan says of compositions before any of their values is looked at: who they run against, who may win."""

from collections.abc import Sequence

from mixstage.composition import Composition
from mixstage.errors import InputError
from mixstage.plan import Plan


def incumbent_of(plan: Plan, compositions: Sequence[Composition]) -> Composition:
    """The plan's incumbent, or the base retriever alone; raises InputError if the grid lacks it."""
    if plan.selection.incumbent is None:
        incumbent = Composition(retriever="base", depth=plan.grid.ranking_depth, reranker="none", k=plan.grid.k)
    else:
        incumbent = Composition.parse(plan.selection.incumbent)
    if incumbent not in compositions:
        raise InputError(f"selection.incumbent {incumbent} is not in the grid: use one of its depths, mixes and k")
    return incumbent


def is_affordable(plan: Plan, composition: Composition) -> bool:
    """Within every application's budget of pairs."""
    limits = [part.budget.pairs_per_query for part in plan.applications.values()]
    return all(limit is None or composition.pairs <= limit for limit in limits)
