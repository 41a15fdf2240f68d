"""The choice on dev: budget, screen, best, and the cheapest composition that can't be told from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mixstage.composition import Composition
from mixstage.errors import InputError
from mixstage.evaluation.compositions import matrix_of
from mixstage.evaluation.latency import Cost
from mixstage.plan.schema import Plan
from mixstage.selection.rule import Rule, affordable, lead, retrievers_of
from mixstage.stats.bootstrap import critical_value, errors_to, tied_with, weighted
from mixstage.store.plain import Json, JsonObject, plain, plain_fields

_INCUMBENT, _UNIFORM, _BASE, _BM25 = "incumbent", "best uniform", "base + base", "BM25"  # roles of rivals
_ROLES = {_INCUMBENT: "incumbent", _UNIFORM: "uniform", _BASE: "base", _BM25: "bm25"}  # role -> field of a choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """One split's primary metric: for each application a matrix over the same compositions."""

    compositions: list[Composition]  # S
    matrices: dict[str, NDArray[np.float64]]  # application -> (n, S), a row a query
    weights: dict[str, float]  # application -> share, summing to 1

    def means(self) -> dict[str, NDArray[np.float64]]:
        """application -> (S,) mean over its queries."""
        return {name: matrix.mean(axis=0) for name, matrix in self.matrices.items()}

    def overall(self) -> NDArray[np.float64]:
        """(S,) weighted mean over applications: the number that selection maximises."""
        return weighted(self.means(), self.weights)

    def column(self, composition: Composition) -> int:
        """Its place in the matrices."""
        return self.compositions.index(composition)

    def differences(self, one: Composition, other: Composition) -> dict[str, NDArray[np.float64]]:
        """application -> (n,) the first minus the second, a number a query."""
        left, right = self.column(one), self.column(other)
        return {name: matrix[:, left] - matrix[:, right] for name, matrix in self.matrices.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was chosen on dev, before any test score was read."""

    winner: Composition
    best: Composition  # highest dev mean among the eligible
    near: tuple[Composition, ...]  # what dev can't tell from the best, the best included; in the grid's order
    critical: float  # standard errors by which all of them may lag together
    incumbent: Composition
    uniform: Composition | None  # best with the same stage in both components
    base: Composition | None  # base + base at the winner's depth
    bm25: Composition | None
    per_application: dict[str, Composition]  # the best for each application by itself
    eligible: int
    over_budget: int
    regressing: int  # turned away by the screen
    reason: str

    def rivals(self) -> dict[str, Composition]:
        """What the winner is compared with, by role; roles that the grid lacks are left out."""
        rivals: dict[str, Composition | None] = {role: getattr(self, field) for role, field in _ROLES.items()}
        return {role: rival for role, rival in rivals.items() if rival is not None}

    def to_json(self) -> dict[str, Json]:
        """Compositions by name, rivals by role."""
        kept = {name: value for name, value in plain_fields(self).items() if name not in _ROLES.values()}
        return kept | {"rivals": plain(self.rivals())}

    @classmethod
    def from_json(cls, notes: JsonObject) -> Self:
        """What `to_json` gave; further keys are left alone."""
        parse, rivals = Composition.parse, {role: Composition.parse(name) for role, name in notes["rivals"].items()}
        return cls(
            winner=parse(notes["winner"]),
            best=parse(notes["best"]),
            near=tuple(parse(name) for name in notes["near"]),
            incumbent=rivals[_INCUMBENT],
            uniform=rivals.get(_UNIFORM),
            base=rivals.get(_BASE),
            bm25=rivals.get(_BM25),
            per_application={application: parse(name) for application, name in notes["per_application"].items()},
            **{name: notes[name] for name in ("critical", "eligible", "over_budget", "regressing", "reason")},
        )


def read_values(plan: Plan, table: pl.DataFrame) -> Values:
    """The primary metric of every application out of a split's table; its servable compositions in its order."""
    names = [name for name in table["composition"].unique(maintain_order=True) if Composition.parse(name).is_servable]
    table = table.filter(pl.col("composition").is_in(names))
    matrices = {}
    for application, part in plan.applications.items():
        rows = table.filter(pl.col("application") == application)
        matrices[application] = matrix_of(rows, part.metric, len(names))
    return Values(compositions=[Composition.parse(name) for name in names], matrices=matrices, weights=plan.weights())


def choose(plan: Plan, dev: Values, cost: Cost | None = None) -> Decision:
    """Picks the winner by dev alone; cost: the times that budgets of milliseconds are compared with.

    1. Out: compositions over an application's budget of pairs or time. 2. Out: those that lose more than
    `max_regression` to the incumbent in any application. 3. Best: highest weighted mean. 4. Near-best: behind the best
    by at most min(c standard errors, `near`), c from a bootstrap over queries. 5. Winner: the cheapest of those (fewest
    pairs, then fewest retrievers asked, which a fusion multiplies, then fewest components other than the incumbent's,
    then fewest documents, then highest mean).

    Raises InputError if nothing is eligible, or the incumbent is not in the grid.
    """
    rule = Rule.of(plan, dev.compositions, cost)
    means, overall = {name: mean[None] for name, mean in dev.means().items()}, dev.overall()[None]
    screened = rule.screen(means)[0]
    eligible = rule.affordable & screened
    if not eligible.any():
        raise InputError(
            "no composition is within every application's budget and max_regression: raise "
            f"{_limits(plan)}selection.max_regression"
        )
    leader = lead(eligible[None], overall)
    best = int(leader[0])
    selection = plan.selection
    critical = critical_value(
        best,
        eligible,
        dev.matrices,
        dev.weights,
        draws=selection.bootstrap,
        confidence=selection.confidence,
        seed=plan.seed,
    )
    errors = errors_to(best, dev.matrices, dev.weights)[None]
    tied = tied_with(leader, eligible[None], overall, errors, critical=critical, near=rule.near)
    winner = int(rule.simplest(tied, overall)[0])
    return Decision(
        winner=dev.compositions[winner],
        best=dev.compositions[best],
        near=tuple(dev.compositions[s] for s in np.flatnonzero(tied[0])),
        critical=critical,
        incumbent=dev.compositions[rule.incumbent],
        eligible=int(eligible.sum()),
        over_budget=int((~rule.affordable).sum()),
        regressing=int((rule.affordable & ~screened).sum()),
        reason=_reason(plan, dev, winner, best, int(tied.sum())),
        per_application=_own_bests(dev, affordable(plan, dev.compositions, cost)),
        uniform=_top(dev, np.array([c.is_uniform for c in dev.compositions]), overall[0]),
        base=_top(dev, _bases(dev, dev.compositions[winner]), overall[0]),
        bm25=_top(
            dev, np.array([c.retriever == "bm25" and c.reranker == "none" for c in dev.compositions]), overall[0]
        ),
    )


def _top(dev: Values, keep: NDArray[np.bool_], by: NDArray[np.float64]) -> Composition | None:
    """The highest of those kept, None if none is."""
    kept = np.flatnonzero(keep)
    return dev.compositions[int(kept[np.argmax(by[kept])])] if len(kept) else None


def _own_bests(dev: Values, within: Mapping[str, NDArray[np.bool_]]) -> dict[str, Composition]:
    tops = {name: _top(dev, within[name], mean) for name, mean in dev.means().items()}
    return {name: composition for name, composition in tops.items() if composition is not None}


def _limits(plan: Plan) -> str:
    """The budgets that are set, with their values, as the start of a list."""
    budgets = {
        f"applications.{name}.budget.{field}": limit
        for name, part in plan.applications.items()
        for field, limit in part.budget.model_dump(exclude_none=True).items()
    }
    return "".join(f"{field} ({limit:g}) or " for field, limit in budgets.items())


def _bases(dev: Values, winner: Composition) -> NDArray[np.bool_]:
    """(S,) base + base at the winner's depth, the reranker alone."""
    return np.array(
        [c.retriever == c.reranker == "base" and c.depth == winner.depth and c.mix == 1 for c in dev.compositions]
    )


def _reason(plan: Plan, dev: Values, winner: int, best: int, near: int) -> str:
    overall = dev.overall()
    name = "mean of " + ", ".join(f"{app} {part.metric}" for app, part in plan.applications.items())
    if winner == best:
        return f"highest dev {name} ({overall[best]:.4f}) of all eligible compositions"

    def spent(s: int) -> str:
        services = retrievers_of(plan.grid, dev.compositions[s])
        return f"{dev.compositions[s].pairs} pairs" + (f" and {services} retrievers" if services > 1 else "")

    return (
        f"cheapest of {near} compositions within {plan.selection.near:g} and chance of the best dev {name}: "
        f"{overall[winner]:.4f} at {spent(winner)} a query, against {overall[best]:.4f} at {spent(best)} for "
        f"{dev.compositions[best]}"
    )
