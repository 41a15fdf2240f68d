"""Known noise is taken out of standard error, whoever writes it; everything else passes."""

import subprocess
import sys

NOISY = """
import os, subprocess, sys
from mixstage.commands.console.session import guarded
from mixstage.errors import InputError

def job():
    os.write(2, b"[2026-11-30 20:40:25 E 1 1] core_worker.cc:2465: Actor with class name: 'MapWorker(Map(_Actor))' and "
        b"ID: 'bb57' has constructor arguments in the object store and max_restarts > 0. If\\n")
    os.write(2, b"[2026-11-30 20:40:25 E 1 1] core_worker.cc:2465: Something else\\n")
    print("(RayTrainWorker pid=7) Reporting training result 1: TrainingReport(x)", file=sys.stderr)
    print("(PlacementGroupCleaner pid=9, ip=1.2.3.4)   File x", file=sys.stderr)
    subprocess.run(["sh", "-c", "echo from a child >&2"])
    print("said")
    print("half a line", end="", file=sys.stderr)
    raise InputError("refused")

sys.exit(guarded("work", job, verbose=bool(sys.argv[1:])))
"""


def run(*arguments: str) -> tuple[str, str]:
    command = [sys.executable, "-c", NOISY, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    return done.stdout, done.stderr


def test_noise_is_taken_out_by_its_words() -> None:
    printed, errors = run()
    assert printed == "said\n"
    assert errors.splitlines() == [
        "[2026-11-30 20:40:25 E 1 1] core_worker.cc:2465: Something else",
        "from a child",
        "half a linework: refused",
    ]


def test_verbose_shows_everything() -> None:
    _, errors = run("verbose")
    assert len(errors.splitlines()) == 6 and "MapWorker" in errors


def test_a_failure_keeps_its_traceback() -> None:
    script = NOISY.replace('InputError("refused")', 'ValueError("unforeseen")')
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "ValueError: unforeseen" in done.stderr and "MapWorker" not in done.stderr
