"""One embedding worker in a process of its own: DATA DOCUMENTS FOLDER; prints its peak memory as JSON.

The corpus is made in another process, so that the peak is the worker's.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.indexing import a_plan, passages, worker, write_corpus
from benchmarks.machine import peak_bytes
from mixstage.corpus.tables import Corpus
from mixstage.models.base import export_base
from mixstage.models.checkpoint import SETTINGS, Checkpoint
from mixstage.store.store import Store

_SHARD_ROWS = 2000  # passages: 1 MiB of text, a plan's default


def main() -> None:
    data, count, folder, *step = sys.argv[1:]
    options = argparse.Namespace(data=data, max_length=64)
    store = Store(str(Path(folder) / "store"))
    if step:
        write_corpus(store, Path(folder) / "data", passages(options, int(count)), max(1, int(count) // _SHARD_ROWS))
        cut(export_base(a_plan(options, store.uri), store, "retriever"), store, Path(folder) / "cut")
        return
    subprocess.run([sys.executable, "-m", "benchmarks.embedding_worker", data, count, folder, "make"], check=True)
    (corpus,) = store.all(Corpus)
    (checkpoint,) = (one for one in store.all(Checkpoint) if one.meta["stage"] == "cut")
    embedder, items = worker(corpus, checkpoint, store)
    begin = time.perf_counter()
    for item in items:
        embedder(item)
    print(json.dumps({"peak": peak_bytes(), "shards": len(items), "seconds": time.perf_counter() - begin}))


def cut(base: Checkpoint, store: Store, folder: Path) -> Checkpoint:
    """The model's first layer alone."""
    from sentence_transformers import SentenceTransformer

    from mixstage.models.checkpoint import publish_checkpoint

    model = SentenceTransformer(str(base.local()), device="cpu", local_files_only=True)
    bert: Any = model[0].auto_model
    bert.encoder.layer = bert.encoder.layer[:1]
    bert.config.num_hidden_layers = 1
    model.save_pretrained(str(folder), create_model_card=False)
    return publish_checkpoint(
        store.draft(Checkpoint, {"benchmark": "cut"}), folder, base.read_json(SETTINGS), {"stage": "cut"}
    )


if __name__ == "__main__":
    main()
