"""A run prints what mixstage says and nothing else."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_pipeline import ROOT, environment, write_plan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
# What a line of mixstage begins with, after the blanks; a table's rows begin and end with its frame.
SAID = re.compile(
    r"""
    $ | [┏┃┡│└├╭╰] | dev, | test, | pairs,   # tables and their titles
    """,
    re.VERBOSE,
)


def test_a_pipeline_with_training_prints_only_what_mixstage_says(tmp_path: Path, tiny_model: Path) -> None:
    plan = write_plan(tmp_path, tiny_model)
    command = [sys.executable, "-m", "mixstage", "pipeline", str(plan)]
    env = {name: value for name, value in environment().items() if not name.startswith("RAY_")}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert [line for line in done.stdout.splitlines() if not SAID.match(line.strip())] == []
