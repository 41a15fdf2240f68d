"""One winner for all, the best for each, or the fewest models in between: what each way of sharing costs.

A cover is the fewest models that keep every application within a margin of its own best. Each application may use
another composition; a retriever and a reranker are a service each, a fusion needs its members, `none` needs nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Self

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
from mixstage.stats.paired import Difference, difference
from mixstage.store.plain import Json, JsonObject, plain

Service = tuple[str, str]  # (retriever or reranker, name)
Needs = frozenset[Service]
_Options = dict[Needs, int]  # what is needed -> the best column that needs just that
_COVER = ("retrievers", "rerankers", "assignment")  # what JSON keeps of a cover


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
    if poor := [name for name, choices in options.items() if not choices]:
        raise InputError(f"no composition is within the budget of {', '.join(poor)}: raise applications.*.budget")
    sets = next(unions for limit in count(1) if (unions := _serving_all(list(options.values()), limit)))
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
    options: _Options = {}
    for column in order:
        options.setdefault(needs[column], column)
    return options


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What sharing costs on one split."""

    price: dict[str, Difference]  # application -> its own best minus the winner, paired bootstrap
    loss: dict[str, float]  # application -> its own best's mean minus that of its composition in the cover


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """Three ways of sharing, as dev says. The own best was chosen on dev, so that dev's prices lean upward."""

    winner: Composition
    own: dict[str, Composition]  # application -> its own best
    retrievers: list[str]  # of the cover
    rerankers: list[str]
    assignment: dict[str, Composition]  # application -> its composition in the cover
    services: dict[str, int]  # how many the "winner", the "own" bests together and the "cover" run
    dev: Prices
    test: Prices | None = None  # of the same compositions, once test may be read

    @property
    def models(self) -> str:
        """The names of the cover's models."""
        parts = {"retrievers": self.retrievers, "rerankers": self.rerankers}
        return "; ".join(f"{part} {', '.join(names)}" for part, names in parts.items() if names)

    def to_json(self) -> dict[str, Json]:
        """The cover as an object of its own, and dev's prices beside what they are prices of."""
        cover = {name: plain(getattr(self, name)) for name in _COVER} | {"loss": plain(self.dev.loss)}
        content = {name: plain(getattr(self, name)) for name in ("winner", "own", "services")}
        content |= {"price": plain(self.dev.price), "cover": cover}
        return content if self.test is None else content | {"test": plain(self.test)}

    @classmethod
    def from_json(cls, content: JsonObject) -> Self:
        """What `to_json` gave."""
        cover, test = content["cover"], content.get("test")
        return cls(
            winner=Composition.parse(content["winner"]),
            own={name: Composition.parse(one) for name, one in content["own"].items()},
            retrievers=cover["retrievers"],
            rerankers=cover["rerankers"],
            assignment={name: Composition.parse(one) for name, one in cover["assignment"].items()},
            services=content["services"],
            dev=_prices_from(content["price"], cover["loss"]),
            test=None if test is None else _prices_from(test["price"], test["loss"]),
        )


def _prices_from(price: JsonObject, loss: Mapping[str, float]) -> Prices:
    return Prices(price={name: Difference.from_json(one) for name, one in price.items()}, loss=dict(loss))


def share(plan: Plan, dev: Values, choice: Decision, cost: Cost | None) -> Sharing:
    """What dev says of the winner for all, each application's own best, and the smallest cover."""
    within = affordable(plan, dev.compositions, cost)
    rule = Rule.of(plan, dev.compositions, cost)
    cover = smallest_cover(plan.grid, dev, within, rule.price, rule.max_regression)
    own = choice.per_application
    assignment = {name: dev.compositions[column] for name, column in cover.assignment.items()}
    return Sharing(
        winner=choice.winner,
        own=own,
        retrievers=cover.named("retriever"),
        rerankers=cover.named("reranker"),
        assignment=assignment,
        services={
            "winner": len(services_of(plan.grid, choice.winner)),
            "own": len(frozenset().union(*(services_of(plan.grid, one) for one in own.values()))),
            "cover": len(cover.services),
        },
        dev=prices(plan, dev, choice.winner, own, assignment),
    )


def prices(
    plan: Plan,
    values: Values,
    winner: Composition,
    own: Mapping[str, Composition],
    assignment: Mapping[str, Composition],
) -> Prices:
    """What the winner and the cover cost on any split. own, assignment: application -> composition."""
    price, loss = {}, {}
    for name, matrix in values.matrices.items():
        best, shared, assigned = (matrix[:, values.column(one)] for one in (own[name], winner, assignment[name]))
        price[name] = difference(
            {name: best - shared},
            {name: 1.0},
            replicates=plan.selection.bootstrap,
            confidence=plan.selection.confidence,
            seed=plan.seed,
        )
        loss[name] = float((best - assigned).mean())
    return Prices(price=price, loss=loss)
