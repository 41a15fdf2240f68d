"""Mixing scores: hand-made numbers."""

import numpy as np

from mixstage.evaluation.fusion import mix_scores


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
