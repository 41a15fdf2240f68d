"""BM25 against Lucene's formula worked out by hand."""

import math
from pathlib import Path

import numpy as np
import pytest

from mixstage.errors import InputError
from mixstage.models.lexical import Lexical

# Lengths 2, 3, 4: 3 on average. No stop words, no endings to cut.
DOCUMENTS = ["deposit landlord", "deposit deposit rent", "rent tenant contract roof"]


def part(tf: int, length: int, df: int) -> float:
    """idf x tf / (tf + k1 (1 - b + b length / average)), idf = ln(1 + (N - df + 0.5) / (df + 0.5)); k1 1.2, b 0.75."""
    idf = math.log(1 + (3 - df + 0.5) / (df + 0.5))
    return idf * tf / (tf + 1.2 * (0.25 + 0.75 * length / 3))


def scores_by_row(index: Lexical, query: str) -> dict[int, float]:
    scores, rows = index.search([query], 10)
    return {int(row): float(score) for row, score in zip(rows[0], scores[0], strict=True) if row >= 0}


def test_one_term_scores_as_on_paper() -> None:
    # idf = ln 1.6 = 0.470004; row 0: 1 / (1 + 1.2 x 0.75) = 0.526316; row 1: 2 / (2 + 1.2) = 0.625
    found = scores_by_row(Lexical.build(DOCUMENTS), "deposit")
    assert found == pytest.approx({0: 0.247370, 1: 0.293752}, abs=1e-6)


def test_terms_add_up() -> None:
    found = scores_by_row(Lexical.build(DOCUMENTS), "rent of the roof")
    assert found == pytest.approx({1: part(1, 3, 2), 2: part(1, 4, 2) + part(1, 4, 1)}, abs=1e-6)


def test_words_are_stemmed_folded_and_stop_words_do_not_count() -> None:
    index = Lexical.build(["The Deposits and LANDLORDS", "deposit deposit rents", "a rent, tenants: contracts, roof!"])
    assert scores_by_row(index, "the DEPOSIT") == pytest.approx({0: 0.247370, 1: 0.293752}, abs=1e-6)


def test_hits_are_in_descending_order_of_score() -> None:
    scores, rows = Lexical.build(DOCUMENTS).search(["deposit", "roof rent"], 2)
    assert rows.tolist() == [[1, 0], [2, 1]]
    assert (np.diff(scores, axis=1) <= 0).all()
    assert (scores.dtype, rows.dtype) == (np.float32, np.int64)


@pytest.mark.parametrize("query", ["submarine", "the of and", "", "?"])
def test_a_query_that_shares_no_term_finds_nothing(query: str) -> None:
    _, rows = Lexical.build(DOCUMENTS).search([query], 3)
    assert rows.tolist() == [[-1, -1, -1]]


@pytest.mark.parametrize("nothing", ["submarine", "the of and", ""])
def test_a_query_without_hits_does_not_disturb_its_neighbours(nothing: str) -> None:
    index = Lexical.build(DOCUMENTS)
    scores, rows = index.search(["deposit", nothing, "roof rent"], 3)
    alone = [index.search([query], 3) for query in ("deposit", "roof rent")]
    np.testing.assert_array_equal(rows[[0, 2]], np.vstack([r for _, r in alone]))
    np.testing.assert_array_equal(scores[[0, 2]], np.vstack([s for s, _ in alone]))
    assert rows[1].tolist() == [-1, -1, -1]


def test_no_more_documents_are_given_than_there_are() -> None:
    scores, rows = Lexical.build(DOCUMENTS).search(["deposit"], 50)
    assert scores.shape == rows.shape == (1, 3)


def test_no_queries_give_no_rows() -> None:
    scores, rows = Lexical.build(DOCUMENTS).search([], 2)
    assert scores.shape == rows.shape == (0, 2)


def test_a_saved_index_answers_as_before(tmp_path: Path) -> None:
    built = Lexical.build(DOCUMENTS)
    built.save(tmp_path)
    loaded = Lexical.load(tmp_path)
    for one, other in zip(
        built.search(["deposit", "rent roof"], 3), loaded.search(["deposit", "rent roof"], 3), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_documents_without_any_word_are_indexed_and_never_found() -> None:
    assert set(scores_by_row(Lexical.build([*DOCUMENTS, "", "the"]), "deposit")) == {0, 1}


def test_a_pair_by_itself_has_no_bm25_score() -> None:
    assert np.isnan(Lexical.build(DOCUMENTS).score(["deposit"], np.array([[0, 1]]))).tolist() == [[True, True]]


def test_texts_without_a_word_to_index_are_refused() -> None:
    with pytest.raises(InputError, match="no word in 2 documents"):
        Lexical.build(["the of and", "... !"])
