"""What callers get from a served plan: answers a second and latencies, by how many ask at once.

python -m benchmarks.callers jobs/plans/sample.yaml     # serves what is released, asks it from this machine: 90 s
python -m benchmarks.callers jobs/plans/sample.yaml --callers 1 --seconds 2
python -m benchmarks.callers jobs/plans/sample.yaml --url http://127.0.0.1:8000   # a gateway that runs already

Each caller waits for its answer before it asks again, through `mixstage.Client` without retries. Queries are the test
queries of the first application that is live, again and again. Only gateways on this machine are asked.
"""

import argparse
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from subprocess import PIPE, Popen
from urllib.parse import urlsplit

import numpy as np

from benchmarks.machine import heading, table
from mixstage import Client, ClientError, Pipeline, Plan, load_plan
from mixstage.corpus.application import read_queries

_HERE = ("127.0.0.1", "localhost")
_DEADLINE_S = 60.0
_END_S = 60.0  # in which a gateway that was started is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a number of callers saw."""

    latencies: np.ndarray  # (N,) seconds of the answers
    errors: int
    seconds: float

    def row(self, callers: int) -> tuple[str, ...]:
        rate = f"{len(self.latencies) / self.seconds:.1f}"
        return (str(callers), rate, *(self._percentile(share) for share in (50, 95, 99)), str(self.errors))

    def _percentile(self, share: float) -> str:
        return f"{1000 * np.percentile(self.latencies, share):,.0f} ms" if len(self.latencies) else "no answer"


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks.callers", description=__doc__.splitlines()[0])
    options.add_argument("plan")
    options.add_argument("--set", action="append", default=[], metavar="KEY.PATH=VALUE", help="override the plan")
    options.add_argument("--url", help="a gateway on this machine [one is started, and stopped at the end]")
    options.add_argument("--callers", type=int, nargs="+", default=[1, 4, 8])
    options.add_argument("--seconds", type=float, default=20, help="for each number of callers")
    given = options.parse_args(arguments)
    if given.url and urlsplit(given.url).hostname not in _HERE:
        options.error("--url: a gateway on this machine only, at 127.0.0.1")
    plan = load_plan(given.plan, given.set)
    with running(given.url) if given.url else served(plan, given.plan, given.set) as (url, started):
        with Client(url, deadline_s=_DEADLINE_S) as client:
            application, live = next(iter(client.applications().items()))
        queries = read_queries(Pipeline.of(plan).prepared.applications[application], "test")["text"].to_list()
        title = f"{application} by {live.composition}, {len(queries)} queries, {given.seconds:g} s a row{started}"
        print(heading(title))
        rows = [load(url, application, queries, callers, given.seconds).row(callers) for callers in given.callers]
    print(table(("callers", "answers a second", "p50", "p95", "p99", "errors"), *rows))
    return 0


@contextmanager
def running(url: str) -> Iterator[tuple[str, str]]:
    yield url, ""


@contextmanager
def served(plan: Plan, path: str, overrides: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The gateway's URL once it greets, and how long that took."""
    command = [sys.executable, "-m", "serve.app", path, *(part for one in overrides for part in ("--set", one))]
    start = time.perf_counter()
    with Popen(command, stdout=PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            greeting = next((line for line in process.stdout if line.startswith("Serving ")), None)
            if greeting is None:
                raise SystemExit(f"{path} is not served: {' '.join(command)} says why")
            seconds = time.perf_counter() - start
            threading.Thread(target=process.stdout.read, daemon=True).start()  # a full pipe would stop it
            yield f"http://127.0.0.1:{plan.serving.port}", f", {seconds:.1f} s to its greeting"
        finally:
            process.send_signal(signal.SIGINT)  # as Ctrl-C: its own Ray ends with it
            process.wait(_END_S)


def load(url: str, application: str, queries: Sequence[str], callers: int, seconds: float) -> Load:
    """Each caller begins at another query."""
    end = time.perf_counter() + seconds

    def call(number: int) -> tuple[list[float], int]:
        latencies, errors = [], 0
        place = number * len(queries) // callers
        with Client(url, retries=0, deadline_s=_DEADLINE_S) as client:
            while (begin := time.perf_counter()) < end:
                try:
                    client.search(application, queries[place % len(queries)])
                    latencies.append(time.perf_counter() - begin)
                except ClientError:
                    errors += 1
                place += 1
        return latencies, errors

    begin = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        found = list(pool.map(call, range(callers)))
    taken = time.perf_counter() - begin
    latencies = np.array([one for latencies, _ in found for one in latencies])
    return Load(latencies=latencies, errors=sum(errors for _, errors in found), seconds=taken)


if __name__ == "__main__":
    raise SystemExit(main())
