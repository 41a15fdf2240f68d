"""Embedding and exact search on one GPU, beside sentence-transformers' encode and the CPU.

python -m benchmarks.gpu --data ../shared/data/obliqa

forward  documents/s of one process: `encode` with its best batch size, our encoder with padding and without, all in
         bfloat16, tokenising included; each as a share of the machine's bfloat16 matrix product
workers  documents/s of `embed` by Ray with several workers a GPU, from two corpora, so that starting up falls out
search   seconds of 1,000 queries over a million vectors, on the GPU and on the CPU, and whether they find the same
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.indexing import a_plan, matrix_operations, passages, write_corpus
from benchmarks.machine import heading, spread, table
from mixstage.corpus.documents import document_text
from mixstage.models.base import export_base
from mixstage.models.encoder import SentenceEncoder
from mixstage.store.store import Store

_BATCH_SIZES = (64, 256, 1024)
_BUDGETS = (16_384, 32_768, 131_072)


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    options.add_argument("--data", default="../shared/data/obliqa", help="a BEIR folder: passages are its documents")
    options.add_argument("--documents", type=int, default=8000)
    options.add_argument("--max-length", type=int, default=256)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--vectors", type=int, default=1_000_000, help="of search")
    options.add_argument("--cpus", type=int, default=16)
    choices = ["forward", "workers", "search"]
    options.add_argument("--parts", nargs="+", choices=choices, default=choices)
    settings = options.parse_args(arguments)
    parts = {"forward": forward, "workers": workers, "search": search}
    with tempfile.TemporaryDirectory() as folder:
        for name in settings.parts:
            print(parts[name](settings, Path(folder) / name), flush=True)
    return 0


# forward


def forward(options: argparse.Namespace, folder: Path) -> str:
    """Everything in one process, in turns."""
    from sentence_transformers import SentenceTransformer

    title = heading(f"{options.documents:,} passages, {options.max_length} tokens at most, {_gpu()}, bfloat16")
    store = Store(str(folder / "store"))
    checkpoint = export_base(a_plan(options, store.uri), store, "retriever")
    texts = [document_text(row["title"], row["text"]) for row in passages(options, options.documents)]
    plain: Any = SentenceTransformer(str(checkpoint.local()), local_files_only=True).bfloat16()
    ways: dict[str, Callable[[], Any]] = {
        f"encode, batches of {size}": lambda size=size: plain.encode(  # type: ignore[misc]
            texts, batch_size=size, normalize_embeddings=True, show_progress_bar=False
        )
        for size in _BATCH_SIZES
    }
    exact = SentenceEncoder(checkpoint.local()).encode(texts[:500], "document")
    notes = []
    for packs in (False, True):
        for budget in _BUDGETS:
            encoder = SentenceEncoder(checkpoint.local(), budget=budget)
            if packs:
                encoder.lower("bfloat16")
            else:
                encoder.model.bfloat16()
            label = f"ours, {'no padding' if encoder.is_packing else 'padded'}, {budget:,} tokens a pass"
            ways[label] = lambda encoder=encoder: encoder.encode(texts, "document")  # type: ignore[misc]
            far = 1 - (exact * encoder.encode(texts[:500], "document")).sum(axis=1)
        notes.append(f"{'no padding' if packs else 'padded'}: cosine distance to float32 {far.max():.1e} at most.")
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds + 1):
        for name, way in ways.items():
            taken[name].append(_seconds(way))
    tokens = encoder.tokenise(texts, "document")
    work, roof = matrix_operations(plain, tokens), _ceiling(plain)
    rows = [("", "documents/s", "share of the bfloat16 ceiling")]
    for name, (_, *times) in taken.items():  # the first warms up
        rows.append((name, spread([len(texts) / t for t in times], 0), f"{work / np.median(times) / roof:.2%}"))
    read = [_seconds(lambda: encoder.tokenise(texts, "document")) for _ in range(3)]
    alone = [_seconds(lambda: encoder.embed(tokens)) for _ in range(3)]
    notes += [
        f"Tokenising alone {len(texts) / np.median(read):,.0f} documents/s, our forward passes alone "
        f"{len(texts) / np.median(alone):,.0f} ({work / np.median(alone) / roof:.2%} of the ceiling).",
        f"Ceiling {roof / 1e12:.0f} TFLOP/s (bfloat16 torch.mm of 32,768 x {plain[0].auto_model.config.hidden_size} by "
        "the model's widest layer).",
    ]
    return "\n\n".join([title, table(*rows), *notes])


def _ceiling(model: Any) -> float:
    """Floating-point operations a second of a bfloat16 product at the sizes of the model's largest layer."""
    import torch

    config = model[0].auto_model.config
    rows, width, inner = 32_768, config.hidden_size, config.intermediate_size
    a, b = (torch.randn(shape, device="cuda", dtype=torch.bfloat16) for shape in ((rows, width), (width, inner)))
    out = torch.mm(a, b)

    def many() -> None:
        for _ in range(200):
            torch.mm(a, b, out=out)
        torch.cuda.synchronize()

    many()
    return float(200 * 2 * rows * width * inner / _seconds(many))


# workers


def workers(options: argparse.Namespace, folder: Path) -> str:
    """The whole path: shards read, tokenised, encoded, written; several processes share the GPU."""
    from mixstage.connection import connect
    from mixstage.embedding.embed import EmbeddingRequest, embed
    from mixstage.plan.schema import IndexPlan
    from mixstage.plan.stages import Workers
    from mixstage.progress import Progress

    title = heading(f"`embed` by Ray, {_gpu()}, bfloat16, {options.max_length} tokens at most")
    connect()
    store = Store(str(folder / "store"))
    base = export_base(a_plan(options, store.uri), store, "retriever")
    few, many = options.documents * 5, options.documents * 20
    corpora = {
        count: write_corpus(store, folder / str(count), passages(options, count), count // 2000)
        for count in (few, many)
    }
    rows = [("workers on the GPU", "seconds of both", "documents/s between them")]
    for number in (1, 2, 4, 8):
        asked = Workers(workers=number, cpus=max(1, options.cpus // number), gpus=1 / number)
        taken = []
        for corpus in corpora.values():
            begin = time.perf_counter()
            made = embed(
                store,
                [EmbeddingRequest(texts=corpus, role="document", checkpoint=base, label=str(number))],
                IndexPlan(precision="bfloat16"),
                label=f"{number} workers",
                workers=asked,
                progress=Progress(),
            )
            taken.append(time.perf_counter() - begin)
            for embedding in made:
                store.delete(embedding)
        speed = (many - few) / (taken[1] - taken[0])
        rows.append((str(number), f"{few:,}: {taken[0]:.1f}, {many:,}: {taken[1]:.1f}", f"{speed:,.0f}"))
    return "\n\n".join([title, table(*rows)])


# search


def search(options: argparse.Namespace, folder: Path) -> str:
    """One block of random unit vectors; the GPU's time includes the way there."""
    from mixstage.index.exact import search_block

    title = heading(f"Exact search of 1,000 queries over {options.vectors:,} x 384 vectors, {_gpu()}")
    draw = np.random.default_rng(0)
    vectors, queries = (_unit(draw, count) for count in (options.vectors, 1000))
    found, taken = {}, {}
    for where in ("GPU", "GPU", "CPU"):
        begin = time.perf_counter()
        found[where] = search_block(vectors, queries, 100, where == "GPU")
        taken[where] = time.perf_counter() - begin
    same = all(np.array_equal(a, b) for a, b in zip(found["GPU"], found["CPU"], strict=True))
    rows = [("", "seconds"), *((where, f"{seconds:.2f}") for where, seconds in taken.items())]
    told = f"Ratio {taken['CPU'] / taken['GPU']:.1f}; scores and rows equal: {same}."
    return "\n\n".join([title, table(*rows), told])


def _unit(draw: np.random.Generator, count: int) -> np.ndarray:
    vectors = draw.standard_normal((count, 384), dtype=np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _gpu() -> str:
    import torch

    return f"torch {torch.__version__}, {torch.cuda.get_device_name()}"


def _seconds(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
