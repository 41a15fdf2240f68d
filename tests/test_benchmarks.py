"""Benchmarks start, each in a process of its own; what they say of themselves can be run again."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import callers, outcome, trials
from mixstage.release.record import Note
from mixstage.store.store import Store
from tests.conftest import ROOT, CorpusMaker
from tests.handmade import handmade
from tests.listening import listening
from tests.serve.fakes import Answering, gateway, pin

PARTS = {"__init__", "machine", "embedding_worker"}  # of others; what the last takes stands in its first line
NAMES = sorted({path.stem for path in (ROOT / "benchmarks").glob("*.py")} - PARTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_starts(name: str) -> None:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: python -m benchmarks.{name}")


def test_callers_ask_this_machine_only() -> None:
    command = [sys.executable, "-m", "benchmarks.callers", "jobs/plans/sample.yaml", "--url", "http://example.org"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "on this machine only" in done.stderr


def test_callers_ask_one_after_another_and_their_answers_are_counted(tmp_path: Path) -> None:
    registry = Answering(f"sqlite:///{tmp_path}/registry.db")
    registry.promote("app", pin("retriever:robust@5 > reranker:refine@10"), Note())
    with listening(gateway(registry).app) as url:
        load = callers.load(url, "app", ["deposit", "rent"], callers=2, seconds=0.5)
        refused = callers.load(url, "unknown", ["deposit"], callers=1, seconds=0.2)
    assert len(load.latencies) >= 2 and load.errors == 0
    assert load.latencies.sum() <= 2 * load.seconds  # nobody asks twice at once
    assert len(refused.latencies) == 0 and refused.errors >= 1
    assert refused.row(1)[2:5] == ("no answer",) * 3


def test_the_outcome_has_every_composition_that_can_be_served(store: Store, make_corpus: CorpusMaker) -> None:
    head, _, *rows = outcome.cells(handmade(store, make_corpus), "bm25@6 > none@10").splitlines()
    assert head.startswith("| test | none | ") and "oracle" not in head
    cells = {name.strip(): [cell.strip() for cell in row] for _, name, *row, _ in (row.split("|") for row in rows)}
    assert set(cells) == {f"{retriever}@{depth}" for retriever in ("base", "robust", "bm25") for depth in (3, 6, 10)}
    assert all(cells["base@6"]) and any(cells["base@10"][1:]) is False  # rankings are 10 long, rerankers read 6
    (bold,) = (row for row in rows if "**" in row)
    assert bold.startswith("| bm25@6 | **")


def test_trials_are_decided_when_the_documentation_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert trials.main(["--runs", "3"]) == 0
    said = dict(re.findall(r"\| ([^|]+) \| ([^|]+) \|", capsys.readouterr().out))
    assert said["half of its requests fail"] == said["all of its requests fail"] == "roll back at request 5"
    assert said["none fails, as fast as the live one"] == "promote at request 449"
    assert said["the same, errors 0.05"] == "promote at request 88"
    assert said["twice as slow, 3 simulated"].startswith("roll back at request ")
