"""The one way in which shards become shards: Ray Data maps one item to one summary.

A worker reads what its item names, writes a file of the draft under the item's name and returns a summary. Finished
items leave a mark (`.NAME.json`) beside the artifact's files; a later run of the same draft skips them, so a killed
run loses the shards that were being written and nothing else. This is an edge: Ray is applied here, the work is plain.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ray.data
from pyarrow import fs

from mixstage.plan import Workers
from mixstage.store import Draft, write_bytes

Item = dict[str, Any]
Work = Callable[[Item], Item]


@dataclass(frozen=True, slots=True)
class Marked:
    """Does the work, then leaves the mark."""

    work: Work
    draft: Draft

    def __call__(self, row: dict[str, str]) -> dict[str, str]:
        item = json.loads(row["item"])
        summary = self.work(item)
        mark = json.dumps({"item": item, "summary": summary})
        write_bytes(self.draft.filesystem, _mark(self.draft, item), mark.encode())
        return {"summary": json.dumps(summary)}


class _Actor:
    """What an actor of the pool runs: opens its work once (a model loads in `make`), then maps rows."""

    def __init__(self, make: Callable[[], Work], draft: Draft) -> None:
        self.run = Marked(make(), draft)

    def __call__(self, row: dict[str, str]) -> dict[str, str]:
        return self.run(row)


def map_shards(
    draft: Draft, items: list[Item], make: Callable[[], Work], *, workers: Workers
) -> Iterator[Item]:
    """Yields the summary of every item as it gets ready, those of an earlier run first.

    items: each with a unique "name", the file that the work writes. make: called once per actor; must pickle.
    """
    left = []
    for item in items:
        summary = _finished(draft, item)
        if summary is None:
            left.append(item)
        else:
            yield summary
    if not left:
        return
    rows = [{"item": json.dumps(item)} for item in left]
    size = min(workers.workers, len(left))
    mapped = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        _Actor,
        fn_constructor_args=(make, draft),
        compute=ray.data.ActorPoolStrategy(size=size),
        num_cpus=workers.cpus,
        num_gpus=workers.gpus or None,
    )
    for row in mapped.iter_rows():
        yield json.loads(row["summary"])


def _mark(draft: Draft, item: Item) -> str:
    folder, _, name = f"{draft.path}/{item['name']}".rpartition("/")
    return f"{folder}/.{name}.json"


def _finished(draft: Draft, item: Item) -> Item | None:
    path = _mark(draft, item)
    if draft.filesystem.get_file_info(path).type != fs.FileType.File:
        return None
    with draft.filesystem.open_input_stream(path) as stream:
        mark = json.loads(stream.read())
    return mark["summary"] if mark["item"] == item else None  # an earlier run may have cut the shards differently
