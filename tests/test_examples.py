"""The scripts in examples/ run as users run them, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mixstage.release.record import Note
from mixstage.release.registry import Registry
from tests.conftest import ROOT, BeirWriter
from tests.listening import listening
from tests.serve.fakes import Answering, gateway, pin

TOPICS = ("rent", "deposit", "heating", "notice", "pets", "noise", "repair", "sublet", "parking", "garden")
SPLITS = ("train", "train", "train", "dev", "test")  # of a topic's queries
SECTIONS = 20  # of a topic: more documents than a miner looks at, or an untrained model takes nearly all for positives


def run(script: str, *arguments: str, timeout: float = 60, fails: bool = False) -> str:
    """What the script prints, on standard error if it is to fail."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    command = [sys.executable, str(ROOT / "examples" / script), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
    assert bool(done.returncode) == fails, done.stderr
    return done.stderr if fails else done.stdout


def test_every_script_is_run_here() -> None:
    scripts = {path.name for path in (ROOT / "examples").glob("*.py")}
    assert scripts == {"evaluate_a_run.py", "query_a_gateway.py", "train_and_choose.py"}


def test_rankings_in_the_script_are_measured_and_compared() -> None:
    printed = run("evaluate_a_run.py").splitlines()
    # RR@10: ranks 2, 3, 1, 2 before and 1 throughout after; R@10 before lacks one of the two documents of one query.
    assert printed[0].endswith(f"RR@10 {(1 / 2 + 1 / 3 + 1 + 1 / 2) / 4:.4f}, R@10 0.8750")
    assert printed[1] == "run 2: nDCG@10 1.0000, RR@10 1.0000, R@10 1.0000"
    assert any(line.startswith("RR@10: +0.4167 [") and "3 won, 0 lost" in line for line in printed)


def test_a_run_in_a_file_is_measured(tmp_path: Path) -> None:
    (tmp_path / "qrels").write_text("q1 0 a 1\n")
    (tmp_path / "run").write_text("q1 Q0 b 1 2.0 t\nq1 Q0 a 2 1.0 t\n")
    printed = run("evaluate_a_run.py", str(tmp_path / "qrels"), str(tmp_path / "run"))
    assert printed == "run 1: nDCG@10 0.6309, RR@10 0.5000, R@10 1.0000\n"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    opened = Answering(f"sqlite:///{tmp_path}/registry.db")
    opened.promote("app", pin("retriever:robust@5 > reranker:refine@10"), Note())
    return opened


def test_a_gateway_is_asked(registry: Registry) -> None:
    with listening(gateway(registry).app) as url:
        printed = run("query_a_gateway.py", "deposit", "--url", url).splitlines()
    assert printed[0] == "app is served by retriever:robust@5 > reranker:refine@10 (release 1)"
    hits = [line.split() for line in printed[1:4]]
    assert [(score, name) for score, name, *_ in hits] == [("3.0000", "d2"), ("1.0000", "d9"), ("1.0000", "d10")]
    assert printed[1].endswith("(2. of the retriever)")
    assert printed[5:] == [
        "retriever:robust@5 > reranker:refine@10: d2, d9, d10",
        "retriever:robust@5 > none@10: d1, d2, d9",
    ]


def test_a_gateway_that_is_away_is_one_line() -> None:
    told = run("query_a_gateway.py", "deposit", "--url", "http://127.0.0.1:9", fails=True)
    assert told.startswith("http://127.0.0.1:9: ") and "Traceback" not in told


@pytest.mark.long
def test_ones_own_documents_are_trained_on_and_a_winner_is_chosen(
    beir: BeirWriter, tiny_model: Path, tmp_path: Path
) -> None:
    places = [(topic, number) for topic in TOPICS for number in range(len(SPLITS))]
    judged = {split: [(f"q-{t}-{n}", f"d-{t}-{n}", 1) for t, n in places if SPLITS[n] == split] for split in SPLITS}
    folder = beir(
        documents=[
            {"_id": f"d-{t}-{n}", "title": t, "text": f"Section {n} on {t}: within {n + 2} days."}
            for t in TOPICS
            for n in range(SECTIONS)
        ],
        queries=[{"_id": f"q-{t}-{n}", "text": f"what about {t} in {n + 2} days"} for t, n in places],
        **judged,
    )
    arguments = [str(folder), "--base", str(tiny_model), "--steps", "2", "--store", str(tmp_path / "store")]
    printed = dict(
        line.split(": ", 1)
        for line in run("train_and_choose.py", *arguments, timeout=800).splitlines()
        if line.startswith(("Winner on dev: ", "On test: ", "Report: "))
    )
    assert printed["Winner on dev"] in printed["On test"] and Path(printed["Report"]).is_file()
    assert (tmp_path / "store" / "checkpoint").is_dir()
