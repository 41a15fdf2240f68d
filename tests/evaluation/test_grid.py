"""The grid's arithmetic against a plain re-ranking of each composition, and the count of pairs."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mixstage.composition import Composition
from mixstage.evaluation.fusion import mix_scores
from mixstage.evaluation.grid import Board, build_board, compositions, evaluate_board, union
from mixstage.evaluation.measure_run import evaluate_run
from mixstage.evaluation.runs import read_run, write_run
from mixstage.indexing.search import rank_by_score
from mixstage.measures import parse_measure
from mixstage.plan import GridPlan

MEASURES = ["nDCG@10", "RR@10", "R@5", "R@20", "AP", "P@3", "Success@1"]
QUERIES = [f"q{i}" for i in range(7)]
DOCUMENTS = ["9", "10", "a", "Z", "é", *(f"d{i:02d}" for i in range(40))]


@pytest.fixture(scope="module")
def rankings() -> dict[str, pl.DataFrame]:
    generator = np.random.default_rng(3)
    found = {}
    for name in ("base", "robust", "bm25"):
        rows = [
            (query, str(document), float(score))
            for query in QUERIES[:6]  # q6 finds nothing
            for document, score in zip(
                generator.permutation(DOCUMENTS)[:25], generator.integers(0, 9, 25) / 8, strict=True
            )  # many ties
        ]
        frame = pl.DataFrame(
            rows, schema={"query_id": pl.String, "doc_id": pl.String, "score": pl.Float32}, orient="row"
        )
        found[name] = rank_by_score(frame)
    return found


@pytest.fixture(scope="module")
def judgements() -> pl.DataFrame:
    generator = np.random.default_rng(4)
    rows = [
        (query, str(document), int(grade))
        for query in QUERIES
        for document, grade in zip(generator.permutation(DOCUMENTS)[:6], [2, 1, 1, 0, 2, 1], strict=True)
    ]
    return pl.DataFrame(rows, schema={"query_id": pl.String, "doc_id": pl.String, "grade": pl.Int16}, orient="row")


@pytest.fixture(scope="module")
def scores(rankings: dict[str, pl.DataFrame]) -> tuple[pl.DataFrame, dict[str, np.ndarray]]:
    pairs = union(rankings, 12)
    generator = np.random.default_rng(5)
    return pairs, {name: (generator.integers(-6, 6, len(pairs)) / 4).astype(np.float32) for name in ("refine", "base")}


@pytest.fixture(scope="module")
def board(
    rankings: dict[str, pl.DataFrame], scores: tuple[pl.DataFrame, dict[str, np.ndarray]], judgements: pl.DataFrame
) -> Board:
    return build_board(rankings, *scores, judgements)


GRID = compositions(
    GridPlan(depths=(4, 12), mix=(0.25,), ranking_depth=25), ["base", "robust", "bm25"], ["refine", "base"]
)


def test_the_grid_has_every_combination_once() -> None:
    # bare: 3 retrievers x depths 4, 12, 25; reranked: 3 x 2 depths x 2 rerankers x mixes .25 and 1
    assert len(GRID) == len(set(GRID)) == 3 * 3 + 3 * 2 * 2 * 2
    assert "retriever:robust@12 > 0.25*reranker:refine@10" in map(str, GRID)
    assert "bm25@25 > none@10" in map(str, GRID)


def plain_run(
    composition: Composition,
    rankings: dict[str, pl.DataFrame],
    scores: tuple[pl.DataFrame, dict[str, np.ndarray]],
) -> dict[str, dict[str, float]]:
    """What a composition answers, the long way round: one query and one list at a time."""
    pairs, columns = scores
    known = {}
    if composition.reranker != "none":
        known = {row: s for row, s in zip(pairs.iter_rows(), columns[composition.reranker], strict=True)}
    run = {}
    for query in QUERIES:
        top = rankings[composition.retriever].filter(
            (pl.col("query_id") == query) & (pl.col("rank") <= composition.depth)
        )
        if top.is_empty():
            continue
        first = top["score"].to_numpy()[None, :]
        final = first
        if composition.reranker != "none":
            second = np.array([[known[query, document] for document in top["doc_id"]]], dtype=np.float32)
            final = mix_scores(first, second, composition.mix, np.ones_like(first, dtype=bool))
        run[query] = dict(zip(top["doc_id"], map(float, final[0]), strict=True))
    return run


@pytest.mark.parametrize("composition", GRID, ids=str)
def test_every_cell_equals_the_exported_run_measured_alone(
    composition: Composition,
    board: Board,
    rankings: dict[str, pl.DataFrame],
    scores: tuple[pl.DataFrame, dict[str, np.ndarray]],
    judgements: pl.DataFrame,
    tmp_path: Path,
) -> None:
    write_run(tmp_path / "run.trec", plain_run(composition, rankings, scores))
    qrels: dict[str, dict[str, int]] = {}
    for query, document, grade in judgements.iter_rows():
        qrels.setdefault(query, {})[document] = grade
    measures = [parse_measure(name) for name in MEASURES]
    expected = evaluate_run(read_run(tmp_path / "run.trec"), qrels, measures, 1)["per_query"]
    ((_, values),) = evaluate_board(board, [composition], measures)
    for row, query in enumerate(board.query_ids):
        assert {m: values[row, i] for i, m in enumerate(MEASURES)} == expected[query]


def test_the_union_holds_each_candidate_once() -> None:
    def ranking(*documents: str) -> pl.DataFrame:
        rows = [("q", document, float(-i)) for i, document in enumerate(documents)]
        return rank_by_score(
            pl.DataFrame(rows, schema={"query_id": pl.String, "doc_id": pl.String, "score": pl.Float32}, orient="row")
        )

    found = union({"a": ranking("1", "2", "3"), "b": ranking("2", "4", "1")}, depth=2)
    assert found.rows() == [("q", "1"), ("q", "2"), ("q", "4")]  # 1, 2 of a; 2, 4 of b
