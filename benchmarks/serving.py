"""Batches formed when the model is idle, against Serve's own @serve.batch: latency under the same load.

python -m benchmarks.serving                      # rates of 20, 60 and 120 requests a second, 20 s each: 8 minutes
python -m benchmarks.serving --rates 20 --seconds 5

Both run as Serve deployments of one replica with the same cost of a call, 40 ms and 4 ms more a request: a model that
is cheaper in batches. Requests arrive as a Poisson process that does not wait for answers; latency counts from when a
request was due.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.machine import heading, table
from mixstage.serve.workers.batcher import IdleBatcher

_MOST = 32  # requests of a call
_PATIENCE_S = 20.0  # after the last arrival; what has no answer then counts as that late
_WAITS = (0.0, 0.01, 0.05)  # seconds that @serve.batch waits for a batch to fill


def cost(items: list[int]) -> list[int]:
    """A call of the model."""
    time.sleep(0.040 + 0.004 * len(items))
    return items


class Idle:
    """Ours."""

    def __init__(self) -> None:
        self.batcher = IdleBatcher(cost, size=lambda _: 1, budget=_MOST)

    async def ask(self, item: int) -> int:
        return await self.batcher.ask(item)


def stock(wait_s: float) -> type:
    """Serve's, as its documentation shows it, with the call on a thread: on the event loop it could take no request."""
    from ray import serve

    class Stock:
        @serve.batch(max_batch_size=_MOST, batch_wait_timeout_s=wait_s)
        async def ask(self, items: list[int]) -> list[int]:
            return await asyncio.to_thread(cost, items)

    return Stock


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one way at one rate."""

    latencies: np.ndarray  # (N,) seconds, `inf` for requests without an answer

    def percentile(self, share: float) -> str:
        value = float(np.quantile(self.latencies, share, method="higher"))
        return f"{1000 * value:,.0f} ms" if np.isfinite(value) else "no answer"

    @property
    def answered(self) -> str:
        return f"{np.isfinite(self.latencies).mean():.0%}"


async def load(handle: Any, rate: float, seconds: float, seed: int) -> Measured:
    """Requests that are due at the times of a Poisson process."""
    generator = np.random.default_rng(seed)
    due = np.cumsum(generator.exponential(1 / rate, size=int(rate * seconds)))
    start = time.perf_counter()

    async def one(at: float) -> float:
        await asyncio.sleep(start + at - time.perf_counter())
        await handle.ask.remote(0)
        return time.perf_counter() - start - at

    tasks = [asyncio.create_task(one(float(at))) for at in due]
    done, late = await asyncio.wait(tasks, timeout=float(due[-1]) + _PATIENCE_S)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    latencies = [task.result() for task in done if task.exception() is None]
    return Measured(np.array(latencies + [np.inf] * (len(tasks) - len(latencies))))


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__.splitlines()[0])
    options.add_argument("--rates", type=float, nargs="+", default=[20, 60, 120], help="requests a second")
    options.add_argument("--seconds", type=float, default=20)
    given = options.parse_args(arguments)
    from ray import serve

    from mixstage.connection import connect

    connect()
    ways = {"idle": Idle} | {f"@serve.batch, wait {1000 * wait:g} ms": stock(wait) for wait in _WAITS}
    rows = [("rate", "batches", "answered", "p50", "p99", "p50 against idle")]
    print(heading(f"Batching: 40 ms + 4 ms a request, at most {_MOST} a call, {given.seconds:g} s a rate"))
    for rate in given.rates:
        first = None
        for name, kind in ways.items():
            deployment: Any = serve.deployment(kind)
            handle = serve.run(
                deployment.options(max_ongoing_requests=100_000, ray_actor_options={"num_cpus": 0.5}).bind(), name="b"
            )
            handle.ask.remote(0).result()
            measured = asyncio.run(load(handle, rate, given.seconds, seed=1))
            serve.delete("b")
            p50 = float(np.quantile(measured.latencies, 0.5, method="higher"))
            first = p50 if first is None else first
            quantiles = measured.percentile(0.5), measured.percentile(0.99)
            rows.append((f"{rate:g}/s", name, measured.answered, *quantiles, f"{p50 / first:.2f}"))
    print(table(*rows))
    serve.shutdown()  # type: ignore[no-untyped-call]
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
