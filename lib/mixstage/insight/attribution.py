"""What each exchanged part contributes to the gap between the incumbent and the winner, and whether parts interact."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from math import factorial

import numpy as np

from mixstage.composition import UNSCORED, Composition
from mixstage.stats.bootstrap import Floats

PARTS = ("retriever", "reranker", "depth", "mix")
Values = Mapping[Composition, Floats]  # composition -> (n,) metric of each query, queries in one order


def exchanged(winner: Composition, incumbent: Composition) -> tuple[str, ...]:
    """The parts in which the two differ."""
    return tuple(part for part in PARTS if getattr(winner, part) != getattr(incumbent, part))


def corner(
    grid: Collection[Composition], winner: Composition, incumbent: Composition, taken: Collection[str]
) -> Composition | None:
    """The incumbent with the parts `taken` from the winner; None if the grid lacks it even by the rules below.

    1. Where no pair is scored there is nothing to mix: the weight is 1. 2. A reranker is scored down to the grid's
    largest depth only: a corner below it stands at the deepest depth that the grid has for its other parts.
    """
    composition = replace(incumbent, **{part: getattr(winner, part) for part in taken})
    if composition.reranker in UNSCORED:
        composition = replace(composition, mix=1.0)
    if composition in grid:
        return composition
    depths = [
        c.depth for c in grid if replace(c, depth=composition.depth) == composition and c.depth < composition.depth
    ]
    return composition.at_depth(max(depths)) if depths else None


def shapley(parts: Sequence[str], value: Callable[[frozenset[str]], Floats]) -> dict[str, Floats]:
    """part -> (n,) its share of value(all parts) - value(no part), query by query; shares sum to that gap.

    A share is the mean gain of adding the part over all orders of adding them: the sum over sets S without it of
    |S|! (p - |S| - 1)! / p! x (value(S + part) - value(S)) (Shapley, 1953).
    """
    return {part: _share(part, [other for other in parts if other != part], value) for part in parts}


def _share(part: str, others: Sequence[str], value: Callable[[frozenset[str]], Floats]) -> Floats:
    sets = [frozenset(s) for size in range(len(others) + 1) for s in combinations(others, size)]
    gains = [_weight(len(s), len(others) + 1) * (value(s | {part}) - value(s)) for s in sets]
    return np.asarray(np.sum(gains, axis=0), dtype=np.float64)


def _weight(size: int, parts: int) -> float:
    return factorial(size) * factorial(parts - size - 1) / factorial(parts)


def attribute(values: Values, winner: Composition, incumbent: Composition) -> dict[str, Floats] | None:
    """part -> (n,) Shapley share of winner minus incumbent; only exchanged parts. None if a corner is not in the grid.

    The first and last corner are the incumbent and the winner themselves, so the rules of `corner` move shares
    between parts but never the sum.
    """
    parts = exchanged(winner, incumbent)
    sets = [frozenset(s) for size in range(len(parts) + 1) for s in combinations(parts, size)]
    corners = {s: corner(values.keys(), winner, incumbent, s) for s in sets}
    known = {s: values[at] for s, at in corners.items() if at is not None}
    if len(known) < len(sets):
        return None
    return shapley(parts, known.__getitem__)


def interaction(values: Values, winner: Composition, incumbent: Composition) -> Floats | None:
    """(n,) Y(r1,k1) - Y(r1,k0) - Y(r0,k1) + Y(r0,k0): retriever r and reranker k of winner (1) and incumbent (0).

    Depth and weight are the winner's in all four. 0 where each part brings the same whatever the other is: mixing
    stages is then just picking each best part. None if the two share a part, or a corner is not in the grid.
    """
    if winner.retriever == incumbent.retriever or winner.reranker == incumbent.reranker:
        return None
    rest = {"depth", "mix"}
    cells = [
        corner(values.keys(), winner, incumbent, taken)
        for taken in ({"retriever", "reranker", *rest}, {"retriever", *rest}, {"reranker", *rest}, rest)
    ]
    if any(cell is None for cell in cells):
        return None
    both, retriever, reranker, neither = (values[cell] for cell in cells if cell is not None)
    return both - retriever - reranker + neither
