"""The command line: what it prints, what it says when it can't, and that it stays light."""

import json
import math
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from mixstage.commands.measure import main

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
    assert "run.trec: 1 of 2 judged queries have no ranking and count 0, such as 'q2'" in printed.err


def test_the_relevance_level_is_passed_on(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*files, "--rel-level", "2", "--measures", "RR"]) == 0
    assert json.loads(capsys.readouterr().out)["per_query"] == {"q1": {"RR": 1 / 3}, "q2": {"RR": 0.0}}


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--measures", "ndcg@10"], "measure: unknown measure 'ndcg@10': use one of"),
        (["--measures", "RR", "--rel-level", "0"], "measure: rel_level is 0"),
        (["--measures", "RR", "--run", "/absent"], "measure: /absent cannot be read"),
        (["--measures", "RR", "--per-query", "/absent/x.parquet"], "measure: /absent/x.parquet cannot be written"),
        (["--measures", "RR", "--qrels", "/dev/null"], "measure: /dev/null has no query with a grade"),
    ],
)
def test_what_cannot_be_measured_is_said_on_standard_error(
    files: list[str], extra: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*files, *extra]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and message in printed.err and "Traceback" not in printed.err


@pytest.fixture
def several(files: list[str], tmp_path: Path) -> list[str]:
    """q1 and q2 of the first run as above; the second, as JSON, finds q2's document and q1's second only."""
    (tmp_path / "b.json").write_text('{"q1": {"b": 1.0}, "q2": {"a": 1, "x": 0}}')
    (tmp_path / "c.json").write_text('{"mteb_model_meta": {}, "default": {"dev": {}, "test": {"q1": {"a": 1}}}}')
    return [*files, str(tmp_path / "b.json"), str(tmp_path / "c.json"), "--split", "test", "--measures", "R@2", "RR"]


def test_several_runs_are_compared_with_the_first(
    several: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*several, "--json", "--per-query", str(tmp_path / "values.parquet")]) == 0
    first, second, third = json.loads(capsys.readouterr().out)
    assert [first["mean"], second["mean"], third["mean"]] == [
        {"R@2": 0.25, "RR": 0.5},
        {"R@2": 0.75, "RR": 1.0},
        {"R@2": 0.25, "RR": 0.5},
    ]
    assert first["over_first"] == {}
    # R@2: 0 and 1 for the two queries; sd = 1 / sqrt(2), so the half width is t(1) / 2 = 12.7062 / 2.
    lead = second["over_first"]["R@2"]
    assert (lead["mean"], lead["wins"], lead["losses"]) == (0.5, 1, 0)
    assert (lead["low"], lead["high"]) == pytest.approx((0.5 - 6.3531, 0.5 + 6.3531), abs=1e-4)
    assert lead["p"] == 1.0  # one query's sign decides nothing
    assert third["over_first"]["RR"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "p": 1.0, "wins": 0, "losses": 0}
    values = pl.read_parquet(tmp_path / "values.parquet")
    assert values.columns == ["run", "query_id", "R@2", "RR"]
    assert values.filter(query_id="q2")["R@2"].to_list() == [0.0, 1.0, 0.0] and len(values) == 6


def test_several_runs_are_printed_as_tables(several: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(several) == 0
    printed = capsys.readouterr().out
    assert "means over 2 judged queries" in printed and "+0.5000" in printed
    assert "[-5.8531, +6.8531]" in printed and "1 : 0" in printed


def test_p_values_hold_for_all_rows_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Six queries won of six, none lost: 2 of the 64 signs are as extreme, so p is about 2/64 for a row alone.
    queries = [f"q{i}" for i in range(6)]
    (tmp_path / "qrels").write_text("".join(f"{query} 0 a 1\n" for query in queries))
    (tmp_path / "a").write_text("".join(f"{query} Q0 x 1 1 t\n" for query in queries))
    (tmp_path / "b").write_text("".join(f"{query} Q0 a 1 1 t\n" for query in queries))
    runs = [str(tmp_path / name) for name in "ab"]
    assert main(["--qrels", str(tmp_path / "qrels"), "--run", *runs, "--measures", "P@1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[1]["over_first"]["P@1"]["p"] == pytest.approx(2 / 64, abs=0.01)


def test_it_runs_as_a_module_without_loading_ray_or_torch(files: list[str]) -> None:
    heavy = "print({'ray', 'torch'} & set(sys.modules), file=sys.stderr)"
    for how in (["-m", "jobs.measure"], ["-c", f"import sys, jobs.measure as job; job.main(); {heavy}"]):
        command = [sys.executable, *how, *files, "--measures", "P@1"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
        assert json.loads(done.stdout)["mean"] == {"P@1": 0.5}
    assert done.stderr.endswith("set()\n")


def test_a_run_and_judgements_of_other_queries_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.trec").write_text("q7 Q0 d1 1 0.5 tag\n")
    (tmp_path / "qrels.trec").write_text("q1 0 d1 1\n")
    files = ["--qrels", str(tmp_path / "qrels.trec"), "--run", str(tmp_path / "run.trec")]
    assert main([*files, "--measures", "RR@10"]) == 2
    assert "no query of the run is judged: it has 'q7', the judgements 'q1'" in capsys.readouterr().err
