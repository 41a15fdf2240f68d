"""The queue of pair scores: calls of equal tokens, smaller ones at the end, so that actors finish together."""

import heapq

import numpy as np
import pytest

from mixstage.pairs.scores import call_size, cut, group_costs, pair_costs, tokens_of


def slices(columns: list[list[int]], workers: int, size: int) -> list[tuple[int, int, int]]:
    parts = cut([np.array(column, dtype=np.int64) for column in columns], workers, size)
    return [(column, part.start, part.stop) for column, part in parts]


def test_a_text_costs_its_bytes_by_four_and_two_up_to_the_limit() -> None:
    # 10 bytes; 4 characters of 2 bytes; 4 of 3 bytes; none
    assert tokens_of(["abcdefghij", "éééé", "第三人撤", ""], None).tolist() == [4, 4, 5, 2]
    assert tokens_of(["a" * 400, "a" * 40], 50).tolist() == [50, 12]


def test_a_pair_costs_both_texts_up_to_the_limit() -> None:
    assert pair_costs(np.array([5, 5]), np.array([7, 60]), 64).tolist() == [12, 64]
    assert pair_costs(np.array([5]), np.array([60]), None).tolist() == [65]


def test_a_document_that_is_read_once_is_paid_once() -> None:
    assert group_costs(np.array([3, 3, 1, 1, 1]), np.array([5, 5, 7, 7, 7])).tolist() == [5, 0, 7, 0, 0]


def test_calls_are_equal_until_the_end_and_halve_there() -> None:
    # one actor, 32 a call: 30, 30, then half of the 40, 20 and 10 that are left
    assert slices([[10] * 10], 1, 32) == [(0, 0, 3), (0, 3, 6), (0, 6, 8), (0, 8, 9), (0, 9, 10)]


def test_no_call_holds_two_rerankers() -> None:
    assert slices([[10] * 4, [], [10]], 1, 32) == [(0, 0, 2), (0, 2, 3), (0, 3, 4), (2, 0, 1)]


def test_pairs_of_a_document_stay_together() -> None:
    assert slices([[5, 0, 7, 0, 0]], 1, 1) == [(0, 0, 2), (0, 2, 5)]


def test_nothing_to_score_makes_no_call() -> None:
    assert slices([[], []], 2, 100) == []


@pytest.mark.parametrize("workers", [2, 3, 7])
def test_the_last_actor_is_done_soon_after_the_others(workers: int) -> None:
    size, generator = 10_000, np.random.default_rng(workers)
    columns = [generator.integers(1, 257, 5000) for _ in range(3)]
    queue = list(cut(columns, workers, size))
    for number, column in enumerate(columns):
        covered = np.concatenate([np.arange(len(column))[part] for at, part in queue if at == number])
        np.testing.assert_array_equal(covered, np.arange(len(column)))
    busy = [0] * workers
    for number, part in queue:  # who is idle takes the next
        heapq.heapreplace(busy, busy[0] + int(columns[number][part].sum()))
    assert max(busy) - min(busy) <= size / 16 + 256


def test_a_gpu_gets_calls_as_long_in_passes() -> None:
    assert (call_size(0), call_size(0.5)) == (48 * 2048, 48 * 32768)
