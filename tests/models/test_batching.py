"""Batches: every text once, longest first, never above the budget unless a text stands alone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixstage.models.batching import CPU_BUDGET, GPU_BUDGET, budget_for, token_batches

LENGTHS = st.lists(st.integers(0, 300), max_size=60)


def test_batches_are_cut_where_the_padded_cost_would_pass_the_budget() -> None:
    # sorted: 9 7 4 4 2 1 1; 9 leaves room for one more (2 x 9 = 18), 4 for five (5 x 4 = 20)
    batches = [batch.tolist() for batch in token_batches([4, 9, 1, 4, 7, 1, 2], 20)]
    assert batches == [[1, 4], [0, 3, 6, 2, 5]]


def test_a_text_longer_than_the_budget_stands_alone() -> None:
    assert [batch.tolist() for batch in token_batches([5, 30, 25], 20)] == [[1], [2], [0]]


def test_no_texts_make_no_batch() -> None:
    assert list(token_batches([], 20)) == []


@given(LENGTHS, st.integers(1, 500))
def test_every_text_is_in_one_batch_and_no_batch_costs_more_than_the_budget(lengths: list[int], budget: int) -> None:
    batches = list(token_batches(lengths, budget))
    assert sorted(np.concatenate([[], *batches]).tolist()) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert longest == lengths[batch[0]]
        assert len(batch) == 1 or longest * len(batch) <= budget


@given(LENGTHS, st.integers(1, 500))
def test_texts_go_by_length_and_equal_ones_keep_their_order(lengths: list[int], budget: int) -> None:
    order = [int(i) for batch in token_batches(lengths, budget) for i in batch]
    assert order == sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))


def test_a_batch_is_as_full_as_the_budget_allows() -> None:
    batches = [batch.tolist() for batch in token_batches([10] * 7, 30)]
    assert [len(batch) for batch in batches] == [3, 3, 1]


def test_the_budget_is_that_of_the_device() -> None:
    assert [budget_for(device) for device in ("cpu", "cuda", "mps")] == [CPU_BUDGET, GPU_BUDGET, GPU_BUDGET]
