"""The Ray edge by which the steps of a fit reach the driver's display."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import ray

from mixstage.progress import Progress

_POLL = 0.5  # seconds


class Meter:
    """Points of a running fit on their way to the driver."""

    def __init__(self) -> None:
        self.points: list[dict[str, float]] = []

    def put(self, point: dict[str, float]) -> None:
        self.points.append(point)

    def take(self) -> list[dict[str, float]]:
        taken, self.points = self.points, []
        return taken


def open_meter() -> Any:
    """An actor's handle; it needs no CPU of its own."""
    return ray.remote(Meter).options(num_cpus=0).remote()


@contextmanager
def shown(meter: Any, progress: Progress, label: str) -> Iterator[None]:
    """Shows the run's steps while the body runs. Ray Train wants the main thread, so the display gets another."""
    over = threading.Event()
    thread = threading.Thread(target=_show, args=(meter, progress, label, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _show(meter: Any, progress: Progress, label: str, over: threading.Event) -> None:
    points = _points(meter, over)
    first = next(points, None)
    if first is None:
        return
    done = first["step"] - 1  # a resumed run starts late
    sized = ((point, int(point["step"] - before)) for before, point in _pairs(done, chain([first], points)))
    total = int(first["steps"])
    for _ in progress.track_sized(sized, label, total=total, unit="steps", note=lambda p: f"loss {p['loss']:.4f}"):
        pass


def _pairs(before: float, points: Iterator[dict[str, float]]) -> Iterator[tuple[float, dict[str, float]]]:
    for point in points:
        yield before, point
        before = point["step"]


def _points(meter: Any, over: threading.Event) -> Iterator[dict[str, float]]:
    while True:
        last = over.is_set()
        yield from ray.get(meter.take.remote())
        if last:
            return
        time.sleep(_POLL)
