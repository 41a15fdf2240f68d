"""Known noise is taken out of standard error, whoever writes it; everything else passes."""

import os
import pty
import subprocess
import sys
from contextlib import suppress

from mixstage.commands.console.noise import without_noise

NOISY = """
import faulthandler, os, subprocess, sys
from mixstage.commands.console.session import guarded
from mixstage.errors import InputError

def job():
    os.write(2, b"[2026-11-30 20:40:25 E 1 1] core_worker.cc:2465: Actor with class name: 'MapWorker(Map(_Actor))' and "
        b"ID: 'bb57' has constructor arguments in the object store and max_restarts > 0. If the\\n")
    os.write(2, b"[2026-11-30 20:40:25 E 1 1] core_worker.cc:2465: Something else \\xff\\n")
    os.write(2, b"(pid=gcs_server) gcs_actor_scheduler.cc:538: Failed to kill actor 9b07, return status: Invalid: "
        b"KillActor RPC failed for actor 9b07: RpcError: RPC error: Socket closed rpc_code: 14\\n")
    print("WARNING __init__.py:28 -- Progress bars disabled. To enable, set "
        "`ray.data.DataContext.get_current().enable_progress_bars = True`.", file=sys.stderr)
    subprocess.run(["sh", "-c", "echo from a child >&2"])
    print("said")
    print("half a line", end="", file=sys.stderr)
    END

sys.exit(guarded("work", job, verbose=bool(sys.argv[1:])))
"""
ON_A_TERMINAL = """
import sys, time
from mixstage.commands.console.session import guarded
from mixstage.progress import Progress

def items():
    for item in range(3):
        time.sleep(0.2)
        print("Progress bars disabled. To enable, set "
            "`ray.data.DataContext.get_current().enable_progress_bars = True`.", file=sys.stderr)
        print("a warning", file=sys.stderr)
        yield item

sys.exit(guarded("work", lambda: list(Progress().track(items(), "embed", total=3, unit="texts")) and None))
"""
CLEANER = "(PlacementGroupCleaner pid=9, ip=1.2.3.4)"
TRACEBACK = [
    "Exception in thread ",
    "PlacementGroupCleanerMonitor:",  # torn: that is how a worker's lines may come
    "Traceback (most recent call last):",
    '  File "ray/train/v2/_internal/execution/controller/placement_group_cleaner.py", line 80, in _monitor_loop',
    "    alive = is_actor_alive(",
    "            ^^^^^^^^^^^^^^^",
]
TWO_RAYS = "ConnectionError: Found multiple active Ray instances: {'1.2.3.4:1', '1.2.3.4:2'}. Please specify"


def run(*arguments: str, end: str = 'raise InputError("refused")') -> tuple[int, str, list[str]]:
    """Exit status, output, lines of standard error."""
    command = [sys.executable, "-c", NOISY.replace("END", end), *arguments]
    done = subprocess.run(command, capture_output=True, errors="replace", timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr.splitlines()


def test_noise_is_taken_out_by_its_words() -> None:
    status, printed, errors = run()
    assert (status, printed) == (2, "said\n")
    assert errors == [
        "[2026-11-30 20:40:25 E 1 1] core_worker.cc:2465: Something else \ufffd",
        "from a child",
        "half a linework: refused",
    ]


def test_verbose_shows_everything() -> None:
    _, _, errors = run("verbose")
    assert len(errors) == 6 and "MapWorker" in errors[0]


def test_a_failure_keeps_its_traceback() -> None:
    status, _, errors = run(end='raise ValueError("unforeseen")')
    assert status == 1 and errors[-1] == "ValueError: unforeseen" and "MapWorker" not in "".join(errors)


def test_last_words_arrive_whatever_ends_the_process() -> None:
    status, _, errors = run(end="os._exit(7)")
    assert status == 7 and errors[-1] == "half a line"
    status, _, errors = run(end="faulthandler.enable(); faulthandler._sigsegv()")
    assert status == -11 and "Fatal Python error: Segmentation fault" in "\n".join(errors)


def test_a_traceback_is_noise_by_its_last_line() -> None:
    def said(*lines: str) -> list[str]:
        return [f"{CLEANER} {line}\n" for line in lines]

    noise, other = said(*TRACEBACK, TWO_RAYS), said(*TRACEBACK, "ValueError: something new")
    after = said("a word after")
    assert list(without_noise([*noise, *after])) == after
    assert list(without_noise([*other, *after])) == [*other, *after]
    assert list(without_noise([noise[0], "between\n", *noise[1:]])) == ["between\n"]
    repeated = f"{noise[-2].rstrip()}\x1b[32m [repeated 2x across cluster]\x1b[0m\n"
    assert list(without_noise([*noise, repeated, *after])) == after
    assert list(without_noise([*other, repeated])) == [*other, repeated]
    long = said(TRACEBACK[0], *["    again"] * 100)
    assert list(without_noise(long)) == long
    assert list(without_noise(other[:3])) == other[:3]  # the stream ends within


def test_an_interrupted_job_says_what_is_kept() -> None:
    status, _, errors = run(end="raise KeyboardInterrupt")
    assert status == 130
    assert errors[-1].endswith("work: interrupted; what is finished is kept, and the same command goes on from there")


def test_on_a_terminal_a_live_line_shows_the_time_left_and_noise_is_taken_out_as_well() -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", ON_A_TERMINAL]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | {"TERM": "xterm"}
    ) as run:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # how a terminal ends
            while part := os.read(ours, 4096):
                shown += part
    os.close(ours)
    assert run.returncode == 0
    assert b"1/3" in shown and b"0:00:0" in shown and b"embed: 3 texts" in shown
    assert shown.count(b"a warning") == 3 and b"Progress bars disabled" not in shown
