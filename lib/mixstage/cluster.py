"""The Ray edge that phases share: shards mapped to shards by Ray Data, and plain functions run as tasks.

`map_items` spreads items over a pool of actors. `map_shards` and `run_shards`: a worker reads what its item names,
writes a file of the draft under the item's name and returns a summary. Finished items leave a mark (`.NAME.json`)
beside the artifact's files; a later run of the same draft skips them, so a killed run loses the shards that were being
written and nothing else. The work itself is plain Python.
"""

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeVar

import ray
import ray.data
from pyarrow import fs
from ray.util import ActorPool
from ray.util.metrics import Counter, Gauge

from mixstage.errors import ClusterError
from mixstage.plan.stages import Workers
from mixstage.store.files import write_bytes
from mixstage.store.store import Artifact, Draft

_ways: list[Callable[[], None]] = []  # how this process joins a cluster
_joining = threading.Lock()
_LOG = logging.getLogger(__name__)

Item = dict[str, Any]
T = TypeVar("T")
Work = Callable[[Item], Item]


def join_with(connect: Callable[[], None]) -> None:
    """Says how to join a cluster. It is done when work is to be spread: a run that finds everything starts no Ray."""
    _ways[:] = [connect]


def join() -> None:
    """Joins the cluster, once; inside a worker there is nothing to do."""
    with _joining:
        if _ways:
            _ways.pop()()


def is_joined() -> bool:
    """Whether the cluster is one that RAY_ADDRESS names, as it does in a submitted job, not Ray inside this machine."""
    return os.environ.get("RAY_ADDRESS", "local") not in ("", "local")


def require(workers: Workers, *, together: int = 1) -> None:
    """Compares what work asks for with what the cluster has, before it waits.

    together: so many workers have to run at once. Raises ClusterError if Ray inside this machine can't run them, since
    it will never grow. A cluster may: there a warning says what is waited for, and for what.
    """
    if room_for(workers) >= together:
        return
    accelerator = f" on {workers.accelerator}" if workers.accelerator else ""
    each = f"{workers.cpus} CPUs and {workers.gpus:g} GPUs{accelerator}"
    wanted = f"{together} workers at once, each with {each}" if together > 1 else f"a worker with {each}"
    present = "; ".join(sorted({f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in _nodes()}))
    remedy = (
        "ask for less with --set resources.NAME.cpus=1 (NAME: train, embed, score or validation; also gpus, workers)"
    )
    if not is_joined():
        raise ClusterError(f"the work asks for {wanted}, and this machine has {present}: {remedy}")
    _LOG.warning(
        "The work asks for %s; nodes of the cluster have %s. It waits for nodes that an autoscaler or you add. If none "
        "will come, interrupt it and %s",
        *(wanted, present or "nothing", remedy),
    )


def room_for(workers: Workers) -> int:
    """How many such workers the nodes that there are run at once when nothing else runs."""
    return sum(_room(node, workers) for node in _nodes())


def _nodes() -> list[dict[str, float]]:
    """Resources of each node."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _room(node: dict[str, float], workers: Workers) -> int:
    """How many such workers an idle node runs at once."""
    needs = {"CPU": float(workers.cpus), "GPU": workers.gpus}
    if workers.accelerator:
        needs[f"accelerator_type:{workers.accelerator}"] = 0.001  # what Ray itself asks for
    return int(min(node.get(name, 0.0) / need for name, need in needs.items() if need))


@dataclass(frozen=True, slots=True)
class Marked:
    """Does the work, then leaves the mark."""

    work: Work
    draft: Draft[Artifact]

    def __call__(self, item: Item) -> Item:
        summary = self.work(item)
        leave_mark(self.draft, item, summary)
        return summary


class _Actor:
    """What an actor of the pool runs: opens its work once (a model loads in `make`), then maps rows."""

    def __init__(self, make: Callable[[], Work]) -> None:
        self.work = make()

    def __call__(self, row: dict[str, str]) -> dict[str, str]:
        return {"summary": json.dumps(self.work(json.loads(row["item"])))}


def map_items(items: Sequence[Item], make: Callable[[], Work], *, workers: Workers) -> Iterator[Item]:
    """Yields the summary of every item as it gets ready. make: called once per actor; must pickle."""
    if not items:
        return
    join()
    require(workers)
    rows = [{"item": json.dumps(item)} for item in items]
    mapped = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        _Actor,  # type: ignore[arg-type]
        fn_constructor_args=(make,),
        compute=ray.data.ActorPoolStrategy(size=min(workers.workers, len(rows))),
        **_resources(workers),
    )
    for row in mapped.iter_rows():
        yield json.loads(row["summary"])


def map_shards(
    draft: Draft[Artifact], items: list[Item], make: Callable[[], Work], *, workers: Workers
) -> Iterator[Item]:
    """Yields the summary of every item: of those that an earlier run finished first, then of the others by `map_items`.

    items: each with a unique "name", the file of the draft that the work writes.
    """
    left = []
    for item in items:
        summary = finished(draft, item)
        if summary is None:
            left.append(item)
        else:
            yield summary
    yield from map_items(left, partial(_marked, make, draft), workers=workers)


def _marked(make: Callable[[], Work], draft: Draft[Artifact]) -> Marked:
    return Marked(make(), draft)


def run_shards(draft: Draft[Artifact], items: list[Item], work: Work, *, workers: Workers) -> Iterator[Item]:
    """`map_shards` for work that has nothing to load: as tasks, which need no process of their own."""
    done = [(item, finished(draft, item)) for item in items]
    yield from (summary for _, summary in done if summary is not None)
    left = [(Marked(work, draft), item) for item, summary in done if summary is None]
    yield from run_tasks(_call, left, workers=workers)


def _call(work: Work, item: Item) -> Item:
    return work(item)


def run_tasks(work: Callable[..., T], calls: Sequence[tuple[Any, ...]], *, workers: Workers) -> Iterator[T]:
    """Yields `work(*call)` of every call as it gets ready, in no order; at most `workers.workers` at a time."""
    if not calls:
        return
    join()
    require(workers)
    task = ray.remote(work).options(**_resources(workers))
    waiting = list(reversed(calls))
    running: list[Any] = []
    while waiting or running:
        while waiting and len(running) < workers.workers:
            running.append(task.remote(*waiting.pop()))
        ready, running = ray.wait(running, num_returns=1)
        yield ray.get(ready[0])


class _Caller:
    """An actor that makes its work once and calls it."""

    def __init__(self, make: Callable[[], Callable[..., Any]]) -> None:
        self.work = make()

    def call(self, number: int, *call: Any) -> tuple[int, Any]:
        return number, self.work(*call)


def run_actors(
    make: Callable[[], Callable[..., T]], calls: Sequence[tuple[Any, ...]], *, workers: Workers
) -> Iterator[tuple[int, T]]:
    """Yields (number, `make()(*call)`) of every call as it gets ready; each actor takes the next call when idle."""
    if not calls:
        return
    join()
    require(workers)
    actor = ray.remote(_Caller).options(**_resources(workers))
    pool = ActorPool([actor.remote(make) for _ in range(min(workers.workers, len(calls)))])
    numbered = [(number, *call) for number, call in enumerate(calls)]
    yield from pool.map_unordered(lambda actor, call: actor.call.remote(*call), numbered)


def share(value: Any) -> Any:
    """Puts a value where all tasks can read it; given to `run_tasks` in its place, it travels once a node."""
    join()
    return ray.put(value)


def _resources(workers: Workers) -> Item:
    """What a worker asks of the cluster, in Ray's words."""
    resources: Item = {"num_cpus": workers.cpus, "num_gpus": workers.gpus}
    return resources | ({"accelerator_type": workers.accelerator} if workers.accelerator else {})


def expose(name: str, value: float, tags: dict[str, str]) -> None:
    """Shows a number on this node's Prometheus endpoint, as ray_NAME: NAME_total grows by it, any other NAME is set.

    Nothing happens where Ray isn't started.
    """
    if not ray.is_initialized():
        return
    metric = _metric(name, tuple(sorted(tags)))
    if isinstance(metric, Gauge):
        metric.set(value, tags=tags)
    elif value > 0:  # Ray's counters refuse zero
        metric.inc(value, tags=tags)


@cache
def _metric(name: str, tags: tuple[str, ...]) -> Counter | Gauge:
    is_counter = name.endswith("_total")
    return Counter(name, tag_keys=tags) if is_counter else Gauge(name, tag_keys=tags)


def leave_mark(draft: Draft[Artifact], item: Item, summary: Item) -> None:
    """Notes that an item's file is whole, with what there is to say of it."""
    content = json.dumps({"item": item, "summary": summary})
    write_bytes(draft.filesystem, _mark(draft, item), content.encode())


def finished(draft: Draft[Artifact], item: Item) -> Item | None:
    """The summary that was noted of this very item, or None."""
    path = _mark(draft, item)
    if draft.filesystem.get_file_info(path).type != fs.FileType.File:
        return None
    with draft.filesystem.open_input_stream(path) as stream:
        mark = json.loads(stream.read())
    return mark["summary"] if mark["item"] == item else None  # an earlier run may have cut the work differently


def _mark(draft: Draft[Artifact], item: Item) -> str:
    folder, _, name = f"{draft.path}/{item['name']}".rpartition("/")
    return f"{folder}/.{name}.json"
