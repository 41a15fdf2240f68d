"""Feedback as judgements: conflicts, what is left out, what a collection becomes."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from mixstage.corpus.application import Reading, read_application
from mixstage.corpus.collection import Collection
from mixstage.corpus.tables import Corpus
from mixstage.release.trials.feedback import Opinions, merge, opinions
from mixstage.release.trials.observed import Feedback, Impression, Kind

NOW = datetime.now(UTC)


def shown(query: str, *documents: str) -> Impression:
    return Impression(
        request_id="r",
        application="app",
        number=1,
        role="live",
        user="u",
        query=query,
        documents=tuple((document, None) for document in documents),
        created=NOW,
    )


def feedback(document: str, kind: Kind, user: str | None = "ada") -> Feedback:
    return Feedback(request_id="r", application="app", document_id=document, kind=kind, user=user, created=NOW)


def grade(*told: tuple[str | None, Kind]) -> int:
    """Of one document, by (user, kind), oldest first."""
    said = opinions((feedback("d1", kind, user), shown("rent", "d1")) for user, kind in told)
    return said.grades["rent", "d1"]


def test_kinds_have_grades() -> None:
    assert [grade(("ada", "relevant")), grade(("ada", "click")), grade(("ada", "not_relevant"))] == [2, 1, 0]


def test_of_one_user_the_newest_mark_counts_and_a_click_never_undoes_a_mark() -> None:
    assert grade(("ada", "relevant"), ("ada", "not_relevant")) == 0
    assert grade(("ada", "not_relevant"), ("ada", "relevant")) == 2
    assert grade(("ada", "click"), ("ada", "not_relevant")) == 0
    assert grade(("ada", "relevant"), ("ada", "click")) == 2


def test_of_several_users_the_majority_counts_and_of_a_tie_the_lower_grade() -> None:
    assert grade(("ada", "relevant"), ("bob", "relevant"), ("eve", "not_relevant")) == 2
    assert grade(("ada", "relevant"), ("bob", "not_relevant")) == 0
    many: list[tuple[str | None, Kind]] = [("ada", "not_relevant")] * 9
    assert grade(*many, ("bob", "click"), ("eve", "click")) == 1  # one user has one vote
    assert grade((None, "relevant"), (None, "not_relevant")) == 0  # without a user a request votes once


def test_queries_of_the_same_words_are_one() -> None:
    said = opinions(
        [
            (feedback("d1", "click"), shown("Rent  due", "d1")),
            (feedback("d2", "relevant"), shown("rent due", "d1", "d2")),
        ]
    )
    assert said.queries == {"rent due": "Rent due"}
    assert said.grades == {("rent due", "d1"): 1, ("rent due", "d2"): 2}


def test_feedback_that_belongs_to_nothing_is_left_out_and_counted() -> None:
    said = opinions([(feedback("d1", "click"), None), (feedback("d9", "click"), shown("rent", "d1"))])
    assert said.grades == {}
    assert said.dropped == {"its request is not known": 1, "its request did not show the document": 1}


@pytest.fixture
def reading(beir: Any, make_corpus: Any) -> Reading:
    corpus: Corpus = make_corpus([{"_id": f"d{n}", "text": f"text {n}"} for n in range(1, 6)])
    queries = [{"_id": f"q{n}", "text": f"Question {n}"} for n in range(1, 5)]
    splits = {"train": [("q1", "d1", 1)], "dev": [("q2", "d2", 1)], "test": [("q3", "d3", 1)]}
    return read_application(Collection.open(str(beir("app", queries=queries, **splits))), corpus)


def said(grades: dict[tuple[str, str], int]) -> Opinions:
    return Opinions(queries={words: words for words, _ in grades}, grades=grades, dropped=Counter())


def test_feedback_joins_train_and_everything_else_stays(reading: Reading) -> None:
    merged = merge(
        reading, said({("rent", "d4"): 2, ("question 1", "d2"): 0, ("question 4", "d1"): 1}), ["d1", "d2", "d4"]
    )
    (rent,) = [query for query, text in merged.queries.items() if text == "rent"]
    (four,) = [query for query, text in merged.queries.items() if text == "question 4"]
    assert rent.startswith("feedback-") and len(rent) == len("feedback-") + 16
    assert merged.learnt == {(rent, "d4"): 2, ("q1", "d2"): 0, (four, "d1"): 1}
    assert merged.grades["train"] == {("q1", "d1"): 1, **merged.learnt}
    assert (merged.grades["dev"], merged.grades["test"]) == ({("q2", "d2"): 1}, {("q3", "d3"): 1})
    assert reading.grades["train"] == {("q1", "d1"): 1}  # untouched


def test_what_would_leak_or_contradict_is_left_out_and_counted(reading: Reading) -> None:
    told = said({("question 2", "d1"): 2, ("question 3", "d1"): 2, ("question 1", "d1"): 0, ("rent", "gone"): 2})
    merged = merge(reading, told, ["d1"])
    assert merged.learnt == {} and merged.grades == reading.grades
    assert merged.dropped == {
        "its query is one of dev or test": 2,
        "the collection judges the pair itself": 1,
        "the corpus has the document no longer": 1,
    }


def test_what_an_earlier_export_brought_is_made_anew(reading: Reading) -> None:
    once = merge(reading, said({("rent", "d4"): 2}), ["d4", "d5"])
    exported = replace(reading, queries=once.queries, grades=once.grades)
    again = merge(exported, said({("rent", "d4"): 0, ("rent", "d5"): 1}), ["d4", "d5"])
    assert sorted(again.learnt.values()) == [0, 1]
    assert set(again.grades["train"]) == {("q1", "d1"), *again.learnt}
