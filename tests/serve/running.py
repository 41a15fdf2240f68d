"""A real Serve that follows a registry, for the tests that need one."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from serve.reconcile import Reconciler

_SERVED_S = 240.0  # in which a first release is served on a busy machine


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def following(reconciler: Reconciler) -> Iterator[None]:
    """The reconciler at work beside the test, as `serve.app` runs it; begins when all that is released is served."""
    ended, serving = threading.Event(), threading.Event()

    def work() -> None:
        while not ended.wait(0.5):
            reconciler.step()
            if reconciler.is_serving():
                serving.set()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        try:
            assert serving.wait(_SERVED_S), f"not served in time; the reconciler: {done}"
            yield
        finally:
            ended.set()
        done.result()
