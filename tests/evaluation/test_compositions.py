"""The grid's arithmetic against a plain re-ranking of each composition, and the count of pairs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mixstage.composition import Composition
from mixstage.errors import PlanError
from mixstage.evaluation.board import Board, build_board, evaluate_board, final_keys
from mixstage.evaluation.compositions import compositions, union
from mixstage.evaluation.fusion import mix_scores
from mixstage.index.search import rank_by_score
from mixstage.measures.measures import parse_measure
from mixstage.measures.one_run import evaluate_run
from mixstage.measures.trec import read_run, write_run
from mixstage.plan.load import parse_plan
from mixstage.plan.schema import GridPlan
from mixstage.selection.choose import read_values

MEASURES = ["nDCG@10", "RR@10", "R@5", "R@20", "AP", "P@3", "Success@1"]
QUERIES = [f"q{i}" for i in range(7)]
DOCUMENTS = ["9", "10", "a", "Z", "é", *(f"d{i:02d}" for i in range(40))]


@pytest.fixture(scope="module")
def rankings() -> dict[str, pl.DataFrame]:
    generator = np.random.default_rng(3)
    frames = {}
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
        frames[name] = rank_by_score(frame)
    return frames


@pytest.fixture(scope="module")
def judgements() -> pl.DataFrame:
    generator = np.random.default_rng(4)
    rows = [
        (query, str(document), int(grade))
        for query in QUERIES
        for document, grade in zip(generator.permutation(DOCUMENTS)[:7], [2, 1, 1, 0, 2, 1, -1], strict=True)
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


PLAN = {
    "name": "t",
    "corpora": {"c": {"source": "x"}},
    "applications": {"a": {"corpus": "c", "source": "x"}},
}
GRID = compositions(
    GridPlan(depths=(4, 12), mix=(0.25,), ranking_depth=25), ["base", "robust", "bm25"], ["refine", "base"]
)


def test_the_grid_has_every_combination_once() -> None:
    # none and oracle: 3 retrievers x depths 4, 12, 25 each; reranked: 3 x 2 depths x 2 rerankers x mixes .25 and 1
    assert len(GRID) == len(set(GRID)) == 2 * 3 * 3 + 3 * 2 * 2 * 2
    assert "retriever:robust@12 > 0.25*reranker:refine@10" in map(str, GRID)
    assert {"bm25@25 > none@10", "bm25@25 > oracle@10"} <= set(map(str, GRID))


def plain_run(
    composition: Composition,
    rankings: dict[str, pl.DataFrame],
    scores: tuple[pl.DataFrame, dict[str, np.ndarray]],
    qrels: dict[str, dict[str, int]],
) -> dict[str, dict[str, float]]:
    """What a composition answers, the long way round: one query and one list at a time."""
    pairs, columns = scores
    known = {}
    if composition.reranker in columns:
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
        if composition.reranker == "oracle":
            final = np.array([[qrels[query].get(document, -1) for document in top["doc_id"]]], dtype=np.float32)
        elif composition.reranker != "none":
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
    qrels: dict[str, dict[str, int]] = {}
    for query, document, grade in judgements.iter_rows():
        qrels.setdefault(query, {})[document] = grade
    write_run(tmp_path / "run.trec", plain_run(composition, rankings, scores, qrels))
    measures = [parse_measure(name) for name in MEASURES]
    expected = evaluate_run(read_run(tmp_path / "run.trec"), qrels, measures, 1)["per_query"]
    ((_, values),) = evaluate_board(board, [composition], measures)
    for row, query in enumerate(board.query_ids):
        assert {m: values[row, i] for i, m in enumerate(MEASURES)} == expected[query]


def ranked(*documents: str) -> pl.DataFrame:
    """A ranking of one query, best first."""
    rows = [("q", document, float(-i)) for i, document in enumerate(documents)]
    schema = {"query_id": pl.String, "doc_id": pl.String, "score": pl.Float32}
    return rank_by_score(pl.DataFrame(rows, schema=schema, orient="row"))


EVERY_FAMILY = ["nDCG@5", "nDCGexp@5", "RR", "AP@10", "P@3", "R@3", "Success@1", "Rprec", "Bpref", "Judged@5"]


def test_no_order_of_the_same_candidates_exceeds_the_oracle(board: Board) -> None:
    measures = [parse_measure(name) for name in EVERY_FAMILY]
    results = {composition: values for composition, values in evaluate_board(board, GRID, measures)}
    strictly = 0
    for composition, values in results.items():
        ceiling = results[replace(composition, reranker="oracle", mix=1.0)]
        assert (values <= ceiling + 1e-12).all()  # sums of other orders may differ in the last bit
        strictly += int((values < ceiling - 1e-12).sum())
    assert strictly > 0


def test_the_oracle_lists_relevant_then_judged_then_unjudged_documents() -> None:
    # "d" has the negative grade of a pooled document, "z" none: both are unjudged, and their ids decide
    ranking = ranked("z", "d", "a", "c", "b")
    judgements = pl.DataFrame(
        [("q", "a", 0), ("q", "b", 2), ("q", "c", 1), ("q", "d", -2)],
        schema={"query_id": pl.String, "doc_id": pl.String, "grade": pl.Int16},
        orient="row",
    )
    board = build_board({"r": ranking}, union({"r": ranking}, 5), {}, judgements)
    keys = final_keys(board, Composition(retriever="r", depth=4, reranker="oracle"))  # b is beyond the depth
    order = [sorted("abcdz")[column] for column in np.argsort(keys[0])[::-1] if keys[0, column]]
    assert order == ["c", "a", "z", "d"]


def test_selection_does_not_see_the_oracle() -> None:
    plan = parse_plan(PLAN)
    rows = [("a", "retriever:base@20 > oracle@10", "q", 1.0), ("a", "retriever:base@20 > none@10", "q", 0.5)]
    table = pl.DataFrame(rows, schema=["application", "composition", "query_id", "nDCG@10"], orient="row")
    assert list(map(str, read_values(plan, table).compositions)) == ["retriever:base@20 > none@10"]


def test_the_oracle_is_no_incumbent() -> None:
    with pytest.raises(PlanError, match=r"selection\.incumbent: no reranker 'oracle'"):
        parse_plan({**PLAN, "selection": {"incumbent": "retriever:base@20 > oracle@10"}})


def test_the_union_holds_each_candidate_once() -> None:
    candidates = union({"a": ranked("1", "2", "3"), "b": ranked("2", "4", "1")}, depth=2)
    assert candidates.rows() == [("q", "1"), ("q", "2"), ("q", "4")]  # 1, 2 of a; 2, 4 of b
