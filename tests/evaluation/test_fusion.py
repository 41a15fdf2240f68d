"""Fusing rankings and mixing scores: hand-made numbers."""

from fractions import Fraction
from itertools import permutations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from mixstage.evaluation.fusion import fuse_rankings, members_of, mix_scores
from mixstage.index.search import rank_by_score
from mixstage.plan.schema import FusionPlan, GridPlan


def ranking(**lists: str) -> pl.DataFrame:
    """query -> its documents, best first, separated by spaces."""
    rows = [(query, doc, rank) for query, docs in lists.items() for rank, doc in enumerate(docs.split(), start=1)]
    return pl.DataFrame(rows, schema={"query_id": pl.String, "doc_id": pl.String, "rank": pl.UInt32}, orient="row")


def test_a_document_scores_the_sum_of_its_reciprocal_ranks() -> None:
    # constant 1. a: 1/2 + 1/4 = .75; b: 1/3 + 1/2 = .8333; c, second member only: 1/3; d, first member only: 1/4
    fused = fuse_rankings([ranking(q="a b d"), ranking(q="b c a")], constant=1, depth=10)
    expected = [("b", 5 / 6), ("a", 0.75), ("c", 1 / 3), ("d", 0.25)]
    rows = [("q", doc, float(np.float32(score)), rank) for rank, (doc, score) in enumerate(expected, start=1)]
    assert fused.rows() == rows
    assert fused.schema == {"query_id": pl.String, "doc_id": pl.String, "score": pl.Float32, "rank": pl.UInt32}


def test_ties_are_broken_by_id_bytes_before_the_depth_cuts() -> None:
    # Ranks 1, 2 and 2, 1: equal scores. "d9" > "d10" in bytes, "é" (two bytes from 0xc3) > "z".
    fused = fuse_rankings([ranking(q="d10 d9", p="z é"), ranking(q="d9 d10", p="é z")], constant=60, depth=1)
    assert fused.select("query_id", "doc_id", "rank").rows() == [("p", "é", 1), ("q", "d9", 1)]


def test_queries_of_one_member_only_are_answered_by_it() -> None:
    fused = fuse_rankings([ranking(q="a b"), ranking(p="c")], constant=60, depth=5)
    assert fused.select("query_id", "doc_id").rows() == [("p", "c"), ("q", "a"), ("q", "b")]
    assert fuse_rankings([ranking(), ranking()], constant=60, depth=5).is_empty()


def test_a_member_named_twice_counts_twice() -> None:
    once = ranking(q="a")
    assert fuse_rankings([once, once], constant=1, depth=1)["score"].to_list() == [1.0]  # 1/2 + 1/2


@given(st.lists(st.permutations("abcdefgh").map(lambda docs: docs[:5]), min_size=2, max_size=4), st.integers(1, 100))
def test_fusion_equals_exact_arithmetic_whatever_the_members_order(lists: list[list[str]], constant: int) -> None:
    exact: dict[str, Fraction] = {}
    for docs in lists:
        for rank, doc in enumerate(docs, start=1):
            exact[doc] = exact.get(doc, Fraction(0)) + Fraction(1, constant + rank)
    order = sorted(((np.float32(float(score)), doc) for doc, score in exact.items()), reverse=True)
    for members in permutations([ranking(q=" ".join(docs)) for docs in lists]):
        fused = fuse_rankings(members, constant=constant, depth=4)
        assert list(zip(fused["score"], fused["doc_id"], strict=True)) == order[:4]


def scored(**lists: dict[str, float]) -> pl.DataFrame:
    """query -> its documents and their scores."""
    rows = [(query, doc, score) for query, docs in lists.items() for doc, score in docs.items()]
    schema = {"query_id": pl.String, "doc_id": pl.String, "score": pl.Float32}
    return rank_by_score(pl.DataFrame(rows, schema=schema, orient="row"))


def test_a_weighted_fusion_adds_normalised_scores() -> None:
    # first: 10, 6, 2 -> 1, .5, 0, weight .25. second: 0.5, 0.25, 0 -> 1, .5, 0, weight 2.
    first, second = scored(q={"a": 10, "b": 6, "c": 2}), scored(q={"d": 0.5, "b": 0.25, "c": 0})
    fused = fuse_rankings([first, second], constant=60, depth=3, weights=(0.25, 2))
    assert fused.rows() == [("q", "d", 2.0, 1), ("q", "b", 1.125, 2), ("q", "a", 0.25, 3)]  # c, 0, is beyond the depth
    assert fused.schema == {"query_id": pl.String, "doc_id": pl.String, "score": pl.Float32, "rank": pl.UInt32}


def test_the_scale_of_a_list_is_its_querys_own() -> None:
    first, second = scored(p={"a": 100, "b": 0}, q={"a": 2, "b": 1}), scored(p={"b": 1, "c": 0}, q={"b": 9, "a": 3})
    fused = fuse_rankings([first, second], constant=60, depth=3, weights=(1, 0.5))
    assert fused.select("query_id", "doc_id", "score").rows() == [
        *[("p", "a", 1.0), ("p", "b", 0.5), ("p", "c", 0.0)],
        *[("q", "a", 1.0), ("q", "b", 0.5)],
    ]


def test_the_only_document_of_a_list_counts_as_its_best() -> None:
    fused = fuse_rankings([scored(q={"a": 3}), scored(q={"b": 7, "c": 7})], constant=60, depth=3, weights=(3, 2))
    assert fused.select("doc_id", "score").rows() == [("a", 3.0), ("c", 2.0), ("b", 2.0)]


LISTS = st.lists(st.dictionaries(st.sampled_from("abcdef"), st.integers(-8, 8), min_size=1), min_size=2, max_size=4)


@given(LISTS, st.lists(st.sampled_from([0.1, 0.3, 1.0, 2.5]), min_size=4, max_size=4))
def test_the_order_of_members_and_the_scale_of_their_scores_change_nothing(
    lists: list[dict[str, int]], weights: list[float]
) -> None:
    members = list(zip([scored(q=dict(docs)) for docs in lists], weights, strict=False))
    again = [(scored(q={d: 4 * s + 32 for d, s in docs.items()}), w) for docs, w in zip(lists, weights, strict=False)]
    expected = fuse_rankings([m for m, _ in members], 60, 10, [w for _, w in members])
    for other in (members[::-1], again):
        assert fuse_rankings([m for m, _ in other], 60, 10, [w for _, w in other]).equals(expected)


def test_only_a_fusion_asks_several_retrievers() -> None:
    grid = GridPlan(fusions={"both": FusionPlan(of=("base", "bm25"))})
    assert members_of(grid, "both") == ("base", "bm25")
    assert members_of(grid, "base") == ("base",)


def row(*values: float) -> np.ndarray:
    return np.array([values], dtype=np.float32)


ALL = np.ones((1, 3), dtype=bool)


def test_weight_one_returns_the_reranker_untouched() -> None:
    reranked = row(0.1, -3.0, 1e-9)
    assert mix_scores(row(1, 2, 3), reranked, 1, ALL) is reranked


def test_scores_are_min_max_normalised_over_the_listed_candidates() -> None:
    # retriever 2, 4, 6 -> 0, .5, 1; reranker -1, 3, 1 -> 0, 1, .5; weight .25: .75*r + .25*k
    mixed = mix_scores(row(2, 4, 6), row(-1, 3, 1), 0.25, ALL)
    assert np.allclose(mixed, [[0.0, 0.75 * 0.5 + 0.25, 0.75 + 0.25 * 0.5]], atol=1e-7)


def test_candidates_beyond_the_depth_do_not_move_the_scale() -> None:
    listed = np.array([[True, True, False]])
    mixed = mix_scores(row(2, 4, 600), np.array([[1, 3, np.nan]], dtype=np.float32), 0.5, listed)
    assert np.allclose(mixed[0, :2], [0.0, 1.0])


def test_a_constant_list_leaves_the_other_score_to_decide() -> None:
    mixed = mix_scores(row(5, 5, 5), row(0, 1, 2), 0.5, ALL)
    assert np.allclose(mixed, [[0, 0.25, 0.5]])


def test_a_query_without_candidates_is_no_error() -> None:
    assert mix_scores(row(1, 1, 1), row(1, 1, 1), 0.5, np.zeros((1, 3), dtype=bool)).shape == (1, 3)
