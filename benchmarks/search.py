"""What shards cost: exact search over several FAISS files against one flat index, and over Parquet shards as tasks do.

python -m benchmarks.search                       # 1,000 queries, 1,000,000 x 384 vectors, 4 shards: 8 GB of disk
python -m benchmarks.search --documents 20000

Each way has a process of its own, which holds nothing else, so that its peak memory is honest; they search in turns, so
that other work on the machine slows all of them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import heading, peak_bytes, spread, table
from mixstage.embedding.vectors import Embedding
from mixstage.store.store import Store

WAYS = {
    "flat": "one flat FAISS index in memory",
    "shards": "our shards of FAISS files, merged",
    "tasks": "our exact search over Parquet shards, two tasks at a time",
}
_BLOCK = 50_000  # vectors that are made at once, and that a Parquet shard holds
_THREADS = 2


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    if options.way:
        answer(options)
        return 0
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        options.data = folder
        _call(options, "make")
        print(
            heading(
                f"Exact search: {options.queries:,} queries, {options.documents:,} x {options.dim}, best {options.k}"
            )
        )
        print(compare(options))
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__.splitlines()[0])
    options.add_argument("--data", help="a folder for vectors and indexes, deleted afterwards; unset: the system's")
    options.add_argument("--documents", type=int, default=1_000_000)
    options.add_argument("--queries", type=int, default=1000)
    options.add_argument("--dim", type=int, default=384)
    options.add_argument("--k", type=int, default=100)
    options.add_argument("--shards", type=int, default=4)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--way", choices=["make", *WAYS], help=argparse.SUPPRESS)
    return options.parse_args(arguments)


def _command(options: argparse.Namespace, way: str) -> list[str]:
    given = {name: value for name, value in vars(options).items() if name != "way" and value is not None}
    flags = [part for name, value in given.items() for part in (f"--{name}", str(value))]
    return [sys.executable, "-m", "benchmarks.search", "--way", way, *flags]


def _call(options: argparse.Namespace, way: str) -> None:
    subprocess.run(_command(options, way), check=True)


def compare(options: argparse.Namespace) -> str:
    """The table: seconds, ratio to the flat index, peak memory by the vectors' size, agreement."""
    pipe = subprocess.PIPE
    processes = {
        way: subprocess.Popen(_command(options, way), stdin=pipe, stdout=pipe, text=True, bufsize=1) for way in WAYS
    }
    said: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(options.rounds + 1):  # the first is for warmth
        for way, process in processes.items():
            assert process.stdin and process.stdout
            process.stdin.write("search\n")
            said[way].append(json.loads(process.stdout.readline()))
    for process in processes.values():
        process.communicate()
    vectors = options.documents * options.dim * 4
    rows = [("", "seconds", "by the flat index", "peak memory by float32 vectors", "same rows")]
    flat = said["flat"][1:]
    for way, label in WAYS.items():
        mine = said[way][1:]
        seconds = [one["seconds"] for one in mine]
        ratios = [one["seconds"] / other["seconds"] for one, other in zip(mine, flat, strict=True)]
        same = _agreement(Path(options.data), way)
        peak = max(one["peak"] for one in said[way])
        rows.append(
            (label, spread(seconds), spread(ratios), f"{peak / vectors:.2f} ({peak / 1e9:.2f} GB)", f"{same:.4%}")
        )
    return table(*rows)


def _agreement(folder: Path, way: str) -> float:
    """Share of the flat index's rows that a way found as well."""
    mine, flat = (np.load(folder / f"{name}.npy") for name in (way, "flat"))
    return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(mine, flat, strict=True)]))


def answer(options: argparse.Namespace) -> None:
    """A process of its own: makes the files, or opens a way and searches whenever a line comes."""
    if options.way == "make":
        make(options)
        return
    import faiss

    faiss.omp_set_num_threads(_THREADS)
    search = {"flat": open_flat, "shards": open_shards, "tasks": open_tasks}[options.way](options)
    queries = unit_vectors(-1, options.queries, options.dim)
    for _ in sys.stdin:
        begin = time.perf_counter()
        rows = search(queries)
        seconds = time.perf_counter() - begin
        np.save(Path(options.data) / f"{options.way}.npy", rows)
        print(json.dumps({"seconds": seconds, "peak": peak_bytes()}), flush=True)


def unit_vectors(number: int, rows: int, dim: int) -> np.ndarray:
    """(rows, dim) float32, random; block -1 is the queries."""
    vectors = np.random.default_rng([7, number + 1]).standard_normal((rows, dim), dtype=np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def blocks(options: argparse.Namespace) -> Iterator[np.ndarray]:
    size = min(_BLOCK, options.documents // options.shards)
    for number, start in enumerate(range(0, options.documents, size)):
        yield unit_vectors(number, min(size, options.documents - start), options.dim)


def make(options: argparse.Namespace) -> None:
    """flat.faiss, index-N.faiss, and an embedding in a store."""
    import faiss
    import pyarrow as pa

    from mixstage.embedding.vectors import vector_table
    from mixstage.index.faiss_files import fill, train_index, write
    from mixstage.plan.schema import IndexPlan

    folder, settings = Path(options.data), IndexPlan()
    flat = faiss.IndexFlatIP(options.dim)
    draft = Store(str(folder / "store")).draft(Embedding, {"what": "benchmark"})
    shard, known, number = None, {}, 0
    limit = -(-options.documents // options.shards)
    for place, block in enumerate(blocks(options)):
        flat.add(block)
        ids = pa.array([f"d{place}-{row}" for row in range(len(block))])
        keys = pa.array([bytes(16)] * len(block), pa.binary(16))
        nothing = np.zeros(len(block), dtype=np.int32)
        rows = vector_table(ids, keys, nothing, nothing.astype(bool), block)
        name = f"vectors/part-{place:05d}.parquet"
        known[name] = draft.table(name, rows, packed=False)
        shard = shard or train_index(block, settings)
        fill(shard, [block], settings)
        if shard.ntotal >= limit:
            write(shard, folder / f"index-{number}.faiss", settings)
            shard, number = None, number + 1
    if shard is not None:
        write(shard, folder / f"index-{number}.faiss", settings)
    faiss.write_index(flat, str(folder / "flat.faiss"))
    draft.publish({"rows": options.documents, "dim": options.dim}, known)


Search = Callable[[np.ndarray], np.ndarray]


def open_flat(options: argparse.Namespace) -> Search:
    import faiss

    index = faiss.read_index(str(Path(options.data) / "flat.faiss"))
    return lambda queries: np.asarray(index.search(queries, options.k)[1])


def open_shards(options: argparse.Namespace) -> Search:
    """As a served index opens them and merges what they find."""
    from mixstage.index.arithmetic import merge_found
    from mixstage.index.faiss_files import FaissShard
    from mixstage.plan.schema import IndexPlan

    shards, start = [], 0
    for path in sorted(Path(options.data).glob("index-*.faiss")):
        shard = FaissShard.open(path.parent, {"name": path.name, "start": start, "vectors": ""}, IndexPlan())
        shards.append(shard)
        start += shard.size
    return lambda queries: merge_found([shard.search(queries, options.k) for shard in shards], options.k)[1]


def open_tasks(options: argparse.Namespace) -> Search:
    """As tasks do it, without Ray: each with a thread and shards of its own, read anew for every search."""
    from concurrent.futures import ThreadPoolExecutor
    from functools import partial

    from mixstage.index.arithmetic import merge_found
    from mixstage.index.exact import search_shards

    (embedding,) = Store(str(Path(options.data) / "store")).all(Embedding)
    names = embedding.shards
    starts = embedding.starts()
    parts = [list(part) for part in np.array_split(np.arange(len(names)), min(options.shards, len(names)))]

    def task(queries: np.ndarray, part: list[int]) -> Any:
        import faiss

        faiss.omp_set_num_threads(1)  # of this thread
        return search_shards(embedding, [names[n] for n in part], int(starts[part[0]]), queries, options.k, False)

    def search(queries: np.ndarray) -> np.ndarray:
        with ThreadPoolExecutor(_THREADS) as threads:
            found = list(threads.map(partial(task, queries), parts))
        return merge_found(found, options.k)[1]

    return search


if __name__ == "__main__":
    sys.exit(main())
