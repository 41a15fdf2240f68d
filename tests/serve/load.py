"""Steady traffic from threads, and what became of every request."""

import itertools
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answer:
    at: float  # time.monotonic() when it was asked
    seconds: float
    status: int  # 0: no answer at all
    user: str
    body: dict[str, Any]


@dataclass
class Load:
    """`threads` callers, each asking again `pause_s` after an answer, without retries."""

    url: str
    application: str
    queries: Sequence[str]
    threads: int = 3
    pause_s: float = 0.1
    users: int = 20
    answers: list[Answer] = field(default_factory=list)

    def __enter__(self) -> "Load":
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(self.threads)
        numbers = itertools.count()
        self._done = [self._pool.submit(self._ask_on, numbers) for _ in range(self.threads)]
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._pool.shutdown()
        for done in self._done:
            done.result()

    @property
    def failed(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status != 200]

    def composition(self) -> str | None:
        """What the newest answer came from."""
        return self.answers[-1].body.get("composition") if self.answers else None

    def since(self, start: float) -> list[Answer]:
        return [answer for answer in self.answers if answer.at >= start]

    def _ask_on(self, numbers: "itertools.count[int]") -> None:
        while not self._ended.wait(self.pause_s):
            number = next(numbers)
            self.answers.append(self._ask(self.queries[number % len(self.queries)], f"user-{number % self.users}"))

    def _ask(self, query: str, user: str) -> Answer:
        body = {"application": self.application, "query": query, "user": user}
        request = urllib.request.Request(
            f"{self.url}/v1/search", data=json.dumps(body).encode(), headers={"content-type": "application/json"}
        )
        start = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, found = answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            status, found = error.code, {"text": error.read().decode()}
        except OSError as error:
            status, found = 0, {"text": str(error)}
        return Answer(start, time.monotonic() - start, status, user, found)
