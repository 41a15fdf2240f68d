"""What hits show of a long text."""

import re

from hypothesis import given
from hypothesis import strategies as st

from mixstage.serve.answering.snippet import LENGTH, snippet


def test_a_short_text_is_shown_whole() -> None:
    assert snippet("A tenant pays a deposit.", "deposit") == "A tenant pays a deposit."


def test_a_long_text_is_shown_around_the_first_word_that_the_query_has() -> None:
    text = "word " * 200 + "the Deposit is due. " + "more " * 200
    shown = snippet(text, "is a deposit due")
    assert shown.startswith("…word word") and shown.endswith("word…") is False
    assert 70 < shown.index("Deposit") < 90  # "the" and "is" stand in the query, too, but are short
    assert shown.endswith(" more…")


def test_without_a_match_it_is_the_beginning() -> None:
    assert snippet("word " * 200, "nothing") == "word " * 79 + "word…"


def test_short_query_words_count_if_there_are_no_longer_ones() -> None:
    assert "VAT" in snippet("word " * 200 + "VAT " + "more " * 200, "VAT")


def test_texts_without_spaces_are_cut_anywhere() -> None:
    assert snippet("法" * 1000, "租金") == "法" * (LENGTH - 1) + "…"


@given(st.text(max_size=1500), st.text(max_size=60))
def test_a_snippet_is_part_of_the_text_and_never_too_long(text: str, query: str) -> None:
    shown = snippet(text, query)
    assert len(shown) <= LENGTH
    assert shown == text or re.sub("^…|…$", "", shown) in text
