"""Standard error without what libraries say that no user can act on; each message is named by its own words.

Ray prints some of it from C++, past Python's logging, and some arrives as output of its workers: so lines are taken out
of the stream. Everything else passes, a warning that nobody here has seen before included.
"""

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PROGRESS_OFF = (
    "Progress bars disabled. To enable, set `ray.data.DataContext.get_current().enable_progress_bars = True`."
)
_TOKEN_ON = "Token authentication is enabled for this Ray cluster. Set RAY_AUTH_MODE=disabled to opt out."
NOISE = re.compile(
    "|".join(
        (
            # Ray Data keeps the arguments of its actors in the object store, at every pool of actors.
            r"core_worker\.cc:\d+: Actor with class name: 'MapWorker\(.*' and ID: '\w+' has constructor arguments in ",
            re.escape(_PROGRESS_OFF),  # ours count documents and pairs
            re.escape(_TOKEN_ON),  # by default, of a Ray that is our own
            r"Reporting training result \d+: TrainingReport\(",  # at every checkpoint
            # An actor of Ray Train that clears up after a driver that died; it asks "the" Ray of this machine for the
            # driver, and where two run each of its rounds ends in a traceback.
            r"\(PlacementGroupCleaner pid=\d+",
        )
    )
)


@contextmanager
def quiet(wanted: bool = True) -> Iterator[None]:
    """Leaves the lines of `NOISE` out of standard error, of this process's C++ as well, until the context ends."""
    if not wanted:
        yield
        return
    sys.stderr.flush()
    original = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    thread = threading.Thread(target=_pass_on, args=(reading, original), daemon=True, name="quiet")
    thread.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(original, 2)  # the pipe's last end in this process
        thread.join(timeout=2)  # a process that Ray left behind may hold the pipe open


def _pass_on(reading: int, original: int) -> None:
    with os.fdopen(reading, "rb") as lines, os.fdopen(original, "wb", buffering=0) as out:
        for line in lines:
            if not NOISE.search(line.decode(errors="replace")):
                out.write(line)
