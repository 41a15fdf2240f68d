"""Who a sample of queries can't tell from a leader: cases whose bands are far from, or on, the numbers."""

from typing import Any

import numpy as np

from mixstage.evaluation.race import Field, standing

N = 100
NOISE = np.tile([0.05, -0.05], N // 2)  # of a column: a standard error of .005


def field(*columns: dict[str, float], affordable: list[bool] | None = None, **parts: Any) -> Field:
    """The first is the incumbent, without noise; each column's mean by application. Noise is the others' own."""
    matrices = {
        name: np.column_stack([mean[name] + np.roll(NOISE, c) * (c > 0) for c, mean in enumerate(columns)])
        for name in columns[0]
    }
    defaults = {
        "weights": {name: 1 / len(matrices) for name in matrices},
        "complete": set(),
        "incumbent": 0,
        "affordable": np.array(affordable or [True] * len(columns)),
        "max_regression": 0.01,
        "confidence": 0.975,
        "draws": 200,
        "seed": 0,
    }
    return Field(matrices=matrices, **{**defaults, **parts})


def test_what_is_behind_by_chance_stays_and_what_is_far_behind_goes() -> None:
    # Against the leader the noise doubles: an error of .01 where the signs differ. .3 is 20 errors behind.
    assert standing(field({"a": 0.3}, {"a": 0.5}, {"a": 0.495}, {"a": 0.3})).tolist() == [False, True, True, False]


def test_equals_stay_together() -> None:
    assert standing(field({"a": 0.5}, {"a": 0.5}, {"a": 0.5})).all()


def test_the_best_of_one_application_stays() -> None:
    # the third is behind on the whole, the fourth in both applications
    stays = standing(field({"a": 0.3, "b": 0.3}, {"a": 0.5, "b": 0.5}, {"a": 0.1, "b": 0.6}, {"a": 0.2, "b": 0.2}))
    assert stays.tolist() == [False, True, True, False]


def test_an_application_without_further_queries_holds_up_its_best_alone() -> None:
    # both are behind on the whole; in b the third is best, the fourth behind by less than chance
    columns = ({"a": 0.3, "b": 0.3}, {"a": 0.5, "b": 0.5}, {"a": 0.1, "b": 0.6}, {"a": 0.1, "b": 0.595})
    assert standing(field(*columns)).tolist() == [False, True, True, True]
    assert standing(field(*columns, complete={"b"})).tolist() == [False, True, True, False]


def test_one_that_is_screened_out_drives_nobody_out_on_the_whole() -> None:
    # The second is best on the whole but loses .2 of b. The third passes the screen; both applications have better
    # ones, yet it is the best of those that selection may choose.
    columns = ({"a": 0.3, "b": 0.5}, {"a": 0.9, "b": 0.3}, {"a": 0.4, "b": 0.55}, {"a": 0.1, "b": 0.9})
    assert standing(field(*columns)).tolist() == [False, True, True, True]
    # without the limit, the second leads on the whole
    assert standing(field(*columns, max_regression=1.0)).tolist() == [False, True, False, True]


def test_a_lead_within_its_error_of_the_limit_does_not_count_as_sure() -> None:
    # b: a loss of .009 +- .005, allowed .01: not sure. So the incumbent leads, and the third, ahead of it, stays.
    columns = ({"a": 0.3, "b": 0.5}, {"a": 0.9, "b": 0.491}, {"a": 0.35, "b": 0.5 - 0.04})
    third_is_best_nowhere = standing(field(*columns))
    assert third_is_best_nowhere.tolist() == [True, True, True]


def test_what_no_budget_allows_drives_nobody_out() -> None:
    columns = ({"a": 0.3}, {"a": 0.9}, {"a": 0.5})
    assert standing(field(*columns)).tolist() == [False, True, False]
    assert standing(field(*columns, affordable=[True, False, True])).tolist() == [False, True, True]
    assert standing(field(*columns, affordable=[False] * 3)).all()
