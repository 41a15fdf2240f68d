"""The models without weights, against numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixstage.models.hashing import HashingEncoder, HashingReranker


def test_a_text_becomes_signed_counts_of_hashed_words() -> None:
    # crc32("a") = 0xE8B7BE43: bucket 3 of 8, highest bit 1: +; crc32("b") = 0x71BEEFF9: bucket 1, highest bit 0: -
    (vector,) = HashingEncoder(8).encode(["a b, A!"], "document")
    expected = np.array([0, -1, 0, 2, 0, 0, 0, 0]) / np.sqrt(5)
    np.testing.assert_allclose(vector, expected, rtol=1e-6)
    assert vector.dtype == np.float32


@pytest.mark.parametrize("text", ["", "?!", "a b"])
def test_a_text_without_words_or_whose_words_cancel_still_has_a_direction(text: str) -> None:
    # with one bucket "a" (+1) and "b" (-1) add up to nothing
    assert HashingEncoder(1).encode([text], "query").tolist() == [[1.0]]


@given(st.lists(st.text(max_size=30), max_size=5), st.integers(1, 64))
def test_rows_have_unit_length_and_both_roles_are_alike(texts: list[str], dim: int) -> None:
    encoder = HashingEncoder(dim)
    vectors = encoder.encode(texts, "document")
    assert vectors.shape == (len(texts), dim)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(vectors, encoder.encode(texts, "query"))


def test_a_pair_scores_the_share_of_the_querys_words_less_a_price_for_length() -> None:
    queries = ["deposit landlord deposit", "deposit", "", "rent"]
    documents = ["The landlord keeps", "Deposit.", "one two", ""]
    # 1 of 2 words in 3; 1 of 1 in 1; 0 of 0 in 2; 0 of 1 in 0
    expected = [0.5 - 3e-4, 1 - 1e-4, -2e-4, 0]
    np.testing.assert_allclose(HashingReranker().score(queries, documents), expected, rtol=1e-6)


def test_unpaired_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        HashingReranker().score(["a", "b"], ["a"])
