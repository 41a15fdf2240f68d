"""The fewest models for all applications: by hand, and against every assignment there is."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixstage.composition import Composition
from mixstage.errors import InputError
from mixstage.plan.schema import GridPlan
from mixstage.selection.choose import Values
from mixstage.selection.sharing import Cover, services_of, smallest_cover

GRID = GridPlan.model_validate({"fusions": {"both": {"of": ["broad", "bm25"]}}})
NAMES = [
    "retriever:base@20 > none@10",
    "retriever:broad@20 > none@10",
    "bm25@20 > none@10",
    "retriever:both@20 > none@10",
    "retriever:base@20 > reranker:broad@10",
    "retriever:broad@20 > reranker:broad@10",
    "retriever:broad@20 > 0.5*reranker:broad@10",
    "retriever:broad@20 > reranker:refine@10",
    "retriever:both@20 > reranker:refine@10",
]


def values(names: list[str], **means: list[float]) -> Values:
    return Values(
        compositions=[Composition.parse(name) for name in names],
        matrices={app: np.array([row]) for app, row in means.items()},
        weights={app: 1 / len(means) for app in means},
    )


def cover(dev: Values, margin: float = 0.01, **within: Any) -> Cover:
    everything = np.ones(len(dev.compositions), dtype=bool)
    allowed = {name: np.array(within.get(name, everything)) for name in dev.matrices}
    return smallest_cover(GRID, dev, allowed, np.arange(len(dev.compositions)), margin)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (NAMES[0], {("retriever", "base")}),
        (NAMES[3], {("retriever", "broad"), ("retriever", "bm25")}),
        (NAMES[6], {("retriever", "broad"), ("reranker", "broad")}),  # one stage name, two services
        (NAMES[8], {("retriever", "broad"), ("retriever", "bm25"), ("reranker", "refine")}),
    ],
)
def test_services_are_members_and_rerankers(name: str, expected: set[tuple[str, str]]) -> None:
    assert services_of(GRID, Composition.parse(name)) == expected


def test_two_applications_share_what_is_good_enough_for_both() -> None:
    names = [NAMES[0], NAMES[1], NAMES[5], NAMES[7]]
    # a wants refine (.60), b broad (.50); broad is within .01 of a's best, and nothing less serves b
    dev = values(names, a=[0.3, 0.4, 0.595, 0.6], b=[0.3, 0.4, 0.5, 0.3])
    found = cover(dev)
    assert (found.named("retriever"), found.named("reranker")) == (["broad"], ["broad"])
    assert found.assignment == {"a": 2, "b": 2}
    # with less margin both rerankers run; with more, the retriever alone is enough
    assert cover(dev, margin=0.004).named("reranker") == ["broad", "refine"]
    assert cover(dev, margin=0.004).assignment == {"a": 3, "b": 2}
    assert cover(dev, margin=0.2).services == {("retriever", "broad")}


def test_of_two_covers_of_a_size_the_higher_mean_is_taken() -> None:
    dev = values([NAMES[0], NAMES[1]], a=[0.50, 0.505], b=[0.508, 0.5])
    assert cover(dev).assignment == {"a": 0, "b": 0}  # .504 to .5025


def test_each_applications_budget_is_its_own() -> None:
    dev = values([NAMES[1], NAMES[5]], a=[0.4, 0.6], b=[0.4, 0.6])
    found = cover(dev, a=[True, False])
    assert found.assignment == {"a": 0, "b": 1}
    with pytest.raises(InputError, match="within the budget of b"):
        cover(dev, b=[False, False])


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=7, unique=True).flatmap(
        lambda names: st.tuples(
            st.just(names),
            st.lists(st.lists(st.integers(0, 6), min_size=len(names), max_size=len(names)), min_size=1, max_size=3),
            st.integers(0, 3),
        )
    )
)
def test_the_cover_is_the_best_of_all_assignments(found: tuple[list[str], list[list[int]], int]) -> None:
    names, means, margin = found
    dev = values(names, **{f"app{i}": [value / 100 for value in row] for i, row in enumerate(means)})
    best: tuple[int, int] | None = None
    for columns in product(range(len(names)), repeat=len(means)):
        if any(row[column] < max(row) - margin for row, column in zip(means, columns, strict=True)):
            continue
        needed = frozenset().union(*(services_of(GRID, dev.compositions[column]) for column in columns))
        score = (len(needed), -sum(row[column] for row, column in zip(means, columns, strict=True)))
        best = score if best is None else min(best, score)
    got = cover(dev, margin=margin / 100)
    used = [services_of(GRID, dev.compositions[column]) for column in got.assignment.values()]
    assert got.services == frozenset().union(*used)
    total = sum(means[i][column] for i, column in enumerate(got.assignment.values()))
    assert (len(got.services), -total) == best
