"""`measure` and `compare`: what a Python user gives, paths or dictionaries or lists, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixstage.errors import InputError
from mixstage.measures.compare_runs import compare
from mixstage.measures.one_run import measure

QRELS = {"q1": {"d2": 1}, "q2": {"d1": 2, "d9": 1}}
SCORES = {"q1": {"d7": 0.9, "d2": 0.4}, "q2": {"d1": 3.0, "d3": 1.0}}
LISTS = {"q1": ["d7", "d2"], "q2": ["d1", "d3"]}
# RR: q1's document is second, q2's first. R@10: all of q1's, one of q2's two.
EXPECTED = {
    "per_query": {"q1": {"RR@10": 0.5, "R@10": 1.0}, "q2": {"RR@10": 1.0, "R@10": 0.5}},
    "mean": {"RR@10": 0.75, "R@10": 0.75},
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    lines = [f"{query} Q0 {doc} 0 {score} t\n" for query, row in SCORES.items() for doc, score in row.items()]
    (tmp_path / "run.trec").write_text("".join(lines))
    (tmp_path / "run.json").write_text('{"mteb_model_meta": {}, "default": {"dev": {}, "test": {"q2": {"d1": 1}}}}')
    grades = [f"{query} 0 {doc} {grade}\n" for query, row in QRELS.items() for doc, grade in row.items()]
    (tmp_path / "qrels").write_text("".join(grades))
    return {path.name: path for path in tmp_path.iterdir()}


@pytest.mark.parametrize("run", [SCORES, LISTS], ids=["scores", "lists"])
def test_scores_and_lists_of_documents_are_measured_alike(run: Any) -> None:
    assert measure(run, QRELS, ["RR@10", "R@10"]) == EXPECTED


def test_files_are_measured_as_dictionaries_are(files: dict[str, Path]) -> None:
    assert measure(files["run.trec"], str(files["qrels"]), ["RR@10", "R@10"]) == EXPECTED
    assert measure(SCORES, files["qrels"], ["RR@10", "R@10"]) == EXPECTED


def test_a_split_of_saved_predictions_is_named(files: dict[str, Path]) -> None:
    assert measure(files["run.json"], QRELS, "RR", split="test")["mean"] == {"RR": 0.5}


def test_one_measure_is_a_name_and_the_relevance_level_is_passed_on() -> None:
    assert measure(SCORES, QRELS, "RR", rel_level=2)["per_query"] == {"q1": {"RR": 0.0}, "q2": {"RR": 1.0}}


def test_grades_may_be_whole_numbers_of_numpy() -> None:
    assert measure({"q": ["a"]}, {"q": {"a": np.int64(1)}}, "P@1")["mean"] == {"P@1": 1.0}


@pytest.mark.parametrize(
    ("run", "qrels", "message"),
    [
        ({"q": ["a", "b", "a"]}, {"q": {"a": 1}}, "query q: document a stands twice in the ranking"),
        ({"q": ["a"]}, {"q": {"a": 0.5}}, "query q, document a: grade 0.5; give a whole number up to 32767"),
        ({"q": ["a"]}, {"q": {"a": 40_000}}, "query q, document a: grade 40000"),
        ({"q": ["a"]}, {"q": {"a": -1}}, "qrels has no query with a grade of 0 or more"),
        ({"q": {"a": float("nan")}}, {"q": {"a": 1}}, "a score is NaN"),
        ("/absent", {"q": {"a": 1}}, "/absent cannot be read"),
    ],
)
def test_what_cannot_be_measured_is_refused(run: Any, qrels: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure(run, qrels, "P@1")


def test_runs_are_compared_only_by_the_same_judgements_and_measures() -> None:
    first = measure(LISTS, QRELS, ["RR", "P@1"])
    others = [measure(LISTS, QRELS, ["P@1", "RR"]), measure(LISTS, {"q1": {"d2": 1}}, ["RR", "P@1"])]
    for other in others:
        with pytest.raises(InputError, match=r"run 3 has .* run 1 has RR, P@1 of 2: measure all by the same"):
            compare([first, first, other])
    assert compare([first]) == []
