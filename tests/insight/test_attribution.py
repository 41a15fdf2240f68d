"""Shapley shares and the interaction contrast: by hand on small cubes, as properties on random ones."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mixstage.composition import Composition
from mixstage.insight.attribution import attribute, corner, exchanged, interaction, shapley

BASE = Composition(retriever="base", depth=20, reranker="base")
WINNER = Composition(retriever="robust", depth=60, reranker="refine", mix=0.5)


def cell(retriever: str, depth: int, reranker: str, mix: float = 1.0) -> Composition:
    return Composition(retriever=retriever, depth=depth, reranker=reranker, mix=mix)


def values(rows: dict[Composition, list[float]]) -> dict[Composition, NDArray[np.float64]]:
    return {composition: np.array(row) for composition, row in rows.items()}


def test_two_parts_by_hand() -> None:
    # Query 1: .1 -> .7. The retriever adds .2 first or .3 last, the reranker .3 first or .4 last.
    # Query 2: the parts only help together: .0, .0, .0, .4.
    winner = cell("robust", 20, "refine")
    table = values(
        {
            BASE: [0.1, 0.0],
            cell("robust", 20, "base"): [0.3, 0.0],
            cell("base", 20, "refine"): [0.4, 0.0],
            winner: [0.7, 0.4],
        }
    )
    shares = attribute(table, winner, BASE)
    assert shares is not None and list(shares) == ["retriever", "reranker"]
    assert shares["retriever"] == pytest.approx([0.25, 0.2])
    assert shares["reranker"] == pytest.approx([0.35, 0.2])
    contrast = interaction(table, winner, BASE)
    assert contrast == pytest.approx([0.7 - 0.3 - 0.4 + 0.1, 0.4])


def test_three_parts_of_a_glove_game() -> None:
    # One left glove and two right ones, the textbook example: 2/3, 1/6, 1/6.
    def pairs(taken: frozenset[str]) -> NDArray[np.float64]:
        return np.array([float("left" in taken and bool(taken & {"right", "other"}))])

    shares = shapley(("left", "right", "other"), pairs)
    assert {part: share[0] for part, share in shares.items()} == pytest.approx(
        {"left": 2 / 3, "right": 1 / 6, "other": 1 / 6}
    )


def test_shares_sum_to_the_gap_of_every_query() -> None:
    generator = np.random.default_rng(0)
    table = {
        cell(retriever, depth, reranker, mix): generator.random(50)
        for retriever in ("base", "robust")
        for depth in (20, 60)
        for reranker in ("base", "refine")
        for mix in (0.5, 1.0)
    }
    shares = attribute(table, WINNER, BASE)
    assert shares is not None and list(shares) == ["retriever", "reranker", "depth", "mix"]
    assert np.sum(list(shares.values()), axis=0) == pytest.approx(table[WINNER] - table[BASE], abs=1e-12)


def test_a_part_that_changes_nothing_gets_nothing() -> None:
    generator = np.random.default_rng(1)
    drawn = {key: generator.random(9) for key in ("base", "robust")}
    table = {cell(r, 20, k): drawn[r] for r in ("base", "robust") for k in ("base", "refine")}
    shares = attribute(table, cell("robust", 20, "refine"), BASE)
    assert shares is not None
    assert shares["reranker"] == pytest.approx(np.zeros(9), abs=1e-15)
    assert interaction(table, cell("robust", 20, "refine"), BASE) == pytest.approx(np.zeros(9), abs=1e-15)


def test_without_a_reranker_there_is_nothing_to_mix() -> None:
    bare, deep = cell("base", 100, "none"), cell("robust", 60, "none")
    grid = {bare, deep, cell("base", 60, "none"), cell("robust", 100, "none"), WINNER}
    assert corner(grid, WINNER, bare, {"mix"}) == bare
    assert corner(grid, WINNER, bare, {"retriever", "depth", "mix"}) == deep


def test_a_corner_below_the_scored_depth_stands_at_the_deepest_there_is() -> None:
    bare = cell("base", 100, "none")
    grid = {bare, WINNER, cell("base", 20, "refine"), cell("base", 60, "refine"), cell("base", 60, "refine", 0.5)}
    assert corner(grid, WINNER, bare, {"reranker"}) == cell("base", 60, "refine")
    assert corner(grid, WINNER, bare, {"reranker", "mix"}) == cell("base", 60, "refine", 0.5)


def test_the_rules_move_shares_and_never_the_sum() -> None:
    bare, winner = cell("base", 100, "none"), cell("robust", 60, "refine")
    table = values(
        {
            bare: [0.2],
            cell("base", 60, "none"): [0.2],
            cell("robust", 100, "none"): [0.3],
            cell("robust", 60, "none"): [0.3],
            cell("base", 60, "refine"): [0.5],
            winner: [0.7],
        }
    )
    shares = attribute(table, winner, bare)
    assert shares is not None
    # Depth changes nothing here: retriever (.1 + .2) / 2, reranker (.3 + .4) / 2.
    assert {part: share[0] for part, share in shares.items()} == pytest.approx(
        {"retriever": 0.15, "reranker": 0.35, "depth": 0.0}
    )


def test_a_grid_without_a_corner_attributes_nothing() -> None:
    table = values({BASE: [0.1], WINNER: [0.2]})
    assert attribute(table, WINNER, BASE) is None
    assert interaction(table, WINNER, BASE) is None


def test_equal_compositions_exchange_nothing() -> None:
    assert exchanged(BASE, BASE) == ()
    assert attribute(values({BASE: [0.1]}), BASE, BASE) == {}
    assert interaction(values({BASE: [0.1]}), BASE, BASE) is None
