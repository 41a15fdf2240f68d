"""What each loss gets to read of the same samples."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from mixstage.errors import TrainingError
from mixstage.training.fitting.rows import most_negatives, read_rows
from mixstage.training.fitting.run import Fit
from tests.training.conftest import LISTS, rows_of

RunMaker = Callable[..., Fit]
TAUGHT = {"name": "margin_mse", "teacher": "reranker:a"}
SAMPLES = pl.DataFrame(
    {
        "anchor": ["q", "q", "r", "s"],
        "positive": ["p", "o", "o", "p"],
        "negatives": [["n", "m"], ["n", "p"], ["m", "p"], []],
        "scores": [[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [2.0, 1.0, 0.0], []],
        "source": ["mined:a"] * 4,
    },
    schema_overrides=LISTS,
)


def read(run: Fit, batch: int = 1) -> list[list[dict[str, Any]]]:
    return [list(group) for group in read_rows(run, batch)]


def test_infonce_reads_groups_by_number_of_negatives_with_prompts(make_run: RunMaker) -> None:
    base = {"query_prompt": "Q: ", "document_prompt": "D: "}
    run = make_run("retriever", SAMPLES, base=base)
    plain = {"anchor": "Q: s", "positive": "D: p"}
    assert read(run) == [
        [plain],
        [
            {"anchor": "Q: q", "positive": "D: p", "negative_1": "D: n", "negative_2": "D: m"},
            {"anchor": "Q: q", "positive": "D: o", "negative_1": "D: n", "negative_2": "D: p"},
            {"anchor": "Q: r", "positive": "D: o", "negative_1": "D: m", "negative_2": "D: p"},
        ],
    ]
    assert most_negatives(read_rows(run, 1)) == 2
    assert [len(group) for group in read(run, 2)] == [3], "a group that fills no batch is left out"
    with pytest.raises(TrainingError, match=r"retriever broad: 1 \+ 3 rows fill no batch of 4"):
        read(run, 4)


def test_distillation_reads_the_teachers_scores_as_labels(make_run: RunMaker) -> None:
    for component in ("retriever", "reranker"):
        run = make_run(component, SAMPLES[:3], loss=TAUGHT)
        (group,) = read(run)
        assert group[2] == {
            "anchor": "r",
            "positive": "o",
            "negative_1": "m",
            "negative_2": "p",
            "label": [2.0, 1.0, 0.0],
        }


@pytest.mark.parametrize("component", ["retriever", "reranker"])
def test_distillation_without_scores_is_refused(component: str, make_run: RunMaker) -> None:
    with pytest.raises(TrainingError, match=r"1 of 4 rows have no negative.*margin_mse learns.*loss.teacher"):
        read(make_run(component, SAMPLES, loss=TAUGHT))
    with pytest.raises(TrainingError, match="24 of 24 rows"):
        read(make_run(component, rows_of(24, negatives=2), loss=TAUGHT))


def test_bce_reads_every_pair_once_and_a_positive_wins(make_run: RunMaker) -> None:
    (group,) = read(make_run("reranker", SAMPLES))
    assert [(row["query"], row["document"], row["label"]) for row in group] == [
        ("q", "p", 1.0),
        ("q", "o", 1.0),
        ("r", "o", 1.0),
        ("s", "p", 1.0),
        ("q", "n", 0.0),
        ("q", "m", 0.0),
        ("r", "m", 0.0),
        ("r", "p", 0.0),
    ]


@pytest.mark.parametrize(("name", "yes"), [("listwise", 30.0), ("lambda", 1.0)])
def test_lists_hold_a_querys_documents_and_need_both_labels(name: str, yes: float, make_run: RunMaker) -> None:
    (group,) = read(make_run("reranker", SAMPLES, loss={"name": name}))
    assert group == [
        {"query": "q", "document": ["p", "o", "n", "m"], "label": [yes, yes, 0.0, 0.0]},
        {"query": "r", "document": ["o", "m", "p"], "label": [yes, 0.0, 0.0]},
    ]


@pytest.mark.parametrize("name", ["bce", "listwise", "lambda"])
def test_a_reranker_without_any_negative_is_refused(name: str, make_run: RunMaker) -> None:
    with pytest.raises(TrainingError, match="none of 24 rows has a negative"):
        read(make_run("reranker", rows_of(24), loss={"name": name}))


def test_mlm_reads_texts(make_run: RunMaker) -> None:
    (group,) = read(make_run("reranker", rows_of(3), mlm={}))
    assert group[1] == {"row": 1, "text": "article 1: the deposit and clause 1 may the tenant 1 keep the deposit 1"}
