"""The verdict on test: each word by numbers made by hand, and how often it errs."""

import math

import numpy as np
import pytest

from mixstage.selection.verdict import Margins, judge, sentence

EVEN = {"a": 0.5, "b": 0.5}


def margins(cheaper: bool = False) -> Margins:
    return Margins(max_regression=0.01, near=0.005, cheaper=cheaper)


def around(mean: float, half: float, n: int = 100) -> np.ndarray:
    """n differences, half of them `half` above the mean and half below."""
    return mean + half * np.where(np.arange(n) % 2, 1.0, -1.0)


def test_bounds_are_students_one_sided() -> None:
    # 100 at .05 +- .1: sd .1005, error .01005; t(.95, 99) = 1.6604
    found = judge({"a": around(0.05, 0.1)}, {"a": 1.0}, margins(), 0.05)
    part = found.applications["a"]
    assert (part.mean, part.queries) == (pytest.approx(0.05), 100)
    assert (part.low, part.high) == pytest.approx((0.05 - 0.016687, 0.05 + 0.016687), abs=1e-5)
    assert (found.overall.low, found.overall.high) == pytest.approx((part.low, part.high))


def test_a_gain_that_harms_no_application_ships() -> None:
    found = judge({"a": around(0.05, 0.1), "b": around(0.02, 0.1)}, EVEN, margins(), 0.05)
    assert found.word == "SHIP"
    told = sentence(found, "new", "old", margins())
    assert told.startswith("SHIP new: +0.0350 on test, +0.0") and "no application loses more than 0.01." in told


def test_a_gain_does_not_ship_while_an_application_may_lose_too_much() -> None:
    # b: 0 +- .0167 may be -.0167
    found = judge({"a": around(0.2, 0.1), "b": around(0.0, 0.1)}, EVEN, margins(), 0.05)
    assert found.overall.low > 0 and found.applications["b"].low < -0.01
    assert found.word == "INCONCLUSIVE"


def test_an_application_that_surely_loses_too_much_keeps_the_incumbent() -> None:
    found = judge({"a": around(0.2, 0.1), "b": around(-0.05, 0.1)}, EVEN, margins(), 0.05)
    assert found.word == "KEEP"
    assert sentence(found, "new", "old", margins()).endswith("b loses at least 0.0333.")  # .05 - .0167
    assert sentence(found, "new", "old", margins()).startswith("KEEP old: new is +0.0750 on test")


def test_a_sure_loss_of_all_together_keeps_the_incumbent() -> None:
    found = judge({"a": around(-0.005, 0.01)}, {"a": 1.0}, margins(), 0.05)
    assert found.overall.high < 0 and found.applications["a"].high > -0.01
    assert found.word == "KEEP"


def test_the_same_quality_ships_only_if_it_costs_less() -> None:
    same = {"a": around(0.0, 0.02)}  # 0 +- .0033, within near .005
    assert judge(same, {"a": 1.0}, margins(), 0.05).word == "INCONCLUSIVE"
    cheaper = judge(same, {"a": 1.0}, margins(cheaper=True), 0.05)
    assert cheaper.word == "SHIP"
    assert sentence(cheaper, "new", "old", margins(cheaper=True)).endswith("and costs less.")


def test_a_smaller_alpha_asks_for_more() -> None:
    pairs = {"a": around(0.02, 0.1)}  # error .01005: 1.99 errors above 0
    assert judge(pairs, {"a": 1.0}, margins(), 0.05).word == "SHIP"
    halved = judge(pairs, {"a": 1.0}, margins(), 0.0125)
    assert halved.word == "INCONCLUSIVE"
    assert "at alpha 0.0125 a side" in sentence(halved, "new", "old", margins())


def test_queries_needed_are_those_of_the_formula() -> None:
    # b: sd .1005, margin .01 + 0: (2.4865 * .1005 / .01)^2 = 624.5
    found = judge({"a": around(0.2, 0.1), "b": around(0.0, 0.1)}, EVEN, margins(), 0.05)
    assert found.applications["b"].needed == math.ceil((2.486475 * 0.1005038 / 0.01) ** 2) == 625
    assert found.applications["a"].needed == 4  # all together: 100 (2.4865 * .00711 / .1)^2 = 3.1
    assert sentence(found, "new", "old", margins()).endswith("queries needed: b about 625 instead of 100.")


def test_where_all_together_can_not_tell_every_application_needs_more() -> None:
    # .01 +- .1 in both: error .00711; growth (2.4865 * .00711 / .01)^2 = 3.12
    found = judge({"a": around(0.01, 0.1), "b": around(0.01, 0.1, n=100)}, EVEN, margins(), 0.05)
    assert found.word == "INCONCLUSIVE"
    assert found.overall.needed == 625  # 200 x 3.1225
    assert found.applications["a"].needed == 313


def test_a_difference_that_no_number_of_queries_would_ship_has_none() -> None:
    found = judge({"a": around(-0.002, 0.2)}, {"a": 1.0}, margins(), 0.05)
    assert (found.word, found.overall.needed) == ("INCONCLUSIVE", None)
    assert sentence(found, "new", "old", margins()).endswith("gives no number of queries that would tell.")


def test_a_single_query_tells_nothing() -> None:
    found = judge({"a": np.array([0.5])}, {"a": 1.0}, margins(), 0.05)
    assert (found.word, found.overall.low, found.overall.high) == ("INCONCLUSIVE", -1.0, 1.0)


def test_a_winner_at_the_margin_ships_in_at_most_5_of_100_worlds() -> None:
    """b truly loses just what is not allowed any more."""
    generator = np.random.default_rng(2)
    shipped = 0
    for _ in range(1000):
        pairs = {"a": generator.normal(0.1, 0.1, 60), "b": generator.normal(-0.01, 0.1, 60)}
        shipped += judge(pairs, EVEN, margins(), 0.05).word == "SHIP"
    assert 0.03 <= shipped / 1000 <= 0.07
