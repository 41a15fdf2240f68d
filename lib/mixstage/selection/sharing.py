"""One winner for all, the best for each, or the fewest models in between: what each way of sharing costs.

The cover question: the fewest models to run such that every application keeps within a margin of its own best.

Each application may use another composition; a retriever and a reranker are a service each, a fusion needs its members,
`none` needs nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixstage.composition import Composition
from mixstage.errors import InputError
from mixstage.evaluation.fusion import members_of
from mixstage.evaluation.latency import Cost
from mixstage.plan.schema import GridPlan, Plan
from mixstage.selection.choose import Decision, Values
from mixstage.selection.rule import Rule, affordable
from mixstage.stats import ROUNDING
from mixstage.stats.paired import difference

Service = tuple[str, str]  # (retriever or reranker, name)
Needs = frozenset[Service]
_Options = dict[Needs, int]  # what is needed -> the best column that needs just that


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """A smallest set of services, and what each application answers with."""

    services: Needs
    assignment: dict[str, int]  # application -> column

    def named(self, component: str) -> list[str]:
        return sorted(name for part, name in self.services if part == component)


def services_of(grid: GridPlan, composition: Composition) -> Needs:
    """What has to run for a composition to answer."""
    rerankers = [("reranker", composition.reranker)] if composition.pairs else []
    return frozenset([*(("retriever", name) for name in members_of(grid, composition.retriever)), *rerankers])


def smallest_cover(
    grid: GridPlan, dev: Values, within: Mapping[str, NDArray[np.bool_]], price: NDArray[np.int64], margin: float
) -> Cover:
    """The exact answer: fewest services, then highest weighted mean, then the names' order.

    within: application -> (S,) what its budget allows; its own best is the highest mean of those. price: (S,) see
    `Rule`, which decides between equal means of one application.

    Sets of at most 1, 2, ... services that serve the first 1, 2, ... applications, each kept once, until one size
    serves all. With m services and an answer of c at most sum_{i <= c} C(m, i) sets meet the distinct needs of each
    application: 20 services and an answer of 4 are 6,196 sets. Raises InputError if an application can afford nothing.
    """
    needs = [services_of(grid, one) for one in dev.compositions]
    means = dev.means()
    options = {name: _options(needs, within[name], means[name], price, margin) for name in means}
    if poor := [name for name, found in options.items() if not found]:
        raise InputError(f"no composition is within the budget of {', '.join(poor)}: raise applications.*.budget")
    sets = next(found for limit in count(1) if (found := _serving_all(list(options.values()), limit)))
    covers = [_assign(services, options, means) for services in sorted(sets, key=sorted)]
    return max(covers, key=lambda cover: round(_mean(cover, dev), 9))  # the first of equals


def _options(
    needs: Sequence[Needs],
    within: NDArray[np.bool_],
    mean: NDArray[np.float64],
    price: NDArray[np.int64],
    margin: float,
) -> _Options:
    """An application's compositions within the margin of its best; of those with the same needs the best."""
    affordable = np.flatnonzero(within)
    least = mean[affordable].max(initial=-np.inf) - margin - ROUNDING
    order = sorted((int(s) for s in affordable if mean[s] >= least), key=lambda s: (-mean[s], price[s]))
    found: _Options = {}
    for column in order:
        found.setdefault(needs[column], column)
    return found


def _serving_all(options: Sequence[_Options], limit: int) -> set[Needs]:
    """Every union of one option of each application that has at most `limit` services."""
    unions: set[Needs] = {frozenset()}
    for choices in options:
        unions = {one for one in _grown(unions, choices) if len(one) <= limit}
    return unions


def _grown(unions: set[Needs], choices: _Options) -> Iterator[Needs]:
    for union in unions:
        for needed in choices:
            yield union | needed


def _assign(services: Needs, options: Mapping[str, _Options], means: Mapping[str, NDArray[np.float64]]) -> Cover:
    """The best that each application can answer with these services."""
    assignment = {}
    for name, choices in options.items():
        possible = [column for needed, column in choices.items() if needed <= services]
        assignment[name] = max(possible, key=lambda column: means[name][column])
    return Cover(services=services, assignment=assignment)


def _mean(cover: Cover, dev: Values) -> float:
    means = dev.means()
    return sum(dev.weights[name] * float(means[name][column]) for name, column in cover.assignment.items())


def share(plan: Plan, dev: Values, choice: Decision, cost: Cost | None) -> dict[str, Any]:
    """What dev says: {"winner", "own": {application: composition}, "cover": {"retrievers", "rerankers", "assignment",
    "loss"}, "services": how many each way runs, "price"}; see `prices` for "loss" and "price"."""
    within = affordable(plan, dev.compositions, cost)
    rule = Rule.of(plan, dev.compositions, cost)
    cover = smallest_cover(plan.grid, dev, within, rule.price, rule.max_regression)
    own = choice.per_application
    assignment = {name: dev.compositions[column] for name, column in cover.assignment.items()}
    told: dict[str, Any] = {
        "winner": str(choice.winner),
        "own": {name: str(one) for name, one in own.items()},
        "cover": {
            "retrievers": cover.named("retriever"),
            "rerankers": cover.named("reranker"),
            "assignment": {name: str(one) for name, one in assignment.items()},
        },
        "services": {
            "winner": len(services_of(plan.grid, choice.winner)),
            "own": len(frozenset().union(*(services_of(plan.grid, one) for one in own.values()))),
            "cover": len(cover.services),
        },
    }
    found = prices(plan, dev, told)
    return told | {"price": found["price"], "cover": told["cover"] | {"loss": found["loss"]}}


def prices(plan: Plan, values: Values, shared: Mapping[str, Any]) -> dict[str, Any]:
    """On any split: {"price": {application: own best minus the winner}, "loss": {application: own best's mean minus
    that of its composition in the cover}}.

    Prices are paired differences with bootstrap intervals. On dev, where the own best was chosen, they lean upward.
    """
    selection = plan.selection
    price, loss = {}, {}
    for name, matrix in values.matrices.items():
        own, winner, assigned = (
            matrix[:, values.column(Composition.parse(one))]
            for one in (shared["own"][name], shared["winner"], shared["cover"]["assignment"][name])
        )
        price[name] = difference(
            {name: own - winner},
            {name: 1.0},
            replicates=selection.bootstrap,
            confidence=selection.confidence,
            seed=plan.seed,
        ).to_json()
        loss[name] = float((own - assigned).mean())
    return {"price": price, "loss": loss}


def models_of(cover: Mapping[str, Any]) -> str:
    """The names of a cover's models."""
    parts = [f"{part} {', '.join(cover[part])}" for part in ("retrievers", "rerankers") if cover[part]]
    return "; ".join(parts)
