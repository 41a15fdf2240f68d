"""Ceilings and the loss split: by hand, and as properties on random lists."""

import math

import numpy as np
import pytest

from mixstage.insight.losses import ceiling, depth_curve, split_loss
from mixstage.measures.measures import ABSENT, Judged, parse_measure

NDCG = parse_measure("nDCG@10")
SECOND = 1 / math.log2(3)  # discount of rank 2


def test_the_best_order_of_what_was_found() -> None:
    # Grades 2, 1, 0; found: the 1 at rank 7 and the 0 at rank 3. Best order: 1, 0. Ideal list: 2, 1.
    ranks, grades = np.array([[0, 7, 3]]), np.array([[2, 1, 0]], dtype=np.int16)
    ideal = 2 + SECOND
    assert ceiling(ranks, grades, 20, NDCG) == pytest.approx([1 / ideal])
    assert ceiling(ranks, grades, 5, NDCG) == pytest.approx([0.0])  # the 1 stands at rank 7
    assert ceiling(ranks, grades, 20, parse_measure("RR@10")) == pytest.approx([1.0])
    assert ceiling(ranks, grades, 20, parse_measure("R@1")) == pytest.approx([0.5])


def test_all_found_is_a_ceiling_of_one_and_nothing_found_of_zero() -> None:
    ranks = np.array([[60, 9], [0, 0]])
    grades = np.array([[1, 3], [1, ABSENT]], dtype=np.int16)
    assert ceiling(ranks, grades, 60, NDCG).tolist() == [1.0, 0.0]


def test_loss_by_hand() -> None:
    # Query 1: found and second (ceiling 1); query 2: not found.
    split = split_loss(np.array([1.0, 0.0]), np.array([SECOND, 0.0]), 0.95)
    assert split.retrieval.mean == pytest.approx(0.5)
    assert split.ranking.mean == pytest.approx((1 - SECOND) / 2)
    assert split.efficiency == pytest.approx(SECOND)
    assert split.retrieval.mean + split.ranking.mean == pytest.approx(1 - split.achieved.mean, abs=1e-15)


def test_an_order_above_its_ceiling_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match="beats their best order"):
        split_loss(np.array([0.4, 0.5]), np.array([0.4, 0.6]), 0.95)


def test_nothing_found_at_all_has_no_efficiency() -> None:
    assert split_loss(np.zeros(2), np.zeros(2), 0.95).efficiency == 0.0


@pytest.mark.parametrize(
    "name", ["nDCG@10", "nDCGexp@3", "RR@10", "AP@100", "P@5", "R@5", "Success@1", "Rprec", "Bpref", "Judged@10"]
)
def test_no_order_beats_the_ceiling(name: str) -> None:
    generator, measure = np.random.default_rng(3), parse_measure(name)
    queries, documents, depth = 40, 30, 20
    found = np.argsort(generator.random((queries, documents)), axis=1) + 1  # every document's rank in the first list
    judged = 8
    grades = generator.integers(-1, 4, (queries, judged)).astype(np.int16)
    within = found <= depth
    shuffled = np.where(within, generator.random((queries, documents)), 2.0)
    final = np.where(within, np.argsort(np.argsort(shuffled, axis=1), axis=1) + 1, 0)  # another order of the same
    returned = np.full(queries, depth, dtype=np.int32)
    achieved = measure.values(Judged(ranks=final[:, :judged].astype(np.int32), grades=grades, returned=returned))
    best = ceiling(found[:, :judged], grades, depth, measure)
    assert (best >= achieved - 1e-12).all() and (best > achieved + 1e-6).any()


def test_a_depth_curve_by_hand() -> None:
    # One relevant document at rank 15; the reranker finds it at depth 20 and is distracted at depth 60.
    ranks, grades = np.array([[15]]), np.array([[1]], dtype=np.int16)
    curve = depth_curve(ranks, grades, NDCG, [(10, np.array([0.0])), (20, np.array([1.0])), (60, np.array([SECOND]))])
    assert [(p.depth, p.ceiling, p.achieved) for p in curve] == [(10, 0.0, 0.0), (20, 1.0, 1.0), (60, 1.0, SECOND)]
    assert [p.efficiency for p in curve] == pytest.approx([0.0, 1.0, SECOND])
