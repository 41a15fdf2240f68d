"""The choice on dev: budget, screen, best, and the cheapest composition that is as good."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mixstage.composition import Composition
from mixstage.errors import InputError
from mixstage.evaluation.fusion import members_of
from mixstage.plan import GridPlan, Plan


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
        return np.asarray(sum(self.weights[name] * mean for name, mean in self.means().items()), dtype=np.float64)

    def column(self, composition: Composition) -> int:
        return self.compositions.index(composition)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was chosen on dev, before any test score was read."""

    winner: Composition
    best: Composition  # highest dev mean among the eligible
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
        named = {
            "incumbent": self.incumbent,
            "best uniform": self.uniform,
            "base + base": self.base,
            "BM25": self.bm25,
        }
        return {role: rival for role, rival in named.items() if rival is not None}


def read_values(plan: Plan, table: pl.DataFrame) -> Values:
    """The primary metric of every application out of a split's table; its servable compositions in its order."""
    from mixstage.measures import parse_measure

    names = [name for name in table["composition"].unique(maintain_order=True) if Composition.parse(name).is_servable]
    table = table.filter(pl.col("composition").is_in(names))
    matrices = {}
    for application, part in plan.applications.items():
        rows = table.filter(pl.col("application") == application)
        metric = rows[str(parse_measure(part.metric))].to_numpy()
        matrices[application] = metric.reshape(len(names), -1).T
    total = sum(part.weight for part in plan.applications.values())
    weights = {name: part.weight / total for name, part in plan.applications.items()}
    return Values(compositions=[Composition.parse(name) for name in names], matrices=matrices, weights=weights)


def choose(plan: Plan, dev: Values) -> Choice:
    """Picks the winner by dev alone.

    1. Out: compositions over an application's budget of pairs. 2. Out: those that lose more than `max_regression` to
    the incumbent in any application. 3. Best: highest weighted mean. 4. Winner: the cheapest within `near` of the best
    (fewest pairs, then fewest retrievers asked, which a fusion multiplies, then fewest components other than the
    incumbent's, then fewest documents, then highest mean).
    """
    incumbent = _incumbent(plan, dev)
    means, overall = dev.means(), dev.overall()
    at = dev.column(incumbent)
    affordable = np.array([_affordable(plan, composition) for composition in dev.compositions])
    loss = np.max([mean[at] - mean for mean in means.values()], axis=0)
    screened = loss <= plan.selection.max_regression
    eligible = np.flatnonzero(affordable & screened)
    if not len(eligible):
        raise InputError(
            "no composition is within every application's budget and max_regression: raise "
            "applications.*.budget.pairs_per_query or selection.max_regression"
        )
    best = int(eligible[np.argmax(overall[eligible])])
    near = [int(s) for s in eligible if overall[s] >= overall[best] - plan.selection.near]

    def price(s: int) -> tuple[int | float | str, ...]:
        return *_cost(plan.grid, dev.compositions[s], incumbent), -overall[s], str(dev.compositions[s])

    winner = min(near, key=price)

    def top(keep: NDArray[np.bool_], by: NDArray[np.float64] = overall) -> Composition | None:
        kept = np.flatnonzero(keep)
        return dev.compositions[int(kept[np.argmax(by[kept])])] if len(kept) else None

    uniform = np.array([composition.is_uniform for composition in dev.compositions])
    bm25 = np.array([c.retriever == "bm25" and c.reranker == "none" for c in dev.compositions])
    chosen = dev.compositions[winner]
    base = np.array(
        [c.retriever == c.reranker == "base" and c.depth == chosen.depth and c.mix == 1 for c in dev.compositions]
    )
    own = {name: top(affordable, mean) for name, mean in means.items()}
    return Choice(
        winner=chosen,
        best=dev.compositions[best],
        incumbent=incumbent,
        uniform=top(uniform),
        base=top(base),
        bm25=top(bm25),
        per_application={name: composition for name, composition in own.items() if composition is not None},
        eligible=len(eligible),
        over_budget=int((~affordable).sum()),
        regressing=int((affordable & ~screened).sum()),
        reason=_reason(plan, dev, winner, best, len(near)),
    )


def _incumbent(plan: Plan, dev: Values) -> Composition:
    if plan.selection.incumbent is None:
        return Composition(retriever="base", depth=plan.grid.ranking_depth, reranker="none", k=plan.grid.k)
    incumbent = Composition.parse(plan.selection.incumbent)
    if incumbent not in dev.compositions:
        raise InputError(f"selection.incumbent {incumbent} is not in the grid: use one of its depths, mixes and k")
    return incumbent


def _affordable(plan: Plan, composition: Composition) -> bool:
    limits = [part.budget.pairs_per_query for part in plan.applications.values()]
    return all(limit is None or composition.pairs <= limit for limit in limits)


def _cost(grid: GridPlan, composition: Composition, incumbent: Composition) -> tuple[int, int, int, int]:
    changed = (composition.retriever != incumbent.retriever) + (composition.reranker != incumbent.reranker)
    return composition.pairs, _asked(grid, composition), changed, composition.depth


def _asked(grid: GridPlan, composition: Composition) -> int:
    """Retrievers that a query asks: BM25 counts like an encoder, since each is a service to run."""
    return len(set(members_of(grid, composition.retriever)))


def _reason(plan: Plan, dev: Values, winner: int, best: int, near: int) -> str:
    overall = dev.overall()
    name = "mean of " + ", ".join(f"{app} {part.metric}" for app, part in plan.applications.items())
    if winner == best:
        return f"highest dev {name} ({overall[best]:.4f}) of all eligible compositions"

    def spent(s: int) -> str:
        asked = _asked(plan.grid, dev.compositions[s])
        return f"{dev.compositions[s].pairs} pairs" + (f" and {asked} retrievers" if asked > 1 else "")

    return (
        f"cheapest of {near} compositions within {plan.selection.near:g} of the best dev {name}: {overall[winner]:.4f} "
        f"at {spent(winner)} a query, against {overall[best]:.4f} at {spent(best)} for {dev.compositions[best]}"
    )
