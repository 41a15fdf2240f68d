"""The walk as a user runs it: jobs in processes of their own, one of them killed in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
import pytest
import yaml

from mixstage.evaluation.compositions import union
from mixstage.evaluation.grid import Grid
from mixstage.evaluation.rankings import Ranking, read_ranking
from mixstage.index.generation import Generation
from mixstage.models.checkpoint import Checkpoint
from mixstage.plan.load import load_plan
from mixstage.release.pins import open_registry
from mixstage.report.report import Report
from mixstage.selection.select import Choice
from mixstage.store.store import Artifact, Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
A = TypeVar("A", bound=Artifact)
ROOT = Path(__file__).resolve().parent.parent


def write_plan(folder: Path, model: Path) -> Path:
    """Every room at work on a model that trains in a second: stages, mining, refresh, BM25, mixes."""
    mined = {"hard_rank": 1, "negatives": 2, "margin": 2.0, "depth": 30}
    plan = {
        "name": "tiny",
        "store": str(folder / "store"),
        "corpora": {"statutes": {"source": "sample://statutes", "shard_kib": 80}},
        "applications": {
            "counsel": {"corpus": "statutes", "source": "sample://counsel", "queries": {"dev": 20, "test": 25}},
            "drafting": {"corpus": "statutes", "source": "sample://drafting", "weight": 2},
        },
        "retriever": {
            "base": str(model),
            "max_length": 64,
            "stages": {
                "broad": {"samples": {"title": 1, "judged": 1}, "steps": 20, "learning_rate": 0.001},
                "robust": {
                    "from": "broad",
                    "mine": {**mined, "refresh": True},
                    "epochs": 2,
                    "steps": 4,
                    "batch_size": 8,
                },
            },
        },
        "reranker": {
            "base": str(model),
            "layers": 1,
            "max_length": 64,
            "stages": {"broad": {"mine": {**mined, "miners": ["bm25"]}, "steps": 4, "batch_size": 8}},
        },
        "grid": {"depths": [5, 10], "ranking_depth": 30},
        "selection": {"bootstrap": 200},
    }
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump(plan))
    return path


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}


def run(*arguments: str, **variables: str) -> str:
    command = [sys.executable, "-m", *arguments]
    env = environment() | variables
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> tuple[Path, str]:
    """An undisturbed run: the plan and what it printed."""
    plan = write_plan(tmp_path_factory.mktemp("finished"), tiny_model)
    return plan, run("jobs.pipeline", str(plan))


def only(store: Store, kind: type[A]) -> A:
    (artifact,) = store.all(kind)
    return artifact


def snapshot(store: Path) -> dict[str, float]:
    """When each published artifact was published."""
    return {str(path): path.stat().st_mtime for path in store.rglob("manifest.json") if ".partial" not in str(path)}


def test_pipeline_prints_grid_winner_reason_report_and_times(finished: tuple[Path, str]) -> None:
    _, printed = finished
    for part in (
        "│ robust@10",
        "Winner: ",
        "because: ",
        "report.html",
        "Time: prepare",
        "Serve it: python -m serve.app",
    ):
        assert part in printed


def test_a_second_run_makes_nothing_and_needs_no_cluster(finished: tuple[Path, str]) -> None:
    plan, first = finished
    before = snapshot(plan.parent / "store")
    again = run("jobs.pipeline", str(plan), RAY_ADDRESS="127.0.0.1:1")  # nobody is there
    assert snapshot(plan.parent / "store") == before
    assert outcome(again) == outcome(first)


def outcome(printed: str) -> str:
    return printed[printed.index("Winner: ") : printed.index("Time: ")]


def test_each_pair_is_scored_once_and_not_once_a_composition(finished: tuple[Path, str]) -> None:
    plan = load_plan(finished[0])
    store = Store(plan.store)
    pairs = only(store, Grid).meta["pairs"]
    by_application: dict[str, dict[str, pl.DataFrame]] = {}
    for ranking in store.all(Ranking):
        found = by_application.setdefault(ranking.meta["application"], {})
        found[ranking.meta["retriever"]] = read_ranking(ranking)
    assert set(by_application) == set(plan.applications)
    assert all(set(found) == {"base", "broad", "robust", "bm25"} for found in by_application.values())
    union_size = sum(len(union(found, max(plan.grid.depths))) for found in by_application.values())
    rerankers = 2  # base, broad
    assert pairs["union"] == rerankers * union_size
    listed = sum(len(r.filter(pl.col("rank") <= 10)) for found in by_application.values() for r in found.values())
    assert pairs["naive"] == rerankers * listed
    assert pairs["union"] < pairs["naive"]


def test_the_grid_holds_every_combination_for_every_query(finished: tuple[Path, str]) -> None:
    store = Store(load_plan(finished[0]).store)
    grid = only(store, Grid)
    # none and oracle: 4 retrievers x depths 5, 10, 30; reranked: 4 x depths 5, 10 x 2 rerankers x mixes .5, 1
    assert grid.meta["compositions"] == 2 * 4 * 3 + 4 * 2 * 2 * 2
    dev = pl.DataFrame(grid.read_table("dev.parquet"))
    queries = {"counsel": 20, "drafting": 35}
    for application, expected in queries.items():
        rows = dev.filter(pl.col("application") == application)
        assert rows["query_id"].n_unique() == expected
        assert len(rows) == expected * grid.meta["compositions"]


def test_the_choice_names_no_test_score_and_what_the_verdict_says_is_released(finished: tuple[Path, str]) -> None:
    plan = load_plan(finished[0])
    store = Store(plan.store)
    choice = only(store, Choice)
    assert choice.recipe["dev"] == only(store, Grid).files["dev.parquet"]["sha256"]
    assert "test" not in json.dumps(choice.recipe)
    live = open_registry(plan, store).live()
    word = only(store, Report).read_json("report.json")["verdict"]["word"]
    expected = choice.meta["winner"] if word == "SHIP" else choice.meta["rivals"]["incumbent"]
    assert {name: str(release.pin.composition) for name, release in live.items()} == dict.fromkeys(
        ("counsel", "drafting"), expected
    )
    for release in live.values():
        assert release.note.verdict == word
        made_by = store.get(Generation, release.pin.generation).meta["retriever"]
        pinned = release.pin.retriever
        assert made_by == ("bm25" if pinned is None else store.get(Checkpoint, pinned).meta["fingerprint"])


def test_what_is_exported_measures_what_the_grid_says(finished: tuple[Path, str], tmp_path: Path) -> None:
    plan, _ = finished
    run("jobs.evaluate", str(plan), "--export", str(tmp_path), RAY_ADDRESS="127.0.0.1:1")  # nothing is left to compute
    folder = tmp_path / "drafting/dev"
    values = pl.read_parquet(folder / "per_query.parquet").filter(composition="retriever:robust@10 > reranker:broad@10")
    exported = str(folder / "runs/robust@10+broad@10.trec")
    measures = values.columns[2:]
    notes = json.loads(
        run("jobs.measure", "--qrels", str(folder / "qrels.trec"), "--run", exported, "--measures", *measures)
    )
    assert notes["per_query"] == {row.pop("query_id"): row for row in values.drop("composition").to_dicts()}


def test_a_page_asks_about_two_compositions(finished: tuple[Path, str]) -> None:
    plan, _ = finished
    names = ["--a", "retriever:robust@10 > reranker:broad@10", "--b", "bm25@10 > none@10", "--queries", "6"]
    printed = run("jobs.judge", str(plan), *names, RAY_ADDRESS="127.0.0.1:1")
    assert "counsel: 3 of 20 queries shown" in printed and "/index.html  (give it alone" in printed


def test_release_status_and_rollback_as_commands(finished: tuple[Path, str]) -> None:
    plan = str(finished[0])
    other = "bm25@10 > reranker:broad@10"
    promote = ("jobs.release", "promote", plan, "--application", "counsel", "--composition", other)
    assert other in run(*promote, "--force", "--why", "a customer asked")
    assert json.loads(run("jobs.release", "status", plan, "--json"))["counsel"]["reason"] == "a customer asked"
    assert "rollback" in run("jobs.release", "rollback", plan, "--application", "counsel")
    registry = open_registry(load_plan(plan), Store(load_plan(plan).store))
    history = registry.history("counsel")
    assert [release.action for release in history] == ["promote", "promote", "rollback"]
    assert history[0].pin == history[2].pin != history[1].pin
    canary = ("jobs.release", "canary", plan, "--application", "counsel", "--composition", other, "--json")
    canary += ("--force", "--why", "a test")
    registry.mark_answering(history[2])  # as the operator does
    (row,) = json.loads(run(*canary))
    assert (row["action"], row["share"], row["reranker"]) == ("canary", 0.1, history[1].pin.reranker)
    assert "(end)" in run("jobs.release", "end", plan, "--application", "counsel")


def checkpoints(store: Path) -> int:
    return len(list(store.glob("checkpoint/*/manifest.json")))


def scores(store: Path) -> int:
    return len(list(store.glob("pair-score/*/*.parquet")))


def run_until(plan: Path, reached: Callable[[Path], bool]) -> None:
    """Starts the pipeline and kills it, driver and all, once the store looks so."""
    store, log = plan.parent / "store", plan.parent / "log"
    command = [sys.executable, "-m", "jobs.pipeline", str(plan)]
    with log.open("w") as output:
        victim = subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        deadline = time.monotonic() + 900
        while not reached(store):
            assert victim.poll() is None, f"ended before it was killed: {log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"was never reached: {log.read_text()[-2000:]}"
            time.sleep(0.05)
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()


@pytest.mark.long
def test_a_pipeline_killed_twice_ends_as_if_nothing_had_happened(
    finished: tuple[Path, str], tmp_path: Path, tiny_model: Path
) -> None:
    plan = write_plan(tmp_path, tiny_model)
    store = tmp_path / "store"
    run_until(plan, lambda store: checkpoints(store) >= 2)  # base and one trained retriever stage
    trained = snapshot(store)
    assert trained and not list(store.glob("grid/*"))
    run_until(plan, lambda store: scores(store) >= 1)  # some chunk of the pair scores
    scored = snapshot(store)
    assert {path: scored[path] for path in trained} == trained, "what was finished is not made again"
    chunks = {path: path.stat().st_mtime for path in store.glob("pair-score/*/*.parquet")}
    assert not list(store.glob("grid/*/manifest.json"))
    run("jobs.pipeline", str(plan))
    after = snapshot(store)
    assert {path: after[path] for path in scored} == scored
    assert {path: path.stat().st_mtime for path in chunks} == chunks
    assert measured(Store(str(store))) == measured(Store(load_plan(finished[0]).store))


def measured(store: Store) -> dict[str, Any]:
    """Winner and dev means of the grid, to 6 decimals."""
    dev = pl.DataFrame(only(store, Grid).read_table("dev.parquet"))
    means = dev.group_by("application", "composition").agg(pl.col("nDCG@10").mean().round(6)).sort(pl.all())
    return {"winner": only(store, Choice).meta["winner"], "means": means.rows()}
