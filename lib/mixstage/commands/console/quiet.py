"""Standard error without the noise of libraries: that of this process, of its C++ and of its children."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FILTER = Path(__file__).with_name("noise.py")
_DRAIN_SECONDS = 2  # a process that Ray left behind may hold the pipe open


@contextmanager
def quiet(wanted: bool = True) -> Iterator[None]:
    """Sends standard error through `noise.py` until the context ends; whatever ends this process, all lines arrive.

    The filter leaves when nobody can write to it any more, and has a session of its own: Ctrl-C is not meant for it.
    """
    if not wanted:
        yield
        return
    sys.stderr.flush()
    original = os.dup(2)
    command = [sys.executable, "-I", "-S", "-X", "utf8", str(_FILTER)]
    filter_ = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=original, start_new_session=True)
    assert filter_.stdin is not None
    os.dup2(filter_.stdin.fileno(), 2)
    filter_.stdin.close()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(original, 2)  # the pipe's last end in this process
        os.close(original)
        with suppress(subprocess.TimeoutExpired):
            filter_.wait(timeout=_DRAIN_SECONDS)
