"""Two-way analysis of variance within queries: do rerankers differ, do retrievers, and does one depend on the other?

Every query is answered by every retriever with every reranker, so the design is balanced and sums of squares add up
exactly: total = queries + reranker + retriever + both + their errors. An effect's error is how much it varies from
query to query: reranker against query x reranker, retriever against query x retriever, both against the rest.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import fdtrc

from mixstage.composition import UNSCORED, Composition
from mixstage.insight.attribution import Values
from mixstage.insight.finding import Finding, Subject, Table
from mixstage.stats import ROUNDING
from mixstage.stats.bootstrap import Floats

_SOURCES = {"reranker": "reranker", "retriever": "retriever", "both": "reranker x retriever"}
_NO_SQUARE = ROUNDING**2  # of a mean square: equal values leave 1e-32 behind, one query off by a thousandth 1e-10


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One source of variance. Sums of squares are in squared metric points, over all queries and cells."""

    ss: float
    df: int
    error_ss: float
    error_df: int
    epsilon: float  # by which both degrees of freedom shrink, 1 where all levels vary alike (Greenhouse & Geisser 1959)
    f: float | None  # mean square / error's mean square; None where nothing varies between queries
    p: float | None  # of so great an F if there were no effect
    omega2: float  # partial: the effect's share of its own and its error's variance, without what chance adds; 0 to 1
    share: float  # of all squares, the queries' included


@dataclass(frozen=True, slots=True, kw_only=True)
class Anova:
    """The cells that were compared, and what their differences come from."""

    depth: int
    mix: float
    retrievers: list[str]
    rerankers: list[str]
    queries: float  # share of all squares: some queries are harder than others
    effects: dict[str, Effect]  # reranker, retriever, both (their interaction)


def find_sources(subject: Subject) -> Finding | None:
    """What differences between the grid's cells come from."""
    anova = analyse(subject.values, subject.winner)
    return None if anova is None else tell(anova, 1 - subject.confidence)


def tell(anova: Anova, alpha: float) -> Finding:
    """The analysis as a table, with a sentence on whether retrievers and rerankers interact, tested at alpha."""
    mix = "" if anova.mix == 1 else f", weight {anova.mix:g}"
    cells = f"{len(anova.retrievers)} retrievers x {len(anova.rerankers)} rerankers at depth {anova.depth}{mix}"
    rows = [
        (
            _SOURCES[source],
            f"{effect.share:.2%}",
            f"{effect.omega2:.3f}",
            "" if effect.f is None else f"{effect.f:.2f}",
            _freedom(effect),
            "" if effect.p is None else f"{effect.p:.4f}",
        )
        for source, effect in anova.effects.items()
    ]
    head = ("source", "share of squares", "partial omega squared", "F", "degrees of freedom", "p")
    return Finding(
        title=f"what differences come from, {cells}; {anova.queries:.1%} of all squares lie between queries",
        value=anova,
        note=_interaction(anova.effects["both"], cells, alpha),
        table=Table(head=head, rows=rows),
    )


def _freedom(effect: Effect) -> str:
    return f"{effect.df * effect.epsilon:.1f}, {effect.error_df * effect.epsilon:.1f}"


def _interaction(both: Effect, cells: str, alpha: float) -> str:
    """One sentence on one test; nothing where it can't be made."""
    if both.f is None or both.p is None:
        return ""
    shown = "an interaction" if both.p < alpha else "no interaction"
    tested = f"F({_freedom(both)}) = {both.f:.2f}, p = {both.p:.4f}"
    return f"over {cells}, a within-query ANOVA with Greenhouse and Geisser's correction shows {shown}: {tested}"


def cells_of(grid: Collection[Composition], winner: Composition) -> list[list[Composition]] | None:
    """R rows of K compositions, every retriever with every reranker, at the winner's depth and weight.

    Where the winner's depth is not reranked, the grid's deepest that is. None with fewer than two of either.
    """
    scored = [c for c in grid if c.reranker not in UNSCORED and c.mix == winner.mix and c.k == winner.k]
    depths = {c.depth for c in scored}
    if not depths:
        return None
    depth = winner.depth if winner.depth in depths else max(depths)
    level = {c for c in scored if c.depth == depth}
    rerankers = list(dict.fromkeys(c.reranker for c in scored if c in level))
    retrievers = list(dict.fromkeys(c.retriever for c in scored if c in level))
    rows = [[replace(winner, retriever=r, reranker=k, depth=depth) for k in rerankers] for r in retrievers]
    rows = [row for row in rows if level.issuperset(row)]
    return rows if len(rows) > 1 and len(rerankers) > 1 else None


def analyse(values: Values, winner: Composition) -> Anova | None:
    """The analysis of `cells_of` the grid; None where there is none, or a single query."""
    cells = cells_of(values.keys(), winner)
    if cells is None or len(values[cells[0][0]]) < 2:
        return None
    cube = np.stack([np.stack([values[c] for c in row], axis=1) for row in cells], axis=1)
    total = float(((cube - cube.mean()) ** 2).sum())
    between = float(cube[0].size * ((cube.mean(axis=(1, 2)) - cube.mean()) ** 2).sum())
    return Anova(
        depth=cells[0][0].depth,
        mix=cells[0][0].mix,
        retrievers=[row[0].retriever for row in cells],
        rerankers=[c.reranker for c in cells[0]],
        queries=between / total if total > 0 else 0.0,
        effects=effects(cube),
    )


def effects(cube: Floats) -> dict[str, Effect]:
    """source -> its effect on (n, R, K) values, a row a query; n, R and K are 2 or more."""
    _, retrievers, rerankers = cube.shape
    total = float(((cube - cube.mean()) ** 2).sum())
    query = cube.mean(axis=(1, 2), keepdims=True)
    by_retriever = cube.mean(axis=2, keepdims=True) - query
    by_reranker = cube.mean(axis=1, keepdims=True) - query
    both = cube - query - by_retriever - by_reranker
    sources = {
        "reranker": (by_reranker * np.sqrt(retrievers), rerankers - 1),
        "retriever": (by_retriever * np.sqrt(rerankers), retrievers - 1),
        "both": (both, (retrievers - 1) * (rerankers - 1)),
    }
    return {name: _effect(each.reshape(len(cube), -1), df, cube.size, total) for name, (each, df) in sources.items()}


def _effect(deviations: Floats, df: int, size: int, total: float) -> Effect:
    """From (n, L) each query's deviations: their mean is the effect, what they vary around it is its error.

    omega2 = df (MS - MS_error) / (df (MS - MS_error) + size x MS_error), at least 0, for `size` values in all cells
    (Keppel & Wickens 2004, ch. 18).
    """
    n, mean = len(deviations), deviations.mean(axis=0)
    around = deviations - mean
    ss, error_ss, error_df = float(n * (mean**2).sum()), float((around**2).sum()), (n - 1) * df
    square, error = ss / df, error_ss / error_df
    epsilon, own = _epsilon(around, df), max(0.0, df * (square - error))
    f = square / error if error > _NO_SQUARE else None
    return Effect(
        ss=ss,
        df=df,
        error_ss=error_ss,
        error_df=error_df,
        epsilon=epsilon,
        f=f,
        p=None if f is None else float(fdtrc(epsilon * df, epsilon * error_df, f)),
        omega2=own / (own + size * error) if own > _NO_SQUARE else 0.0,
        share=ss / total if total > 0 else 0.0,
    )


def _epsilon(around: Floats, df: int) -> float:
    """tr(S)^2 / (df tr(S^2)) of the deviations' covariance S: 1 / df to 1."""
    squares = around.T @ around
    spread = float((squares**2).sum())
    return float(np.trace(squares)) ** 2 / (df * spread) if spread > _NO_SQUARE**2 else 1.0
