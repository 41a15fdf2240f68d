"""Exported compositions: read back and measured alone, every one has the grid's values."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mixstage.composition import Composition
from mixstage.errors import InputError
from mixstage.evaluation.export import final_run, read_predictions, write_predictions
from mixstage.evaluation.grid import Board, build_board, compositions, evaluate_board, union
from mixstage.evaluation.measure_run import evaluate_run
from mixstage.evaluation.runs import Qrels, read_run, write_run
from mixstage.indexing.search import rank_by_score
from mixstage.measures import parse_measure
from mixstage.plan import GridPlan

MEASURES = [parse_measure(name) for name in ("nDCG@10", "RR@10", "R@5", "AP", "Bpref", "Judged@10")]
GRID = compositions(GridPlan(depths=(3, 8), mix=(0.4,), ranking_depth=12), ["base", "bm25"], ["refine"])
QRELS: Qrels = {
    "q1": {"d3": 2, "é": 1, "10": 0},
    "q2": {"d1": 1, "gone": 3, "9": -1},
    "q3": {"d5": 1},  # finds nothing
}


def make_board() -> Board:
    generator = np.random.default_rng(11)
    documents = ["9", "10", "Z", "é", *(f"d{i}" for i in range(12))]
    rankings = {}
    for name in ("base", "bm25"):
        rows = [
            (query, str(document), float(score))
            for query in ("q1", "q2")
            for document, score in zip(
                generator.permutation(documents)[:12], generator.integers(0, 7, 12) / 3, strict=True
            )
        ]
        schema = {"query_id": pl.String, "doc_id": pl.String, "score": pl.Float32}
        rankings[name] = rank_by_score(pl.DataFrame(rows, schema=schema, orient="row"))
    pairs = union(rankings, 8)
    scores = {"refine": (generator.integers(-9, 9, len(pairs)) / 7).astype(np.float32)}
    rows = [(query, document, grade) for query, grades in QRELS.items() for document, grade in grades.items()]
    schema = {"query_id": pl.String, "doc_id": pl.String, "grade": pl.Int16}
    return build_board(rankings, pairs, scores, pl.DataFrame(rows, schema=schema, orient="row"))


BOARD = make_board()


@pytest.mark.parametrize("composition", GRID, ids=str)
def test_a_run_and_predictions_read_back_measure_what_the_grid_says(composition: Composition, tmp_path: Path) -> None:
    run = final_run(BOARD, composition)
    write_run(tmp_path / "run.trec", run)
    write_predictions(tmp_path / "predictions.json", {"test": run}, str(composition), "r1")
    ((_, values),) = evaluate_board(BOARD, [composition], MEASURES)
    expected = {
        query: {str(measure): values[row, m] for m, measure in enumerate(MEASURES)}
        for row, query in enumerate(BOARD.query_ids)
    }
    for again in (read_run(tmp_path / "run.trec"), read_predictions(tmp_path / "predictions.json", "test")):
        assert again == run
        assert evaluate_run(again, QRELS, MEASURES)["per_query"] == expected


def test_a_run_holds_the_candidates_with_the_scores_that_order_them() -> None:
    run = final_run(BOARD, Composition(retriever="base", depth=3, reranker="none"))
    assert set(run) == {"q1", "q2"} and [len(ranking) for ranking in run.values()] == [3, 3]
    assert set(final_run(BOARD, Composition(retriever="base", depth=3, reranker="oracle"))["q1"].values()) <= {
        -1,
        0,
        1,
        2,
    }


def test_predictions_lie_as_mteb_saves_them(tmp_path: Path) -> None:
    path = tmp_path / "predictions.json"
    write_predictions(path, {"dev": {"q": {"é": 0.5}}, "test": {}}, "bm25@20 > none@10", "abc")
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "mteb_model_meta": {"model_name": "bm25@20 > none@10", "revision": "abc"},
        "default": {"dev": {"q": {"é": 0.5}}, "test": {}},
    }
    assert read_predictions(path, "dev") == {"q": {"é": 0.5}} and read_predictions(path, "test") == {}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "is no JSON"),
        ("[]", "has no subset 'default': there are none"),
        ('{"mteb_model_meta": {}, "en": {}}', "has no subset 'default': there are en"),
        ('{"default": {"train": {}, "dev": {}}}', "has no split 'test': there are train, dev"),
        ('{"default": {"test": []}}', "list where queries were expected"),
        ('{"default": {"test": {"q": 1}}}', "query q: int where documents were expected"),
        ('{"default": {"test": {"q": {"d": "1"}}}}', "query q, document d: score '1' is no number"),
        ('{"default": {"test": {"q": {"d": true}}}}', "query q, document d: score True is no number"),
        (
            '{"default": {"test": {"q": {"d": 1, "e": 2, "d": 3}}}}',
            "'d' stands twice in one object, with 1 and 3; keep",
        ),
        ('{"default": {"test": {"q": {}, "q": {}}}}', "'q' stands twice"),
        ('{"default": {"test": {"q": {"d": NaN}}}}', "query q, document d: score NaN has no rank"),
    ],
)
def test_predictions_that_cannot_be_trusted_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "predictions.json"
    path.write_text(content)
    with pytest.raises(InputError) as refusal:
        read_predictions(path, "test")
    assert str(path) in str(refusal.value) and message in str(refusal.value)


def test_predictions_that_cannot_be_written_or_found_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="split test, query q, document d: score NaN"):
        write_predictions(tmp_path / "p.json", {"test": {"q": {"d": float("nan")}}}, "m", "r")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match=r"absent cannot be read \(No such file"):
        read_predictions(tmp_path / "absent", "test")
