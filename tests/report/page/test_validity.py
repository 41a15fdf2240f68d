"""The tables and warnings on what the numbers rest on, from data made by hand."""

from typing import Any

import pytest

from mixstage.report.page.validity import validity_part
from mixstage.report.warnings import validity_warnings

EFFECT = {"ss": 1.0, "df": 3, "error_ss": 1.0, "error_df": 30, "epsilon": 0.5, "f": 4.25, "p": 0.0123, "omega2": 0.034}
INTERVAL = {"mean": 0.02, "low": -0.01, "high": 0.05, "queries": 9}


def interval(mean: float) -> dict[str, Any]:
    return {"mean": mean, "low": None, "high": None, "queries": 1}


def why(found: dict[str, Any], test: int = 0) -> dict[str, Any]:
    return {"applications": {"a": found}, "leaks": {"trained": {"dev": 0, "test": test}}}


@pytest.fixture
def found() -> dict[str, Any]:
    same = {"f": None, "p": None, "share": 0.0}
    effects = {"reranker": EFFECT | {"share": 0.125}, "retriever": EFFECT | same, "both": EFFECT | same}
    counted = {"winner": 0.6, "incumbent": 0.5, "difference": interval(0.1)}
    addition = {"added": "bm25", "candidates": 31.5, "ceiling": 0.9, "achieved": 0.6, "could": INTERVAL}
    return {
        "metric": "nDCG@10",
        "interacts": False,
        "anova": {
            "depth": 20,
            "mix": 0.5,
            "retrievers": ["a", "b"],
            "rerankers": ["a", "b", "c", "d"],
            "queries": 0.75,
            "effects": effects,
        },
        "union_bound": {
            "candidates": 20.0,
            "ceiling": 0.88,
            "achieved": 0.61,
            "additions": [addition | {"does": interval(-0.01)}],
        },
        "holes": {
            "correlation": -0.8,
            "correlated": False,
            "only_relevant_judged": True,
            "counted": {"nothing": counted, "left out": counted, "highest grade": counted},
        },
        "shared": [
            {"split": "test", "other": "train", "queries": 40, "shared": 0, "gain_shared": None, "gain_others": 0.1}
        ],
        "confounds": {"longest": {"mean": 0.02, "share": 0.03}, "often relevant": {"mean": 0.1, "share": None}},
    }


def test_every_table_with_its_figures(found: dict[str, Any]) -> None:
    page = validity_part("a", found)
    for cells in (
        ["reranker", "12.50%", "0.034", "4.25", "1.5, 15.0", "0.0123"],
        ["reranker x retriever", "0.00%", "0.034", "", "1.5, 15.0", ""],
        ["bm25", "31.5", "0.9000", "+0.0200 [-0.0100, +0.0500]", "0.6000", "-0.0100"],
        ["left out", "0.6000", "0.5000", "+0.1000"],
        ["test with train", "0 of 40", "", "+0.1000"],
        ["longest", "0.0200", "3%"],
    ):
        assert "</td><td>".join(cells) in page, cells
    assert "2 retrievers x 4 rerankers at depth 20, weight 0.5; 75.0% of all squares" in page
    assert "by construction: only relevant documents are judged" in page
    assert "no interaction of retriever and reranker shows" in page
    assert validity_warnings(why(found)) == []


def test_each_cloud_has_its_warning(found: dict[str, Any]) -> None:
    found["holes"]["correlated"] = True
    found["holes"]["counted"]["left out"] = {"winner": 0.5, "incumbent": 0.6, "difference": interval(-0.1)}
    found["shared"][0]["shared"] = 10
    found["confounds"]["longest"]["share"] = 0.25
    correlated, depends, shared, confounded = validity_warnings(why(found))
    assert "(r = -0.80)" in correlated and "the winner is behind by 0.1000" in depends
    assert "10 of 40 test queries share" in shared and "(longest) reaches 25%" in confounded


def test_what_is_not_to_be_had_is_left_out(found: dict[str, Any]) -> None:
    page = validity_part("<script>", found | {"anova": None, "union_bound": None, "interacts": None})
    assert "squares" not in page and "candidates help" not in page and "interact" not in page
    assert "<script>" not in page


def test_queries_that_were_trained_on(found: dict[str, Any]) -> None:
    (told,) = validity_warnings(why(found, test=2))
    assert told.startswith("2 test queries")
