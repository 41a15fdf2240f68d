"""Operating points: recall curves by hand and against the grid's measure, and the depth that a target takes."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mixstage.corpus.prepare import Prepared
from mixstage.corpus.tables import Application
from mixstage.evaluation.board import build_board, retrieved_ranks
from mixstage.evaluation.grid import Grid
from mixstage.evaluation.rankings import Ranking
from mixstage.measures.measures import Judged, parse_measure
from mixstage.plan.load import parse_plan
from mixstage.plan.schema import Plan
from mixstage.progress import Progress
from mixstage.selection.operating import operating_points, recall_curve, smallest_depth
from mixstage.store.store import Artifact, Store


def ranking(lists: dict[str, str]) -> pl.DataFrame:
    """query -> its documents, a letter each, best first."""
    rows = [(query, doc, -float(rank), rank) for query, docs in lists.items() for rank, doc in enumerate(docs, 1)]
    schema = {"query_id": pl.String, "doc_id": pl.String, "score": pl.Float32, "rank": pl.UInt32}
    return pl.DataFrame(rows, schema=schema, orient="row")


def judgements(grades: dict[str, dict[str, int]]) -> pl.DataFrame:
    rows = [(query, doc, grade) for query, judged in grades.items() for doc, grade in judged.items()]
    return pl.DataFrame(rows, schema={"query_id": pl.String, "doc_id": pl.String, "grade": pl.Int16}, orient="row")


def test_a_curve_by_hand() -> None:
    judged = judgements({"q1": {"a": 2, "b": 1, "c": 0}, "q2": {"d": 1}, "q3": {"a": 0}, "q4": {"a": 1}})
    found = recall_curve(ranking({"q1": "cab", "q2": "dab", "q3": "a", "q5": "a"}), judged, 4)
    # four queries: q2 found at 1, q1 half at 2 and whole at 3, q3 has nothing relevant, q4 no list
    assert found == pytest.approx([1 / 4, 1.5 / 4, 2 / 4, 2 / 4])


def test_a_curve_is_recall_at_every_depth() -> None:
    generator = np.random.default_rng(0)
    letters = list("abcdefghijkl")
    lists = {f"q{i}": "".join(generator.permutation(letters)[: generator.integers(1, 11)]) for i in range(20)}
    grades = {
        f"q{i}": {str(d): int(generator.integers(0, 3)) for d in generator.permutation(letters)[:4]} for i in range(20)
    }
    listed, judged = ranking(lists), judgements(grades)
    board = build_board({"r": listed}, listed.select("query_id", "doc_id").head(0), {}, judged)
    ranks = Judged(ranks=retrieved_ranks(board, "r"), grades=board.grades, returned=np.zeros(20, dtype=np.int32))
    expected = [parse_measure(f"R@{depth}").values(ranks).mean() for depth in range(1, 11)]
    assert recall_curve(listed, judged, 10) == pytest.approx(expected)


def test_the_smallest_depth_is_the_first_that_reaches_the_target() -> None:
    curve = np.array([0.1, 0.4, 0.4, 0.1 + 0.2 + 0.4])
    assert [smallest_depth(curve, target) for target in (0.05, 0.4, 0.41, 0.7, 0.71)] == [1, 2, 4, 4, None]


@pytest.fixture
def plan() -> Plan:
    points: dict[str, Any] = {"quick": 0.5, "deep": 1.0}
    return parse_plan(
        {
            "name": "t",
            "corpora": {"c": {"source": "x"}},
            "applications": {"a": {"corpus": "c", "source": "x", "operating_points": points}},
            "grid": {"depths": [1], "ranking_depth": 4, "fusions": {"both": {"of": ["base", "bm25"]}}},
        }
    )


@pytest.fixture
def prepared(plan: Plan, store: Store) -> Prepared:
    draft = store.draft(Application, {"what": "application"})
    grades = judgements({"d1": {"a": 1}, "d2": {"b": 1}})
    test = judgements({"t1": {"a": 1}, "t2": {"b": 1}})
    splits = [frame.with_columns(split=pl.lit(split)) for split, frame in (("dev", grades), ("test", test))]
    draft.table("judgements.parquet", pl.concat(splits).to_arrow())
    return Prepared(plan=plan, store=store, progress=Progress(), corpora={}, applications={"a": draft.publish({})})


def grid_of(store: Store, **lists: dict[str, str]) -> Artifact:
    made = {}
    for name, listed in lists.items():
        draft = store.draft(Ranking, {"what": name, "lists": listed})
        draft.table("ranking.parquet", ranking(listed).to_arrow())
        made[f"a/{name}"] = draft.publish({}).digest
    return store.draft(Grid, {"what": "grid", "rankings": made}).publish({})


def test_dev_sets_the_depth_and_the_retriever_and_test_tells_what_it_keeps(
    plan: Plan, store: Store, prepared: Prepared
) -> None:
    base = {"d1": "xay", "d2": "xyb", "t1": "axy", "t2": "xyb"}  # dev .0 .5 1, test .5 .5 1
    bm25 = {"d1": "xay", "d2": "xyzb", "t1": "xyza", "t2": "xb"}  # dev .0 .5 .5 1, test 0 .5 .5 1
    grid = grid_of(store, both=base, base=base, bm25=bm25)
    quick, deep = operating_points(plan, store, prepared, grid, "bm25") or []
    # at depth 2 all reach half: one service is less than two, and base comes first of equals
    assert asdict(quick) == {
        "application": "a",
        "name": "quick",
        "target": 0.5,
        "retriever": "base",
        "depth": 2,
        "recall": 0.5,
        "pairs": 2,
        "recall_test": 0.5,
        "winner": "bm25",
        "winner_depth": 2,
        "winner_recall": 1.0,
    }
    assert (deep.retriever, deep.depth, deep.recall_test, deep.winner_depth) == ("base", 3, 1.0, 4)


def test_out_of_reach_names_who_comes_closest(plan: Plan, store: Store, prepared: Prepared) -> None:
    grid = grid_of(store, base={"d1": "x", "d2": "xb"}, bm25={"d1": "xyz", "d2": "xyz"})
    quick, deep = operating_points(plan, store, prepared, grid, "bm25") or []
    assert (quick.retriever, quick.depth, quick.winner_depth, quick.winner_recall) == ("base", 2, None, 0)
    assert (deep.retriever, deep.depth, deep.pairs, deep.recall) == ("base", None, None, 0.5)


def test_without_the_rankings_there_is_no_answer(plan: Plan, store: Store, prepared: Prepared, tmp_path: Path) -> None:
    grid = grid_of(store, base={"d1": "x"})
    (found,) = store.all(Ranking)
    store.delete(found)
    assert operating_points(plan, store, prepared, grid, "base") is None
