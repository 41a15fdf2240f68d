"""Which generation of a corpus is the current one: a pointer that is replaced whole, with the ones before it.

Release pins name generations by digest and do not follow the pointer. It answers who asks for the newest, and says
which generations garbage collection may take.
"""

import json
from collections.abc import Iterable, Iterator

from pyarrow import fs

from mixstage.index.generation import Generation
from mixstage.store.files import write_bytes
from mixstage.store.store import Store

_FOLDER = "live"


def point_to(store: Store, plan_name: str, corpus: str, retriever: str, generation: Generation) -> None:
    """Makes a generation the current one of (plan's name, corpus, retriever)."""
    before = history(store, plan_name, corpus, retriever)
    if before[:1] == [generation.digest]:
        return
    digests = [generation.digest, *(digest for digest in before if digest != generation.digest)]
    path = _path(store, plan_name, corpus, retriever)
    store.filesystem.create_dir(path.rpartition("/")[0], recursive=True)
    write_bytes(store.filesystem, path, json.dumps({"generations": digests}).encode())


def history(store: Store, plan_name: str, corpus: str, retriever: str) -> list[str]:
    """Digests of generations, the current one first; empty if there is none."""
    return _read(store, _path(store, plan_name, corpus, retriever))


def histories(store: Store) -> Iterator[list[str]]:
    """The history of every pointer, whichever plan's: digests of generations, the current one first."""
    selector = fs.FileSelector(f"{store.root}/{_FOLDER}", recursive=True, allow_not_found=True)
    for info in store.filesystem.get_file_info(selector):
        if info.type == fs.FileType.File and info.extension == "json":
            yield _read(store, info.path)


def _read(store: Store, path: str) -> list[str]:
    try:
        with store.filesystem.open_input_stream(path) as stream:
            return list(json.loads(stream.read())["generations"])
    except FileNotFoundError:
        return []


def _path(store: Store, plan_name: str, corpus: str, retriever: str) -> str:
    return f"{store.root}/{_FOLDER}/{plan_name}/{corpus}/{retriever}.json"


def unneeded_generations(store: Store, pinned: Iterable[str], keep: int) -> list[Generation]:
    """Published generations that no pointer has among its last `keep` and that nothing pins."""
    needed = set(pinned)
    for digests in histories(store):
        needed.update(digests[:keep])
    return [generation for generation in store.all(Generation) if generation.digest not in needed]
