"""The command line: what it prints, what it says when it can't, and that it stays light."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.measure import main

REPOSITORY = Path(__file__).parents[2]
QRELS = "query-id\tcorpus-id\tscore\nq1\ta\t2\nq1\tb\t1\nq2\ta\t1\n"
RUN = "q1 Q0 b 1 2.0 t\nq1 Q0 x 2 1.5 t\nq1 Q0 a 3 1.0 t\nq9 Q0 a 1 1.0 t\n"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "qrels.tsv").write_text(QRELS)
    (tmp_path / "run.trec").write_text(RUN)
    return ["--qrels", str(tmp_path / "qrels.tsv"), "--run", str(tmp_path / "run.trec")]


def test_it_prints_values_by_query_and_their_means(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*files, "--measures", "nDCG@10", "MRR@10", "RR@10", "R@20"]) == 0
    # q1: DCG = 1/log2(2) + 2/log2(4) = 2, ideal = 2/log2(2) + 1/log2(3). q2 has no ranking. q9 is not judged.
    ndcg = 2.0 / (2.0 + 1.0 / math.log2(3))
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {
        "per_query": {
            "q1": {"nDCG@10": ndcg, "RR@10": 1.0, "R@20": 1.0},
            "q2": {"nDCG@10": 0.0, "RR@10": 0.0, "R@20": 0.0},
        },
        "mean": {"nDCG@10": ndcg / 2, "RR@10": 0.5, "R@20": 0.5},
    }
    assert "1 of 2 judged queries have no ranking and count 0, such as 'q2'" in printed.err


def test_the_relevance_level_is_passed_on(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*files, "--rel-level", "2", "--measures", "RR"]) == 0
    assert json.loads(capsys.readouterr().out)["per_query"] == {"q1": {"RR": 1 / 3}, "q2": {"RR": 0.0}}


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--measures", "ndcg@10"], "measure: unknown measure 'ndcg@10': use one of"),
        (["--measures", "RR", "--rel-level", "0"], "measure: rel_level is 0"),
        (["--measures", "RR", "--run", "/absent"], "measure: /absent cannot be read"),
        (["--measures", "RR", "--qrels", "/dev/null"], "measure: /dev/null has no query with a grade"),
    ],
)
def test_what_cannot_be_measured_is_said_on_standard_error(
    files: list[str], extra: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*files, *extra]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith(message) and "Traceback" not in printed.err


def test_it_runs_as_a_module_without_loading_ray_or_torch(files: list[str]) -> None:
    heavy = "print({'ray', 'torch'} & set(sys.modules), file=sys.stderr)"
    for how in (["-m", "jobs.measure"], ["-c", f"import sys, jobs.measure as job; job.main(); {heavy}"]):
        command = [sys.executable, *how, *files, "--measures", "P@1"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
        assert json.loads(done.stdout)["mean"] == {"P@1": 0.5}
    assert done.stderr.endswith("set()\n")
