"""Benchmarks start, each in a process of its own; what they say of themselves can be run again."""

import re
import subprocess
import sys

import pytest

from benchmarks import trials
from tests.conftest import ROOT

PARTS = {"__init__", "machine", "embedding_worker"}  # of others; what the last takes stands in its first line
NAMES = sorted({path.stem for path in (ROOT / "benchmarks").glob("*.py")} - PARTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_starts(name: str) -> None:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: python -m benchmarks.{name}") or name in ("curriculum", "outcome")


def test_callers_ask_this_machine_only() -> None:
    command = [sys.executable, "-m", "benchmarks.callers", "jobs/plans/sample.yaml", "--url", "http://example.org"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "on this machine only" in done.stderr


def test_trials_are_decided_when_the_documentation_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert trials.main(["--runs", "3"]) == 0
    said = dict(re.findall(r"\| ([^|]+) \| ([^|]+) \|", capsys.readouterr().out))
    assert said["half of its requests fail"] == said["all of its requests fail"] == "roll back at request 5"
    assert said["none fails, as fast as the live one"] == "promote at request 449"
    assert said["the same, errors 0.05"] == "promote at request 88"
    assert said["twice as slow, 3 simulated"].startswith("roll back at request ")
