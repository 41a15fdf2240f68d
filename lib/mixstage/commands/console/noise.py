"""Passes lines on, without those that libraries print and no user can act on; each is named by its own words.

`quiet` runs this file as a program between standard error and the terminal. As a process of its own it outlives a
crash of the one that it listens to, and prints its last words. Ray says some of this from C++, past Python's logging,
and some arrives as output of its workers: that is why lines are taken out of the stream. Everything else passes, a
warning that nobody here has seen before included.
"""

import re
import sys
from collections.abc import Iterable, Iterator

LINE = re.compile(
    "|".join(
        (
            # Ray Data and Ray Train keep arguments of their own actors in the object store.
            r"core_worker\.cc:\d+: Actor with class name: '(MapWorker\(.*|PreemptionWatcher)' and ID: '\w+' "
            r"has constructor arguments in the object store and max_restarts > 0\.",
            # An actor that was to be ended had ended before.
            r"gcs_actor_scheduler\.cc:\d+: Failed to kill actor \w+, return status: Invalid: KillActor RPC failed for "
            r"actor \w+: RpcError: RPC error: Socket closed",
            # Ours count documents and pairs.
            r"Progress bars disabled\. To enable, set `ray\.data\.DataContext\.get_current\(\)\.enable_progress_bars",
            # Which a plan wants whose reranker begins as a model of sentence vectors.
            r"Converting SentenceTransformer model .+ to CrossEncoder\.$",
            # The default of a Ray that is our own.
            r"Token authentication is enabled for this Ray cluster\. Set RAY_AUTH_MODE=disabled to opt out\.",
        )
    )
)
# An actor of Ray Train that clears up after a driver that died asks "the" Ray of this machine for the driver; where two
# run, its thread ends in a traceback, of which only the last line says so. Lines of workers may arrive in pieces.
_BEGIN = re.compile(r"(?P<actor>.*\(PlacementGroupCleaner pid=\d+[^)]*\)\S*) Exception in thread")
_NOISE_END = "ConnectionError: Found multiple active Ray instances"
_OTHER_END = re.compile(r" (?!ConnectionError\b|Exception in)[\w.]*(Error|Exception)\b")
_LONGEST = 60  # lines; this one has 28
# Ray says later how often a worker repeated a line.
_REPEATED = re.compile(r"(\x1b\[\d+m)* \[repeated \d+x across cluster\].*")


def without_noise(lines: Iterable[str]) -> Iterator[str]:
    """The lines that pass, in order; those of a traceback that may be noise wait for its end."""
    held: list[str] = []
    actor, dropped = "", set[str]()
    for line in lines:
        begun = _BEGIN.match(line)
        if begun:
            yield from held
            held, actor = [], begun["actor"]
        if begun or (held and line.startswith(actor)):
            held.append(line)
            if _NOISE_END in line:
                dropped.update(map(str.rstrip, held))
                held = []
            elif len(held) > _LONGEST or _OTHER_END.match(line.removeprefix(actor)):
                yield from held
                held = []
        elif not LINE.search(line) and _REPEATED.sub("", line).rstrip() not in dropped:
            yield line
    yield from held


if __name__ == "__main__":
    sys.stdin.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
    sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
    for line in without_noise(sys.stdin):
        print(line, end="", flush=True)
