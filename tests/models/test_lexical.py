"""BM25 against Lucene's formula worked out by hand, and, to the bit, against bm25s' own index."""

import math
from pathlib import Path
from typing import get_args

import bm25s
import numpy as np
import pytest

from mixstage.errors import InputError
from mixstage.models.lexical import K1, B, Lexical, Statistics
from mixstage.models.words import words
from mixstage.plan.data import Language

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
    scores = scores_by_row(Lexical.build(DOCUMENTS), "deposit")
    assert scores == pytest.approx({0: 0.247370, 1: 0.293752}, abs=1e-6)


def test_terms_add_up() -> None:
    scores = scores_by_row(Lexical.build(DOCUMENTS), "rent of the roof")
    assert scores == pytest.approx({1: part(1, 3, 2), 2: part(1, 4, 2) + part(1, 4, 1)}, abs=1e-6)


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


def test_texts_without_a_word_to_index_are_refused() -> None:
    with pytest.raises(InputError, match="no word in 2 documents"):
        Lexical.build(["the of and", "... !"])


def test_statistics_count_documents_words_and_the_documents_that_hold_each() -> None:
    statistics = Statistics.of(words(DOCUMENTS, "english"))
    assert (statistics.documents, statistics.length) == (3, 9)
    assert dict(statistics.frequencies.iter_rows()) == {
        "deposit": 2, "landlord": 1, "rent": 2, "tenant": 1, "contract": 1, "roof": 1
    }  # fmt: skip
    assert statistics.frequencies_of(["roof", "submarine", "rent"]).tolist() == [1, 0, 2]


def test_statistics_of_parts_add_up_to_those_of_the_whole() -> None:
    first, second = (Statistics.of(words(part, "english")) for part in (DOCUMENTS[:1], [*DOCUMENTS[1:], ""]))
    total = first + second
    assert (total.documents, total.length) == (4, 9)
    whole = Statistics.of(words(DOCUMENTS, "english"))
    assert dict(total.frequencies.iter_rows()) == dict(whole.frequencies.iter_rows())


def test_a_part_scores_as_in_the_whole_corpus() -> None:
    # the figures of `test_one_term_scores_as_on_paper`, although the part's own average length is 2, its own df 1
    whole = Statistics.of(words(DOCUMENTS, "english"))
    first, rest = (Lexical.build(part, "english", whole) for part in (DOCUMENTS[:1], DOCUMENTS[1:]))
    assert scores_by_row(first, "deposit") == pytest.approx({0: 0.247370}, abs=1e-6)
    assert scores_by_row(rest, "deposit") == pytest.approx({0: 0.293752}, abs=1e-6)


def test_a_part_without_a_word_is_indexed_and_finds_nothing(tmp_path: Path) -> None:
    whole = Statistics.of(words(["the", *DOCUMENTS], "english"))
    Lexical.build(["the"], "english", whole).save(tmp_path)
    for index in (Lexical.load(tmp_path), Lexical.build([], "english", whole)):
        scores, rows = index.search(["deposit", "", "submarine"], 5)
        assert rows.tolist() == [[-1] * index.rows] * 3
        assert scores.shape == rows.shape


def test_a_part_of_another_corpus_is_noticed() -> None:
    with pytest.raises(AssertionError, match="another corpus"):
        Lexical.build(["submarine"], "english", Statistics.of(words(DOCUMENTS, "english")))


@pytest.mark.parametrize("seed", range(5))
def test_the_scores_are_bm25s_own_to_the_bit(seed: int) -> None:
    texts, queries = random_texts(300, 30, seed), random_texts(20, 5, seed + 100)
    plain = bm25s.BM25(method="lucene", k1=K1, b=B)
    plain.index(words(texts, "english"), show_progress=False)
    scores, rows = Lexical.build(texts).search(queries, 300)
    for query, line, found in zip(words(queries, "english"), scores, rows, strict=True):
        expected = plain.get_scores(query) if query else np.zeros(300, dtype=np.float32)
        np.testing.assert_array_equal(line[found >= 0], expected[found[found >= 0]])
        assert (found >= 0).sum() == np.count_nonzero(expected)


def random_texts(count: int, longest: int, seed: int) -> list[str]:
    """Of 60 made-up words, rare ones and common ones; some texts are empty."""
    rng = np.random.default_rng(seed)
    return [" ".join(f"word{n}" for n in np.minimum(rng.zipf(1.4, rng.integers(0, longest)), 60)) for _ in range(count)]


def test_a_loaded_index_asks_in_its_own_language(tmp_path: Path) -> None:
    Lexical.build(["租赁合同的押金", "房屋租金"], "chinese").save(tmp_path)
    loaded = Lexical.load(tmp_path)
    assert loaded.language == "chinese"
    assert set(scores_by_row(loaded, "押")) == {0}
    assert set(scores_by_row(loaded, "租")) == {0, 1}  # one character finds both: as English words neither would be


@pytest.mark.parametrize("language", sorted(set(get_args(Language)) - {"chinese-jieba"}))
def test_every_language_is_indexed_and_searched(language: Language) -> None:
    assert set(scores_by_row(Lexical.build(["abc123", "xyz789"], language), "XYZ789")) == {1}
