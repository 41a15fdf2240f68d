"""Progress on long work: bars where someone watches a terminal, lines where a log is kept."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

T = TypeVar("T")
_LOG_WIDTH = 160  # columns of a table in a log
_LINE_EVERY = 15.0  # seconds between lines of one task in a log


class Progress:
    """Tracks tasks and remembers how long each phase took.

    >>> progress = Progress()
    >>> with progress.phase("train"):
    ...     pass
    >>> list(progress.seconds)
    ['train']
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or _console()
        self.seconds: dict[str, float] = {}  # phase -> wall seconds, in order
        self.terminal = threading.Lock()  # one task at a time may move its bar, others write lines

    def say(self, text: str) -> None:
        self.console.print(text, markup=False)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Times a phase under its name."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def track(self, items: Iterable[T], label: str, *, total: int, unit: str) -> Iterator[T]:
        """Passes items through and shows how many of `total` came."""
        sizes = ((item, 1) for item in items)
        yield from self.track_sized(sizes, label, total=total, unit=unit)

    def track_sized(
        self,
        items: Iterable[tuple[T, int]],
        label: str,
        *,
        total: int,
        unit: str,
        note: Callable[[T], str] | None = None,
    ) -> Iterator[T]:
        """The same for items that each stand for a number of units: (item, units). note: said of the last item."""
        if self.console.is_terminal and self.terminal.acquire(blocking=False):
            try:
                yield from self._bars(items, label, total, unit, note)
            finally:
                self.terminal.release()
        else:
            yield from self._lines(items, label, total, unit, note)

    def _bars(
        self, items: Iterable[tuple[T, int]], label: str, total: int, unit: str, note: Callable[[T], str] | None
    ) -> Iterator[T]:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        start = time.perf_counter()
        rate = ""
        # Left alone, rich would print what is meant for standard error itself, past whoever filters that.
        with Bars(*columns, console=self.console, transient=True, redirect_stderr=False) as bars:
            task = bars.add_task(label, total=total, rate=unit)
            done = 0
            for item, size in items:
                done += size
                rate = _rate(done, start, unit, note and note(item))
                bars.update(task, advance=size, rate=rate)
                yield item
        self.say(f"{label}: {done} {rate or unit}")

    def _lines(
        self, items: Iterable[tuple[T, int]], label: str, total: int, unit: str, note: Callable[[T], str] | None
    ) -> Iterator[T]:
        start = last = time.perf_counter()
        done, rate = 0, ""
        for item, size in items:
            done += size
            rate = _rate(done, start, unit, note and note(item))
            yield item
            if time.perf_counter() - last > _LINE_EVERY:
                last = time.perf_counter()
                left = (last - start) / max(done, 1) * (total - done)
                self.say(f"{label}: {done} of {total} {rate}, {left:.0f} s left")
        self.say(f"{label}: {done} {rate or unit}")


def _console() -> Console:
    console = Console(highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=_LOG_WIDTH)


def _rate(done: int, start: float, unit: str, note: str | None) -> str:
    seconds = time.perf_counter() - start
    return f"{unit}, {done / max(seconds, 1e-9):,.1f}/s, {seconds:.1f} s" + (f", {note}" if note else "")
