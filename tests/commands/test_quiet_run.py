"""A run prints what mixstage says and nothing else, and one line at each phase's end."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_pipeline import ROOT, environment, write_plan

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
PHASE = re.compile(r"(prepare|train|index|evaluate|select): ((?:built|found) .+); [\d.]+ s$")
SAID = re.compile(
    r"""
      $ | [┏┃┡│├└]                                                          # tables ...
    | (dev|test|pairs),[ ]                                                  # ... and their titles
    | (prepare|embed|index|count|rank|score|time[ ]answers)\b[^:]*:[ ]\d          # progress
    | (retriever|reranker)[ ]\w+[^:]*:[ ]\d+[ ](of|steps|samples)\b         # ... of training
    | (statutes|counsel's[ ]queries|drafting's[ ]queries)[ ]with[ ]\w+:[ ]  # what was embedded
    | (Winner|Verdict|Sharing|Cover|Forgets|Pairs|Race|Report|Time|Serve[ ]it):[ ]
    | because:[ ] | gain[ ]over[ ]the[ ]incumbent[ ]
    | (counsel|drafting):[ ]release[ ]\d
    """,
    re.VERBOSE,
)


def run(plan: Path) -> list[str]:
    """Lines of output and standard error together, without the blanks around them."""
    env = {name: value for name, value in environment().items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-m", "mixstage", "pipeline", str(plan)],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return [line.strip() for line in done.stdout.splitlines()]


def phases(printed: list[str]) -> dict[str, str]:
    lines = [match.groups() for line in printed if (match := PHASE.match(line))]
    assert [name for name, _ in lines] == ["prepare", "train", "index", "evaluate", "select"]
    return {str(name): str(what) for name, what in lines}


def test_a_pipeline_with_training_prints_only_what_mixstage_says(tmp_path: Path, tiny_model: Path) -> None:
    plan = write_plan(tmp_path, tiny_model)
    printed = run(plan)
    assert [line for line in printed if not (SAID.match(line) or PHASE.match(line))] == []
    assert phases(printed)["prepare"] == "built 1 corpus, 2 applications"
    assert phases(printed)["select"] == "built 1 choice, 1 look, 1 report"
    again = phases(run(plan))
    assert (
        again["prepare"] == "found 1 corpus, 2 applications" and again["evaluate"] == "found 8 rankings, 1 cost, 1 grid"
    )
