"""One winner for all, the best for each, or the fewest models in between: what each way of sharing costs."""

from collections.abc import Mapping
from typing import Any

from mixstage.composition import Composition
from mixstage.evaluation.cost import Cost
from mixstage.plan import Plan
from mixstage.selection.choose import Choice, Values
from mixstage.selection.compare import difference
from mixstage.selection.cover import services_of, smallest_cover
from mixstage.selection.rule import Rule, affordable


def share(plan: Plan, dev: Values, choice: Choice, cost: Cost | None) -> dict[str, Any]:
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
