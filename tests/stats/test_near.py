"""The near-best set: errors and band worked out by hand, the bootstrap against its own definition."""

import numpy as np
import pytest

from mixstage.stats.bootstrap import (
    critical_value,
    drawn_errors_to,
    errors_to,
    resampled_means,
    resamples,
    tied_with,
    weighted,
)


def world(seed: int = 3) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {"a": generator.random((30, 4)), "b": generator.random((12, 4))}


WEIGHTS = {"a": 0.25, "b": 0.75}


def test_every_draw_keeps_the_number_of_queries_of_each_application() -> None:
    blocks = list(resamples(world(), 50, seed=1))
    counts = {name: np.vstack([block[name] for block in blocks]) for name in "ab"}
    assert counts["a"].shape == (50, 30) and counts["b"].shape == (50, 12)
    assert (counts["a"].sum(axis=1) == 30).all() and (counts["b"].sum(axis=1) == 12).all()
    again = next(resamples(world(), 50, seed=1))
    assert (again["a"] == blocks[0]["a"]).all()
    assert (next(resamples(world(), 50, seed=2))["a"] != blocks[0]["a"]).any()


def test_a_query_is_drawn_once_on_average_and_missed_as_often_as_chance_says() -> None:
    counts = np.vstack([block["a"] for block in resamples({"a": np.zeros((20, 1))}, 20_000, seed=0)])
    assert np.allclose(counts.mean(axis=0), 1, atol=0.04)
    assert np.isclose((counts == 0).mean(), 0.95**20, atol=0.005)  # (1 - 1/n)^n = .358


def test_a_draws_means_are_those_of_the_queries_it_drew() -> None:
    matrices = world()
    counts = next(resamples(matrices, 3, seed=5))
    found = resampled_means(matrices, counts)
    for row in range(3):
        drawn = np.repeat(matrices["b"], counts["b"][row].astype(int), axis=0)
        assert np.allclose(found["b"][row], drawn.mean(axis=0))


def test_the_error_of_a_lead_is_paired_and_weighted() -> None:
    # a: leads .1, .3 (var .01); b: leads .2, .2, .5, .5 (var .0225)
    matrices = {"a": np.array([[0.5, 0.4], [0.9, 0.6]]), "b": np.array([[0.6, 0.4], [0.3, 0.1], [0.9, 0.4], [0.5, 0]])}
    found = errors_to(0, matrices, WEIGHTS)
    assert found[0] == 0
    assert found[1] == pytest.approx(np.sqrt(0.25**2 * 0.01 / 2 + 0.75**2 * 0.0225 / 4))


def test_errors_inside_a_draw_are_those_of_the_queries_it_drew() -> None:
    matrices, best = world(), np.array([2, 0, 3])
    counts = next(resamples(matrices, 3, seed=5))
    found = drawn_errors_to(best, matrices, counts, WEIGHTS)
    for row, leader in enumerate(best):
        drawn = {name: np.repeat(matrices[name], counts[name][row].astype(int), axis=0) for name in matrices}
        assert np.allclose(found[row], errors_to(int(leader), drawn, WEIGHTS), atol=1e-7)


def test_for_one_rival_the_critical_value_is_the_normal_quantile() -> None:
    generator = np.random.default_rng(0)
    matrices = {"a": generator.normal(size=(400, 2))}
    found = critical_value(0, np.array([True, True]), matrices, {"a": 1.0}, draws=20_000, confidence=0.95, seed=0)
    assert found == pytest.approx(1.645, abs=0.05)


def test_more_rivals_need_a_wider_band_and_the_ineligible_do_not_count() -> None:
    matrices = {"a": np.random.default_rng(0).random((200, 20))}

    def c(eligible: np.ndarray) -> float:
        return critical_value(0, eligible, matrices, {"a": 1.0}, draws=1000, confidence=0.95, seed=0)

    some = np.arange(20) < 3
    assert c(some) < c(np.ones(20, dtype=bool))
    alone = {"a": matrices["a"][:, :3]}
    assert c(some) == pytest.approx(
        critical_value(0, np.ones(3, dtype=bool), alone, {"a": 1.0}, draws=1000, confidence=0.95, seed=0)
    )
    assert c(np.arange(20) < 1) == 0


def test_the_band_is_the_smaller_of_errors_and_cap() -> None:
    overall = np.array([[0.5, 0.496, 0.496, 0.49, 0.499, 0.5]])
    errors = np.array([[0.0, 0.01, 0.001, 0.01, 0.01, 0.0]])
    eligible = np.array([[True, True, True, True, False, True]])
    found = tied_with(np.array([0]), eligible, overall, errors, critical=2.0, near=0.005)
    # .004 < .005 < 2 x .01; .004 > 2 x .001; .01 > .005; not eligible; an equal without spread
    assert found.tolist() == [[True, True, False, False, False, True]]


def test_the_mean_over_applications_counts_their_weights() -> None:
    assert weighted({"a": np.array([0.4]), "b": np.array([0.8])}, WEIGHTS).tolist() == pytest.approx([0.7])


def test_the_true_best_is_in_an_uncapped_set_in_95_of_100_worlds() -> None:
    generator = np.random.default_rng(11)
    truth = np.array([0.5, 0.5, 0.49, 0.45, 0.4])
    covered = 0
    for seed in range(200):
        matrix = truth + generator.normal(0, 0.2, (60, 5)) + generator.normal(0, 0.3, (60, 1))
        overall, best = matrix.mean(axis=0), int(matrix.mean(axis=0).argmax())
        everyone = np.ones(5, dtype=bool)
        c = critical_value(best, everyone, {"a": matrix}, {"a": 1.0}, draws=300, confidence=0.95, seed=seed)
        errors = errors_to(best, {"a": matrix}, {"a": 1.0})
        tied = tied_with(np.array([best]), everyone[None], overall[None], errors[None], critical=c, near=1.0)
        covered += bool(tied[0, :2].all())
    assert covered >= 184  # both of the equal best, 92 %
