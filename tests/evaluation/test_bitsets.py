"""Ranks counted from bits: sets worked out by hand; every cell of random boards against its keys and pytrec_eval."""

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from mixstage.composition import Composition
from mixstage.evaluation.bitsets import count, pack, pack_better
from mixstage.evaluation.board import Board, evaluate_board, final_keys
from mixstage.evaluation.compositions import compositions
from mixstage.measures.measures import Judged, parse_measure, rank_keys, ranks_of_judged
from mixstage.plan.schema import GridPlan

MEASURES = [
    parse_measure(name)
    for name in ["nDCG@10", "nDCGexp@5", "RR@10", "AP", "P@3", "R@20", "Success@1", "Rprec", "Bpref", "Judged@10"]
]
GRID = compositions(GridPlan(depths=(1, 7, 40), mix=(0.3,), ranking_depth=100), ["a", "b"], ["x", "y"])


@pytest.mark.parametrize(("width", "words"), [(0, 0), (1, 1), (63, 1), (64, 1), (65, 2), (128, 2), (130, 3)])
def test_columns_are_counted_across_words(width: int, words: int) -> None:
    mask = np.zeros((2, width), dtype=bool)
    mask[1] = np.arange(width) % 2 == 0
    assert pack(mask).shape == (2, words)
    assert count(pack(mask)).tolist() == [0, (width + 1) // 2]
    assert count(pack(mask) & pack(~mask)).tolist() == [0, 0]


def test_those_with_greater_keys_are_above_a_judged_document() -> None:
    keys = np.array([[5, 9, 7, 0], [3, 4, 0, 1]], dtype=np.uint64)
    better = pack_better(keys, np.array([[0, 1], [3, -1]]))
    # 9 and 7 exceed 5, nothing exceeds 9; 3 and 4 exceed 1
    assert (better[0] == pack(np.array([[0, 1, 1, 0], [0, 0, 0, 0]], dtype=bool))).all()
    assert (better[1, 0] == pack(np.array([1, 1, 0, 0], dtype=bool))).all()


def random_board(seed: int, queries: int, width: int, slots: int) -> Board:
    """Two retrievers that list some columns each, two rerankers, few distinct scores, judged documents anywhere."""
    generator = np.random.default_rng(seed)
    shape = (queries, width)
    ordinals = np.sort(generator.permutation(5 * width)[:width]).astype(np.uint32) + np.zeros(shape, dtype=np.uint32)
    ranks, retrieved = {}, {}
    for name in ("a", "b"):
        scores = (generator.integers(-3, 4, shape) / 4).astype(np.float32)
        listed = generator.random(shape) < generator.choice([0.2, 0.9, 1.0])
        keys = np.where(listed, rank_keys(scores, ordinals), np.uint64(0))
        above = (keys[:, None, :] > keys[:, :, None]).sum(axis=2)
        ranks[name] = np.where(listed, above + 1, 0).astype(np.uint32)
        retrieved[name] = np.where(listed, scores, 0).astype(np.float32)
    places = np.array([generator.permutation(np.r_[np.arange(width), [-1] * slots])[:slots] for _ in range(queries)])
    grades = generator.integers(-2, 4, (queries, slots)).astype(np.int16)
    return Board(
        query_ids=[f"q{i}" for i in range(queries)],
        doc_ids=[],  # measures don't read them
        ordinals=ordinals,
        ranks=ranks,
        retrieved=retrieved,
        reranked={name: (generator.integers(-4, 5, shape) / 8).astype(np.float32) for name in ("x", "y")},
        judged=places.reshape(queries, slots).astype(np.int32),
        grades=grades,
    )


def from_keys(board: Board, composition: Composition) -> np.ndarray:
    """(Q, M) one composition by itself: the keys of its candidates, and the greater ones counted."""
    keys = final_keys(board, composition)
    ranks, returned = ranks_of_judged(keys, board.judged), (keys > 0).sum(axis=1).astype(np.int32)
    judged = Judged(ranks=ranks, grades=board.grades, returned=returned)
    return np.column_stack([measure.values(judged) for measure in MEASURES])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 4),
    st.sampled_from([0, 1, 5, 63, 64, 65, 130]),
    st.sampled_from([0, 1, 6]),
)
def test_every_cell_has_the_bits_that_its_keys_give(seed: int, queries: int, width: int, slots: int) -> None:
    board = random_board(seed, queries, width, slots)
    found = list(evaluate_board(board, GRID, MEASURES))
    assert [composition for composition, _ in found] == GRID
    for composition, values in found:
        assert np.array_equal(values, from_keys(board, composition))


@pytest.mark.parametrize("composition", [GRID[i] for i in (0, 5, 11, 14, 17, 20, 23, 29, 35)], ids=str)
def test_sampled_cells_equal_pytrec_eval(composition: Composition) -> None:
    board = random_board(8, 20, 90, 9)
    ((_, values),) = evaluate_board(board, [composition], [parse_measure(name) for name in ("nDCG@10", "AP", "R@5")])
    keys = final_keys(board, composition)
    for row, (judged, grades) in enumerate(zip(board.judged, board.grades, strict=True)):
        names = [f"d{column:02d}" if column >= 0 else f"gone{slot}" for slot, column in enumerate(judged)]
        qrels = {"q": {name: int(grade) for name, grade in zip(names, grades, strict=True)}}
        assert max(qrels["q"].values()) >= 0  # it would hang
        # keys as scores: float32 holds all places of 90
        places = {
            f"d{column:02d}": float(place) for place, column in enumerate(np.argsort(keys[row])) if keys[row, column]
        }
        evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "map", "recall.5"})
        answer = evaluator.evaluate({"q": places})["q"]
        assert values[row].tolist() == [answer["ndcg_cut_10"], answer["map"], answer["recall_5"]]


def test_a_candidate_without_a_score_is_our_own_mistake() -> None:
    board = random_board(1, 2, 10, 3)
    board.reranked["x"][board.ranks["a"] == 3] = np.nan
    list(evaluate_board(board, [Composition(retriever="a", depth=2, reranker="x")], MEASURES))
    with pytest.raises(AssertionError, match="a candidate was not scored"):
        list(evaluate_board(board, [Composition(retriever="a", depth=7, reranker="x")], MEASURES))
