"""What the charts say: their data and marks, worked out by hand from a small report. Altair checks each against
Vega-Lite's schema as it is made."""

import json
import math
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from mixstage.report.charts.forest import forests
from mixstage.report.charts.front import cost_of, quality_cost
from mixstage.report.charts.grid import heat_maps, least_width, recall_budget
from mixstage.report.charts.spec import figure, script_json
from mixstage.report.charts.training import Curve, training_chart
from mixstage.report.charts.why import losses, shares, stage_curve
from mixstage.report.contents import Contents
from tests.report.conftest import EVIL, INCUMBENT, MIXED, WINNER

Spec = dict[str, Any]


def rows(spec: Spec, **kept: Any) -> list[dict[str, Any]]:
    """The chart's data, of one application and split if asked."""
    return [row for row in spec["data"]["values"] if all(row[key] == value for key, value in kept.items())]


def cell(spec: Spec, retriever: str, reranker: str, **of: Any) -> dict[str, Any]:
    asked = {"split": "dev", "application": "a", "retriever": retriever, "reranker": reranker, **of}
    (found,) = rows(spec, **asked)
    return found


@pytest.fixture
def maps(means: pl.DataFrame, report: Contents) -> dict[int, Spec]:
    return heat_maps(means, report.choice, [("retriever", "broad")])


def test_the_winner_is_framed_and_the_near_best_hatched(maps: dict[int, Spec]) -> None:
    assert list(maps) == [10, 20]
    marks = {(depth, row["composition"]): (row["mark"], row["near"]) for depth in maps for row in rows(maps[depth])}
    assert {name: mark for name, mark in marks.items() if mark != ("", False)} == {
        (10, WINNER): ("winner", False),
        (10, INCUMBENT): ("incumbent", False),
        (20, MIXED): ("", True),
    }
    told = {json.dumps(layer.get("transform")): layer["mark"] for layer in maps[10]["layer"]}
    (near,) = [mark for filters, mark in told.items() if "datum.near" in filters]
    (frame,) = [mark for filters, mark in told.items() if "'winner'" in filters]
    assert near["fill"] == "url(#hatch)" and (frame["style"], frame["filled"]) == ("winner", False)


def test_a_cell_shows_a_near_best_mix_before_a_better_one_and_else_the_best_on_dev(maps: dict[int, Spec]) -> None:
    assert cell(maps[20], "base", "base")["composition"] == MIXED  # .45, though 1 has .46
    best = cell(maps[20], "broad", "base", split="test")
    assert best["composition"] == "retriever:broad@20 > 0.5*reranker:base@10" and best["note"] == "0.5 mix"
    assert cell(maps[10], "base", "base")["note"] is None


def test_shades_are_shares_of_what_can_be_served(maps: dict[int, Spec]) -> None:
    # .30 to .50 over both depths; the oracle has no shade
    assert cell(maps[10], "base", "none")["share"] == 0 and cell(maps[10], "broad", "base")["share"] == 1
    assert cell(maps[20], "base", "base")["share"] == pytest.approx(0.75)
    assert cell(maps[10], "broad", "oracle")["share"] is None
    assert cell(maps[10], "broad", "oracle", application="b")["value"] == "1.050"
    assert cell(maps[10], "base", "none")["value"] == ".300"


def test_stages_that_forget_are_marked_on_the_axis(maps: dict[int, Spec]) -> None:
    axis = maps[10]["layer"][0]["encoding"]["y"]["axis"]
    assert '["broad"]' in axis["labelExpr"] and "⚠" in axis["labelExpr"]


def test_the_selects_start_with_all_and_dev(maps: dict[int, Spec]) -> None:
    asked = [{"name": "application", "value": "all"}, {"name": "split", "value": "dev"}]
    assert maps[10]["params"] == asked


def test_recall_budgets_are_of_bare_retrievers_at_the_ranking_depth(means: pl.DataFrame) -> None:
    spec = recall_budget(means, 20)
    assert spec is not None
    found = [(row["retriever"], row["k"], row["recall"]) for row in rows(spec, split="dev", application="a")]
    assert sorted(found) == [
        ("base", 10, pytest.approx(0.30)),
        ("base", 20, pytest.approx(0.32)),
        ("broad", 10, pytest.approx(0.35)),
        ("broad", 20, pytest.approx(0.37)),
    ]
    assert recall_budget(means.drop("R@10", "R@20"), 20) is None


def test_the_front_is_drawn_over_pairs_until_all_were_timed(report: Contents) -> None:
    spec = quality_cost(report.front, report.choice)
    assert [row["application"] for row in rows(spec)] == ["all"] * 2 + ["a"] * 2 + ["b"] * 2
    assert {row["mark"] for row in rows(spec)} == {"winner", "incumbent"}
    assert {layer["encoding"]["x"]["field"] for layer in spec["layer"]} == {"pairs"}
    timed = {name: [replace(row, p95_ms=9.0) for row in front] for name, front in report.front.items()}
    layers = quality_cost(timed, report.choice)["layer"]
    assert {layer["encoding"]["x"]["field"] for layer in layers} == {"p95_ms"}
    assert "split" not in layers[0]["transform"][0]["filter"]  # it is of dev, whatever is asked
    assert cost_of([*timed["a"], report.front["b"][0]]) == "pairs"


def test_what_is_on_the_front_is_that_of_the_price_drawn(report: Contents) -> None:
    of_pairs = {name: [replace(row, on_front=False) for row in front] for name, front in report.front.items()}
    drawn = quality_cost(of_pairs, report.choice)["layer"][1]
    assert "datum.on_pairs_front" in [step["filter"] for step in drawn["transform"]]


def test_forests_tell_test_from_dev_on_one_scale(report: Contents) -> None:
    (role, spec), *others = forests(report.confirmation, 0.01).items()
    assert role == "incumbent" and not others  # the other rival is the winner
    assert [(row["split"], row["application"], row["mean"]) for row in rows(spec)][:3] == [
        ("test", "all", 0.2),
        ("test", "a", pytest.approx(0.19)),
        ("test", "b", pytest.approx(0.21)),
    ]
    domains = [layer["encoding"]["x"].get("scale", {}).get("domain") for layer in spec["layer"]]
    assert [domain for domain in domains if domain] == [[-0.01, pytest.approx(0.23)]]


def test_shares_and_losses(report: Contents) -> None:
    assert report.why is not None
    found = report.why.applications
    spec = shares({name: reasons.shares for name, reasons in found.items()})
    assert spec is not None
    assert [(r["application"], r["part"], r["mean"]) for r in rows(spec)][:2] == [
        ("a", "retriever", 0.05),
        ("a", "reranker", 0.15),
    ]
    stacked = [row["mean"] for row in rows(losses(found), application="b", side="incumbent")]
    assert stacked == [0.5, 0.4, 0.1] and math.isclose(sum(stacked), 1)
    assert shares({"a": None}) is None


def test_a_stages_point_is_filled_if_its_step_is_not_by_chance(report: Contents) -> None:
    assert report.why is not None
    found = report.why.applications
    spec = stage_curve(found, "retrievers")
    assert spec is not None
    # steps: none, +.05 [.03, .07], -.01 [-.03, .01]
    assert [row["sure"] for row in rows(spec, application="a")] == [False, True, False]
    assert rows(spec)[1]["told"] == "+0.0500 [+0.0300, +0.0700]"
    assert stage_curve(found, "rerankers") is None  # one stage is no curve


def curve(**parts: Any) -> Curve:
    blank: dict[str, Any] = {"loss": [], "scores": [], "kept": None, "cuts": []}
    return Curve(**{"measure": "R@60", **blank, **parts})


def test_dev_scores_have_a_scale_of_their_own_and_the_kept_step_is_filled() -> None:
    spec = training_chart(curve(loss=[(1, 9.0), (4, 8.0)], scores=[(2, 0.25), (4, 0.75)], kept=4))
    assert spec is not None and spec["resolve"] == {"scale": {"y": "independent"}}
    assert [(row["step"], row["kept"]) for row in rows(spec, kind="dev R@60")] == [(2, False), (4, True)]
    assert training_chart(curve()) is None


def test_a_long_curve_is_thinned_to_its_end() -> None:
    spec = training_chart(curve(loss=[(step, 1 / step) for step in range(1, 5002)]))
    assert spec is not None
    assert len(rows(spec)) <= 201 and rows(spec)[0]["step"] == 1 and rows(spec)[-1]["step"] == 5001


def test_nothing_in_a_specification_ends_its_script() -> None:
    told = script_json({"text": EVIL})
    assert "<" not in told and json.loads(told) == {"text": EVIL}
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json(math.nan)
    assert EVIL not in figure({"title": EVIL}, EVIL, EVIL)


def test_many_or_long_names_get_room(means: pl.DataFrame, report: Contents, maps: dict[int, Spec]) -> None:
    assert least_width(means) == 5 * 7 + 3 * 38  # broad; none, base, oracle
    assert maps[10]["layer"][0]["encoding"]["x"]["axis"]["labelAngle"] == 0
    long = pl.concat([means, means.with_columns(reranker=pl.lit("distilled"), retriever=pl.lit("r" * 40))])
    assert least_width(long) == 150 + 4 * 38
    spec = heat_maps(long, report.choice, [])[10]
    assert spec["layer"][0]["encoding"]["x"]["axis"]["labelAngle"] == -90
