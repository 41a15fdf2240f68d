"""Which Ray a run works on: its own, unless RAY_ADDRESS names one; and what it says if that one can't do the work."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAST_CLUSTER = "ray_current_cluster"  # in Ray's folder: the address that `ray start` noted last
# Spreads one task, and says where it ran and how many CPUs there were.
WORK = """
import ray
from mixstage.cluster import run_tasks
from mixstage.commands.console.session import guarded
from mixstage.connection import connect_when_needed
from mixstage.plan.stages import Workers
import sys

def where(number):
    return ray.get_runtime_context().gcs_address

def job():
    connect_when_needed()
    workers = Workers(cpus=int(sys.argv[1]), gpus=float(sys.argv[2]))
    print("ran at", *run_tasks(where, [(1,)], workers=workers))

sys.exit(guarded("work", job))
"""


def free_port() -> int:
    with closing(socket.socket()) as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def work(folder: Path, *, cpus: int = 1, gpus: float = 0, seconds: float = 200, **env: str) -> tuple[int | None, str]:
    """Exit status (None: it had to be ended) and output of `WORK`, with Ray's folder in `folder`."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, str(cpus), str(gpus)],
        env={name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        | {"RAY_TMPDIR": str(folder), "PYTHONPATH": f"{ROOT / 'lib'}"}
        | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=seconds)
        return process.returncode, printed
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        printed, _ = process.communicate()
        return None, printed


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short path, for Ray's sockets lie below it."""
    return Path(tmp_path_factory.mktemp("r"))


def note_last_cluster(folder: Path, address: str) -> None:
    (folder / "ray").mkdir(exist_ok=True)
    (folder / "ray" / LAST_CLUSTER).write_text(address)


@pytest.mark.long
def test_the_last_cluster_of_the_host_is_not_joined_dead_as_it_is(folder: Path) -> None:
    port = free_port()
    note_last_cluster(folder, f"127.0.0.1:{port}")
    status, printed = work(folder)
    assert status == 0, printed
    assert "ran at" in printed and f":{port}" not in printed


@pytest.mark.long
def test_an_address_where_nobody_answers_is_named_after_a_bounded_time(folder: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    begun = time.monotonic()
    status, printed = work(folder, RAY_ADDRESS=address)
    assert (status, time.monotonic() - begun < 100) == (2, True)
    assert printed.startswith(f"work: no Ray cluster answers at RAY_ADDRESS={address} within 30 s: start its head")
    assert "unset RAY_ADDRESS" in printed and len(printed.splitlines()) == 1


@pytest.mark.long
def test_what_this_machine_will_never_have_is_refused_before_it_waits(folder: Path) -> None:
    status, printed = work(folder, gpus=64)
    assert status == 2, printed
    assert "the work asks for a worker with 1 CPUs and 64 GPUs, and this machine has" in printed
    assert "--set resources.NAME.cpus=1" in printed and "Traceback" not in printed


@pytest.fixture
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Somebody's head with one CPU: Ray's folder, which holds its address as the last cluster's, and the address."""
    folder, port = Path(tmp_path_factory.mktemp("h")), free_port()
    command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--num-cpus=1", f"--port={port}"]
    command += ["--disable-usage-stats", "--include-dashboard=false", f"--object-store-memory={150 << 20}"]
    command += ["--min-worker-port=0", "--max-worker-port=0"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {
        "RAY_AUTH_MODE": "token"
    }
    log = folder / "log"
    with log.open("w") as out:
        head = subprocess.Popen(
            command, env=env | {"RAY_TMPDIR": str(folder)}, stdout=out, stderr=out, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 120
        while "Ray runtime started" not in log.read_text():
            assert head.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        yield folder, (folder / "ray" / LAST_CLUSTER).read_text()
    finally:
        os.killpg(head.pid, signal.SIGKILL)
        head.wait()


@pytest.mark.long
def test_a_strangers_head_is_joined_only_by_its_name(stranger: tuple[Path, str]) -> None:
    folder, address = stranger
    status, printed = work(folder)
    assert status == 0 and "ran at" in printed and address not in printed, printed
    status, printed = work(folder, RAY_ADDRESS=address, RAY_AUTH_MODE="disabled")
    assert status == 2 and f"the Ray cluster at RAY_ADDRESS={address} can't be joined: " in printed
    assert "RAY_AUTH_TOKEN" in printed and "Traceback" not in printed
    token = {"RAY_ADDRESS": address, "RAY_AUTH_MODE": "token"}
    status, printed = work(folder, **token)
    assert status == 0 and f"ran at {address}" in printed, printed
    status, printed = work(folder, cpus=2, seconds=25, **token)
    assert status is None, "a cluster may grow, so it waits"
    assert "The work asks for a worker with 2 CPUs and 0 GPUs; nodes of the cluster have 1 CPUs and 0 GPUs." in printed
