"""A real Serve that follows a registry, for the tests that need one."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from ray import serve

from mixstage.serve.app import step
from mixstage.serve.operator.reconcile import Reconciler

_SERVED_S = 600.0  # in which a first release is served: beyond `serving.start_s`, when the reconciler says what failed


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def following(reconciler: Reconciler) -> Iterator[None]:
    """The reconciler at work beside the test, as `serve.app` runs it; begins when all that is released is served."""
    ended, serving, sentences = threading.Event(), threading.Event(), list[str]()

    def work() -> None:
        while not ended.wait(0.5):
            sentences.extend(step(reconciler))
            if reconciler.is_serving():
                serving.set()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        try:
            deadline = time.monotonic() + _SERVED_S
            while not serving.wait(0.5):
                if done.done():
                    done.result()  # raises
                assert time.monotonic() < deadline, f"not served in time: {sentences} {reconciler.cluster.apps()}"
            yield
        finally:
            ended.set()
            serve.shutdown()
        done.result()
