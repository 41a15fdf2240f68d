"""The report of a run made by hand: forgetting, lineage and ledgers as data, and every odd note survived."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from rich.console import Console

from mixstage.commands.console.outcome import print_outcome
from mixstage.corpus.prepare import Prepared
from mixstage.evaluation.compositions import compositions
from mixstage.evaluation.grid import Grid
from mixstage.evaluation.index_loss import IndexLoss
from mixstage.evaluation.latency import Cost
from mixstage.models.checkpoint import Checkpoint
from mixstage.pipeline import Pipeline
from mixstage.plan.load import parse_plan
from mixstage.plan.schema import Plan
from mixstage.progress import Progress
from mixstage.report.report import Report, write_report
from mixstage.selection.select import select
from mixstage.store.store import Store
from mixstage.training.artifacts import Samples
from mixstage.training.curriculum import Curriculum
from mixstage.training.samples.negatives import LEDGER

# Values of a composition: its retriever's plus its reranker's, the same for every query.
RETRIEVERS = {"base": 0.5, "broad": 0.47, "bm25": 0.2}
RERANKERS = {"none": 0.0, "oracle": 0.3, "base": 0.05, "broad": 0.1}


@pytest.fixture
def plan() -> Plan:
    return parse_plan(
        {
            "name": "t",
            "corpora": {"c": {"source": "x"}},
            "applications": {"a": {"corpus": "c", "source": "x"}, "b": {"corpus": "c", "source": "x"}},
            "retriever": {"stages": {"broad": {}}},
            "reranker": {"stages": {"broad": {"mine": {"miners": ["bm25"]}}}},
            "grid": {"depths": [10], "mix": [0.5], "ranking_depth": 20, "measures": ["nDCG@10", "R@60"]},
            "selection": {"bootstrap": 100},
        }
    )


@pytest.fixture
def grid(plan: Plan, store: Store) -> Grid:
    """Two queries an application; application b is where broad retrieves as well as base."""
    rows = []
    for application in "ab":
        for one in compositions(plan.grid, list(RETRIEVERS), ["base", "broad"]):
            retrieved = RETRIEVERS["base" if application == "b" and one.retriever == "broad" else one.retriever]
            value = retrieved + RERANKERS[one.reranker]
            rows += [(application, str(one), query, value, value) for query in ("q1", "q2")]
    table = pl.DataFrame(rows, schema=["application", "composition", "query_id", "nDCG@10", "R@60"], orient="row")
    draft = store.draft(Grid, {"what": "grid"})
    for split in ("dev", "test"):
        draft.table(f"{split}.parquet", table.to_arrow())
    each = [{"reranker": "base", "naive": 8, "union": 4, "found": 1, "scored": 3, "tokens": 1234, "seconds": 0.05}]
    pairs = {"naive": 8, "union": 4, "found": 1, "scored": 3, "tokens": 1234, "seconds": 0.1, "rerankers": each}
    return draft.publish({"compositions": 0, "pairs": pairs})


def ledger() -> pl.DataFrame:
    """Seven suspects with margins -.7, ..., -.1 in no order, one without a positive's score, and a negative."""
    rows: list[tuple[Any, ...]] = [
        (f"q{i}", f"d{i}", "current", i, 0.5 + i / 10, 0.5, -i / 10, None, "suspect") for i in (3, 7, 1, 5, 2, 6, 4)
    ]
    rows += [("q8", "d8", "bm25", 1, 9.0, None, None, 0.9, "suspect")]
    rows += [("q9", "d9", "current", 1, 2.0, 0.5, -1.5, None, "negative")]
    return pl.DataFrame(rows, schema=LEDGER, orient="row").select(pl.lit("judged:a").alias("source"), pl.all())


@pytest.fixture
def curriculum(plan: Plan, store: Store) -> Curriculum:
    """Stages without weights: what a run notes about them, new (retriever) and old (reranker)."""
    mining = {"queries": 10, "kept": 6, "easy": 3, "short": 1, "suspects": 8, "suspected_rate": 0.25}
    draft = store.draft(Samples, {"what": "samples"})
    draft.table("negatives.parquet", ledger().to_arrow())
    samples = draft.publish(
        {"samples": 8, "sources": {"judged:a+mined": 6, "title:c": 2}, "mining": {"judged:a": mining}}
    )
    base = {part: store.draft(Checkpoint, {"base": part}).publish({"fingerprint": part}) for part in ("one", "two")}
    broad = store.draft(Checkpoint, {"stage": "broad"}).publish(
        {
            "stage": "broad",
            "parent": base["one"].digest,
            "fingerprint": "three",
            "samples": samples.digest,
            "curve": [{"step": 1.0, "loss": 2.0}, {"step": 2.0, "loss": 1.5}],
            "measured": [{"step": 2.0, "a": 0.3, "b": 0.5, "score": 0.4}],
            "step": 2,
            "adapter": "a" * 24,
        }
    )
    old = {"stage": "broad", "parent": base["two"].digest, "fingerprint": "four", "samples": "0" * 24, "curve": []}
    return Curriculum(
        prepared=Prepared(plan=plan, store=store, progress=Progress(), corpora={}, applications={}),
        retrievers={"base": base["one"], "broad": broad},
        rerankers={"base": base["two"], "broad": store.draft(Checkpoint, {"stage": "old"}).publish(old)},
    )


@pytest.fixture
def report(plan: Plan, store: Store, grid: Grid, curriculum: Curriculum) -> Report:
    return write_report(plan, store, grid, select(plan, store, grid), curriculum, None)


def test_flags_are_told_as_data(report: Report) -> None:
    (flag,) = report.read_json("report.json")["forgetting"]
    assert (flag.pop("before"), flag.pop("after")) == pytest.approx((0.5, 0.47))
    assert flag == {
        "component": "retriever",
        "stage": "broad",
        "parent": "base",
        "application": "a",
        "measure": "R@60",
    }


def test_grid_csv_names_what_a_rows_stages_forget(report: Report) -> None:
    rows = csv.DictReader(report.local().joinpath("grid.csv").open())
    assert {(row["retriever"], row["forgets"]) for row in rows} == {("base", ""), ("bm25", ""), ("broad", "a")}


def test_a_stages_training_says_where_it_came_from_and_what_its_runs_noted(report: Report) -> None:
    training = report.read_json("report.json")["training"]
    base, broad, old = training["retriever"]["base"], training["retriever"]["broad"], training["reranker"]["broad"]
    assert (base["parents"], base["rounds"]) == ([], [])
    assert (broad["parents"], broad["adapter"], broad["soup"]) == (["base"], "a" * 24, None)
    (trained,) = broad["rounds"]
    assert trained["samples"]["sources"] == {"judged:a+mined": 6, "title:c": 2}
    assert trained["measured"][0]["score"] == 0.4 and trained["step"] == 2
    assert old["rounds"] == [{"samples": None, "ledger": None, "curve": [], "measured": [], "step": None}]


def test_the_ledgers_place_and_its_suspects_that_score_highest_above_the_positive(
    report: Report, store: Store, curriculum: Curriculum
) -> None:
    told = report.read_json("report.json")["training"]["retriever"]["broad"]["rounds"][0]["ledger"]
    assert told["path"] == f"{store.root}/samples/{curriculum.retrievers['broad'].meta['samples']}/negatives.parquet"
    assert Path(told["path"]).is_file()
    assert told["suspects"] == 8
    assert [row["doc_id"] for row in told["first"]] == ["d7", "d6", "d5", "d4", "d3"]
    first = told["first"][0]
    assert (first["miner"], first["rank"], first["source"]) == ("current", 7, "judged:a")
    assert (first["score"], first["positive_score"]) == pytest.approx((1.2, 0.5))


def test_the_page_shows_all_of_it(report: Report) -> None:
    page = report.local().joinpath("report.html").read_text()
    why = "forgets: a R@60 -0.030 against base"
    assert f'<th scope=row>broad@20 <span class=warn role="img" title="{why}"' in page
    assert page.count(f'title="{why}"') == 2 * 3 * 2  # splits x (all, a, b) x depths 10, 20
    for part in (
        "<td>0.500</td><td>0.470</td><td>-0.030</td>",
        "<td class=text>judged:a+mined</td><td>6</td><td>75%</td>",
        "<td>10</td><td>6</td><td>3</td><td>1</td><td>8</td><td>25.0%</td>",
        "kept step 2; dev R@60 there 0.400 (a 0.300, b 0.500)",
        "adapter: yes",
        "negatives.parquet",
        "8 suspects; the 5 that score highest above the positive",
        "Its samples have left the store.",
    ):
        assert part in page, part


def test_the_note_lies_beside_the_page(report: Report) -> None:
    note, winner = report.local().joinpath("report.md").read_text(), report.meta["winner"]
    assert note.startswith(f"## SHIP: `{winner}`\n")
    assert "[report.html](report.html)" in note


def test_another_checkpoint_makes_another_report(
    plan: Plan, store: Store, grid: Grid, curriculum: Curriculum, report: Report
) -> None:
    choice = select(plan, store, grid)
    assert write_report(plan, store, grid, choice, curriculum, None).digest == report.digest
    curriculum.rerankers["broad"] = curriculum.rerankers["base"]
    assert write_report(plan, store, grid, choice, curriculum, None).digest != report.digest


def test_the_price_of_an_approximate_index_is_told(
    plan: Plan, store: Store, grid: Grid, curriculum: Curriculum, report: Report
) -> None:
    row = {"application": "a", "retriever": "broad", "split": "dev", "measure": "nDCG@10"}
    draft = store.draft(IndexLoss, {"n": 1})
    draft.table("served.parquet", pa.Table.from_pylist([{**row, "exact": 0.5, "served": 0.475, "recall": 0.91}]))
    served = draft.publish({"factory": "IVF8,SQ8"})
    other = write_report(plan, store, grid, select(plan, store, grid), curriculum, served)
    assert other.read_json("report.json")["served"] == [{**row, "exact": 0.5, "served": 0.475, "recall": 0.91}]
    page = other.local().joinpath("report.html").read_text()
    cells = ("broad", "nDCG@10", "0.5000", "0.4750", "-0.0250", "0.910")
    assert re.search(".*".join(f">{re.escape(cell)}<" for cell in cells), page)
    assert "approximate index" not in report.local().joinpath("report.html").read_text()


def test_the_outcome_has_a_line_for_each_flag(plan: Plan, grid: Grid, report: Report) -> None:
    printed = io.StringIO()
    progress = Progress(Console(file=printed, width=200))
    print_outcome(cast(Pipeline, SimpleNamespace(plan=plan, grid=grid, report=report, progress=progress)))
    lines = [line.strip() for line in printed.getvalue().splitlines() if line.startswith("Forgets")]
    assert lines == ["Forgets: retriever broad: a R@60 on dev 0.5000 to 0.4700 against its parent base"]


def test_the_outcome_says_the_verdict_in_a_sentence(plan: Plan, grid: Grid, report: Report) -> None:
    printed = io.StringIO()
    progress = Progress(Console(file=printed, width=400))
    print_outcome(cast(Pipeline, SimpleNamespace(plan=plan, grid=grid, report=report, progress=progress)))
    (line,) = [line for line in printed.getvalue().splitlines() if line.startswith("Verdict: ")]
    verdict = report.read_json("report.json")["verdict"]
    assert line == f"Verdict: {verdict['sentence']}"
    # every query gains the same: base@20 > broad@10 over base@20 alone, .6 to .5
    assert verdict["word"] == "SHIP" and "+0.1000 on test, +0.1000 to +0.1000" in line


def test_sharing_and_the_front_are_data_and_on_the_page(
    plan: Plan, store: Store, grid: Grid, curriculum: Curriculum
) -> None:
    cost = Cost(
        retrieve={(app, name): np.array([3.0]) for app in "ab" for name in RETRIEVERS},
        rerank={(app, name, 10): np.array([20.0]) for app in "ab" for name in ("base", "broad")},
        machine="a quiet machine",
        digest="d",
    )
    made = write_report(plan, store, grid, select(plan, store, grid), curriculum, None, cost)
    told = made.read_json("report.json")
    # a and b agree: base retrieves best alone and under broad, at both depths alike
    assert told["sharing"]["own"] == {"a": told["choice"]["winner"], "b": told["choice"]["winner"]}
    assert told["sharing"]["price"]["a"]["mean"] == told["sharing"]["test"]["price"]["a"]["mean"] == 0
    assert told["sharing"]["services"]["cover"] == 2
    assert list(told["front"]) == ["overall", "a", "b"] and told["timed"] == {
        "machine": "a quiet machine",
        "queries": {"a": 1, "b": 1},
    }
    front = {row["composition"]: row["p95_ms"] for row in told["front"]["overall"] if row["on_front"]}
    none = {f"retriever:base@{depth} > none@10": 3.0 for depth in (10, 20)}
    assert front == {**none, **{f"retriever:base@10 > {mix}reranker:broad@10": 23.0 for mix in ("0.5*", "")}}
    page = made.local().joinpath("report.html").read_text()
    assert (
        "<td class=text>retriever:base@10 &gt; 0.5*reranker:broad@10 and 1 equal</td><td>0.6000</td><td>23.0</td>"
        in page
    )
    untimed = write_report(plan, store, grid, select(plan, store, grid), curriculum, None)
    assert (
        untimed.digest != made.digest and "No answer was timed" in untimed.local().joinpath("report.html").read_text()
    )


def test_the_outcome_says_what_sharing_costs(plan: Plan, grid: Grid, report: Report) -> None:
    printed = io.StringIO()
    progress = Progress(Console(file=printed, width=400))
    print_outcome(cast(Pipeline, SimpleNamespace(plan=plan, grid=grid, report=report, progress=progress)))
    lines = [line for line in printed.getvalue().splitlines() if line.startswith(("Sharing", "Cover"))]
    assert lines == [
        "Sharing: behind their own best on dev are a +0.0000, b +0.0000 (own bests run 2 models, the winner 2)",
        "Cover: 2 keep all within 0.01 of their own best: retrievers base; rerankers broad",
    ]


def test_report_json_is_json(report: Report) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(report.local().joinpath("report.json").read_text(), parse_constant=refuse)


def test_the_outcome_says_what_each_rerankers_pairs_cost(plan: Plan, grid: Grid, report: Report) -> None:
    printed = io.StringIO()
    progress = Progress(Console(file=printed, width=200))
    print_outcome(cast(Pipeline, SimpleNamespace(plan=plan, grid=grid, report=report, progress=progress)))
    lines = [re.findall(r"[^│\s]+", line) for line in printed.getvalue().splitlines()]
    assert ["base", "8", "4", "1", "3", "1,234", "0.1"] in lines and [
        "together",
        "8",
        "4",
        "1",
        "3",
        "1,234",
        "0.1",
    ] in lines


def test_a_race_is_told_as_the_grid_notes_it(
    plan: Plan, store: Store, grid: Grid, curriculum: Curriculum, report: Report
) -> None:
    assert report.read_json("report.json")["race"] is None
    race = {"rounds": [{"n": 7, "compositions": 6, "rerankers": 2, "pairs": 5, "pairs_scored": 4}], "dropped": 3}
    raced = replace(grid, meta={**grid.meta, "race": {**race, "saved": 0.25}}, digest="0" * 24)
    other = write_report(plan, store, raced, select(plan, store, raced), curriculum, None)
    assert other.read_json("report.json")["race"] == {**race, "saved": 0.25}
    assert "<h3>Race</h3>" in other.local().joinpath("report.html").read_text()
    printed = io.StringIO()
    progress = Progress(Console(file=printed, width=200))
    print_outcome(cast(Pipeline, SimpleNamespace(plan=plan, grid=raced, report=other, progress=progress)))
    assert "Race: 3 compositions dropped out, 25% of all pairs were never needed" in printed.getvalue()
